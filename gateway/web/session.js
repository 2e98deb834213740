// SPDX-License-Identifier: MIT
// One room's WebSocket, opened again where it stopped whenever it ends, until stop(). Pings find a
// dead connection and measure the round trip. Waits between tries double, with jitter.

const FINAL = [1000, 1002, 1003, 1007, 1008, 1009]; // our fault: docs/PROTOCOL.md
const RESTART = 1012;
const CONNECT_MS = 10000; // for the handshake
const PONG_MS = 8000; // for the answer to a ping
const HURRY_MS = 3000; // the same, in doubt
const PING_MS = 5000; // between pings
const PING_HIDDEN_MS = 30000; // while the page is not seen
const WAIT_MIN_MS = 400;
const WAIT_MAX_MS = 15000;
const RESTART_MS = 1000; // after a gateway's restart all come back spread over this
const STABLE_MS = 5000; // what lasted this long was no failure

export class Session {
  // after(): the id to resume behind, or 0. on(event, ...): open; hello (frame, resuming); message,
  // ack, gap, error (frame); status ({state, replica, rtt, retryAt, code, failures}), the state
  // being connecting, open, waiting or closed.
  constructor(room, history, after, on) {
    Object.assign(this, { room, history, after, on, status: { failures: 0 } });
  }

  start() {
    const after = this.after();
    const place = after ? `after=${after}` : `history=${this.history}`;
    const base = location.origin.replace('http', 'ws');
    const socket = new WebSocket(`${base}/rooms/${this.room}/ws?hello=1&${place}`);
    this.socket = socket;
    this.resuming = after > 0;
    this.tell({ state: 'connecting', replica: undefined, rtt: undefined });
    this.later(() => this.lose(socket, 0), CONNECT_MS);
    socket.onopen = () => {
      if (socket !== this.socket) return;
      clearTimeout(this.timer);
      this.openedAt = performance.now();
      this.tell({ state: 'open' });
      this.on('open');
    };
    socket.onmessage = ({ data }) => {
      if (socket === this.socket) this.receive(JSON.parse(data));
    };
    socket.onclose = ({ code }) => this.lose(socket, code);
  }

  stop() {
    clearTimeout(this.timer);
    this.socket?.close(1000);
    this.socket = null;
  }

  // Is it on its way? What the connection loses is the caller's to send again.
  send(frame) {
    if (this.status.state !== 'open') return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  // Something changed (network, a click): no timer is waited for.
  hurry() {
    const { state, replica } = this.status;
    if (state === 'open' && replica) this.ping(HURRY_MS);
    if (state === 'waiting' || state === 'closed') this.start();
  }

  tell(change) {
    Object.assign(this.status, change);
    this.on('status', this.status);
  }

  later(what, wait) {
    clearTimeout(this.timer);
    this.timer = setTimeout(what, wait);
  }

  receive(frame) {
    const { type = 'message', replica, nonce } = frame;
    if (type === 'hello') {
      this.on(type, frame, this.resuming);
      this.tell({ replica });
      this.ping(PONG_MS); // a gateway that says no hello knows no pings
    } else if (type === 'pong' && nonce === String(this.pingAt)) {
      const trip = performance.now() - this.pingAt;
      const { rtt = trip } = this.status;
      this.tell({ rtt: Math.min(trip, (rtt + trip) / 2) });
      this.later(() => this.ping(PONG_MS), document.hidden ? PING_HIDDEN_MS : PING_MS);
    } else if (['message', 'ack', 'gap', 'error'].includes(type)) {
      this.on(type, frame);
    }
  }

  ping(deadline) {
    const { socket } = this;
    this.pingAt = performance.now();
    this.send({ type: 'ping', nonce: String(this.pingAt) });
    this.later(() => this.lose(socket, 0), deadline);
  }

  // The connection has ended, or nothing is heard from it (code 0).
  lose(socket, code) {
    if (socket !== this.socket) return;
    clearTimeout(this.timer);
    this.socket = null;
    socket.close();
    if (FINAL.includes(code)) {
      this.tell({ state: 'closed', code });
      return;
    }
    const { state, failures } = this.status;
    const stable = state === 'open' && performance.now() - this.openedAt > STABLE_MS;
    const tries = stable ? 0 : failures;
    const most = Math.min(WAIT_MAX_MS, WAIT_MIN_MS * 2 ** tries);
    const wait = code === RESTART ? Math.random() * RESTART_MS : most * (1 + Math.random()) / 2;
    this.tell({ state: 'waiting', code, failures: tries + 1, retryAt: Date.now() + wait });
    this.later(() => this.start(), wait);
  }
}
