// SPDX-License-Identifier: MIT
// The real programs for a test: redis-server, the persister and gateways on free ports, and a
// balancer in front, as an operator would have one. Logs are under <build>/browser/.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const REPO = fileURLToPath(new URL('../..', import.meta.url));
const BUILD = path.resolve(REPO, process.env.CHAT_BUILD ?? 'build');
export const OUTPUT = path.join(BUILD, 'browser');
const READY_MS = 60000;
const END_MS = 40000;

export async function until(condition, what, timeout = READY_MS) {
  const deadline = Date.now() + timeout;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${timeout} ms: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}

export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

class Program {
  constructor(name, folder, port, command, environment) {
    Object.assign(this, { name, folder, port, command, environment });
    this.url = `http://127.0.0.1:${port}`;
  }

  async start() {
    this.log = path.join(this.folder, `${this.name}.log`);
    const log = openSync(this.log, 'a');
    const [program, ...args] = this.command;
    this.child = spawn(program, args, {
      cwd: this.folder, env: { ...process.env, ...this.environment }, stdio: ['ignore', log, log],
    });
    this.ended = once(this.child, 'exit');
    await until(() => {
      if (this.child.exitCode !== null) throw new Error(`${this.name}: ${this.tail()}`);
      return this.ready();
    }, `${this.name} ready`);
    return this;
  }

  async ready() {
    if (this.name === 'redis') {
      const socket = net.connect(this.port, '127.0.0.1');
      return new Promise((resolve) => {
        socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
      }).finally(() => socket.destroy());
    }
    return fetch(`${this.url}/readyz`).then((answer) => answer.ok, () => false);
  }

  // By a signal; SIGTERM must end it well.
  async end(signal = 'SIGTERM') {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode) return;
    this.child.kill(signal);
    const hard = setTimeout(() => this.child.kill('SIGKILL'), END_MS);
    const [code] = await this.ended;
    clearTimeout(hard);
    if (signal === 'SIGTERM' && code !== 0) {
      throw new Error(`${this.name} exited with ${code}: ${this.tail()}`);
    }
  }

  tail() {
    return readFileSync(this.log, 'utf8').split('\n').slice(-30).join('\n');
  }
}

export class Stack {
  // settings are of all our programs.
  static async start(name, gateways = 2, settings = {}) {
    const stack = new Stack();
    const folder = path.join(OUTPUT, name);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const program = (what, port, command, environment) =>
      new Program(what, folder, port, command, environment);
    const redisPort = await freePort();
    stack.redis = program('redis', redisPort, ['redis-server', '--port', String(redisPort),
      '--bind', '127.0.0.1', '--appendonly', 'yes', '--appendfsync', 'always', '--save', '',
      '--maxmemory-policy', 'noeviction']);
    const common = {
      HOST: '127.0.0.1', REDIS_URL: `redis://127.0.0.1:${redisPort}`, ...settings,
    };
    const persisterPort = await freePort();
    stack.persister = program('persister', persisterPort, [path.join(BUILD, 'chat-persister')],
      { ...common, PORT: String(persisterPort), DATABASE_PATH: path.join(folder, 'chat.db') });
    stack.gateways = [];
    for (let i = 1; i <= gateways; i++) {
      const port = await freePort();
      stack.gateways.push(program(`gateway-${i}`, port, [path.join(BUILD, 'chat-gateway')], {
        ...common, PORT: String(port), REPLICA: `gateway-${i}`, DRAIN_SECONDS: '1',
        PERSISTER_URL: stack.persister.url,
      }));
    }
    try {
      await stack.redis.start();
      await Promise.all([stack.persister, ...stack.gateways].map((one) => one.start()));
    } catch (error) {
      await stack.stop().catch(() => {});
      throw error;
    }
    return stack;
  }

  async stop() {
    await Promise.all(this.gateways.map((gateway) => gateway.end()));
    await this.persister.end();
    await this.redis.end();
  }

  // Posts over HTTP, as another client would; the message that came of it.
  async post(room, username, content) {
    const gateway = this.gateways.find(({ child }) => child.exitCode === null && !child.signalCode);
    const answer = await fetch(`${gateway.url}/rooms/${room}/messages`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ username, content }),
    });
    if (answer.status !== 201) throw new Error(`POST: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }
}

// One address before several gateways: connections go to the one of the moment, `to`.
export class Balancer {
  static async start(to) {
    const balancer = new Balancer();
    balancer.to = to;
    balancer.sockets = new Set();
    balancer.server = net.createServer((client) => balancer.forward(client));
    balancer.server.listen(0, '127.0.0.1');
    await once(balancer.server, 'listening');
    balancer.url = `http://127.0.0.1:${balancer.server.address().port}`;
    return balancer;
  }

  forward(client) {
    const server = net.connect(this.to.port, '127.0.0.1');
    const ends = [client, server];
    for (const [one, other] of [ends, [server, client]]) {
      this.sockets.add(one);
      one.on('error', () => other.destroy()).on('close', () => {
        this.sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }

  // Cuts what is open, as a cable that breaks.
  cut() {
    for (const socket of this.sockets) socket.destroy();
  }

  stop() {
    this.server.close();
    this.cut();
  }
}
