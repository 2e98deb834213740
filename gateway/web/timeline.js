// SPDX-License-Identifier: MIT
// What a room shows, in order; pure. `entries` came through the log: messages by growing id, gaps
// and notes between. `pending` was written here and has not come back. The ack of its nonce tells
// which message it is in the log; until then name and content pair them.

const isMessage = ({ kind }) => kind === 'message';

const stored = (message) => ({
  kind: 'message', ...message, at: new Date(message.created_at), state: 'done',
});

// The index behind the first n messages.
function behind(entries, n) {
  let index = 0;
  for (let seen = 0; seen < n; index++) seen += isMessage(entries[index]);
  return index;
}

export class Timeline {
  entries = [];
  pending = [];
  unacked = new Map(); // nonce -> our message
  last = 0; // everything up to this id was received: where to resume
  complete = false; // nothing older exists
  detached = false; // the newest were dropped, since the reader is far up

  constructor(max = 600) {
    this.max = max; // messages held
  }

  get shown() {
    return this.detached ? this.entries : [...this.entries, ...this.pending];
  }

  // The id of the oldest message, or 0.
  get first() {
    return this.entries.find(isMessage)?.id ?? 0;
  }

  // A message is written here.
  write(nonce, username, content) {
    const entry = { kind: 'message', nonce, username, content, at: new Date(), tries: 0 };
    this.pending.push(entry);
    this.unacked.set(nonce, entry);
    return entry;
  }

  // A message came through the log: its entry, or nothing when it was known.
  receive(message) {
    if (message.id <= this.last) return undefined;
    this.last = message.id;
    const { pending } = this;
    const ours = pending.find(({ ackId }) => ackId === message.id)
      ?? pending.find(({ ackId, state, username, content }) => !ackId && state === 'sending'
        && username === message.username && content === message.content);
    if (ours) pending.splice(pending.indexOf(ours), 1);
    const entry = Object.assign(ours ?? {}, stored(message));
    if (!this.detached) this.entries.push(entry);
    return entry;
  }

  // The log has our message under this id.
  acknowledge(nonce, id) {
    const entry = this.unacked.get(nonce);
    if (!entry || !this.unacked.delete(nonce) || entry.id === id) return;
    const came = id <= this.last;
    if (entry.id) { // it was paired with another one of the same words
      if (!came) this.pending.push({ ...entry, id: undefined, state: 'sending', ackId: id });
      delete entry.nonce;
    } else if (came) {
      this.pending.splice(this.pending.indexOf(entry), 1);
    } else {
      entry.ackId = id;
    }
  }

  // Between the two ids messages may be missing.
  gap(after, before) {
    const previous = this.entries.at(-1);
    if (previous?.kind === 'gap') previous.before = before;
    else if (!this.detached) this.entries.push({ kind: 'gap', after, before });
  }

  // What was found of a gap; whole: all of it.
  fill(gap, messages, whole) {
    const index = this.entries.indexOf(gap);
    if (index < 0) return;
    this.entries.splice(index, whole ? 1 : 0, ...messages.map(stored));
    gap.after = messages.at(-1)?.id ?? gap.after;
  }

  // What was found before the first message.
  prepend(messages, complete) {
    this.entries.unshift(...messages.map(stored));
    this.complete = complete;
  }

  // What was missed follows.
  resumed(replica) {
    const note = { kind: 'note', replica, missed: 0 };
    if (this.entries.at(-1)?.kind === 'note') this.entries.pop();
    if (!this.detached) this.entries.push(note);
    return note;
  }

  // Drops the oldest beyond the bound, or the newest while the reader is far up.
  trim(atEnd) {
    const surplus = this.entries.filter(isMessage).length - this.max;
    if (surplus <= 0) return;
    if (atEnd) {
      this.entries.splice(0, behind(this.entries, surplus));
      this.complete = false;
    } else {
      this.entries.splice(behind(this.entries, this.max));
      this.detached = true;
    }
  }
}
