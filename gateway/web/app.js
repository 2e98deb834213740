// SPDX-License-Identifier: MIT
// Puts the parts together. One room is open at a time, the one that the address names (/#room).

import { t, tn, translate } from './i18n.js';
import { askName, reader, roomOfHash, showRooms, startRooms, toggleSide } from './rooms.js';
import { Session } from './session.js';
import { length } from './text.js';
import { Timeline } from './timeline.js';
import { View } from './view.js';

const HISTORY = 50; // messages at the start, and of a page of older ones
const FILL = 1000; // messages of a request for what a gap lacks
const HIDDEN_MS = 200; // between two drawings while the page is not seen
const RETRY_MS = 1000; // doubled each time the log refuses a message
const TRIES_MAX = 6; // then its writer is asked

const $ = (id) => document.getElementById(id);
const text = $('text');

let chat; // the open room
let unread = 0;
let contentMax = 4096; // the hello says
let drawing = false;

const view = new View($('scroller'), $('list'), {
  older: () => loadOlder(chat),
  scrolled: seen,
  retry: (entry) => {
    entry.tries = 0;
    post(chat, entry);
  },
  look: (gap) => loadGap(chat, gap),
});

// Not again: a screen reader would repeat it.
function put(id, words) {
  if ($(id).textContent !== words) $(id).textContent = words;
}

// ---- drawing

function draw() {
  if (drawing) return;
  drawing = true;
  (document.hidden ? setTimeout : requestAnimationFrame)(drawNow, HIDDEN_MS);
}

function drawNow() {
  const { timeline, room, top } = chat;
  drawing = false;
  timeline.trim(view.atEnd);
  $('top').dataset.state = top || (timeline.complete ? 'begin' : '');
  put('begins', t(timeline.complete && !timeline.shown.length ? 'empty' : 'begins', { room }));
  view.render(timeline.shown, reader.name);
  seen();
}

// Nothing is unread while the reader looks at the end.
function seen() {
  const atEnd = view.atEnd && !chat.timeline.detached;
  if (atEnd && !document.hidden) unread = 0;
  document.title = `${unread ? `(${unread}) ` : ''}#${chat.room} · Chat`;
  $('jump').hidden = atEnd;
  put('jump', `↓ ${unread ? tn('new', unread) : t('latest')}`);
}

function showStatus({ state, replica, rtt, retryAt, code, failures }) {
  const link = state !== 'open' && !navigator.onLine ? 'offline' : state;
  const n = Math.ceil((retryAt - Date.now()) / 1000);
  document.body.dataset.link = link;
  put('replica', link === 'open' ? replica ?? location.host
    : t(link === 'offline' ? link : 'connecting'));
  put('rtt', link !== 'open' || rtt === undefined ? ''
    : rtt < 1 ? '< 1 ms' : `${Math.round(rtt)} ms`);
  $('bar').hidden = link === 'open' || (link === 'connecting' && !failures);
  put('bar-text', link === 'offline' ? t('offlineBar')
    : link === 'closed' ? t('closed', { code }) : t('lost'));
  put('bar-wait', link === 'waiting' && n > 0 ? `${n} s` : '');
}

// ---- a room

// Nothing waits to be sent.
const idle = ({ timeline: { unacked } }) =>
  [...unacked.values()].every(({ state }) => state === 'failed');

function openRoom(room) {
  if (chat && idle(chat)) chat.session.stop();
  const timeline = new Timeline();
  const opened = { room, timeline, top: '' };
  const on = {
    status: showStatus,
    open: () => timeline.unacked.forEach((entry) => {
      if (entry.state !== 'failed') post(opened, entry);
    }),
    hello: ({ replica, position, content_max: most }, resuming) => {
      contentMax = most;
      opened.position = position;
      opened.note = resuming && timeline.resumed(replica);
    },
    message: (message) => received(opened, message),
    ack: ({ nonce, id }) => timeline.acknowledge(nonce, id),
    gap: ({ after, before }) => {
      if (after) timeline.gap(after, before);
      else opened.top = 'failed'; // it is all of the past
    },
    error: (error) => refused(opened, error),
  };
  opened.session = new Session(room, HISTORY, () => timeline.last, (event, ...values) => {
    if (chat === opened || event !== 'status') on[event](...values);
    if (chat !== opened && idle(opened)) opened.session.stop();
    draw();
  });
  chat = opened;
  unread = 0;
  put('room', room);
  text.placeholder = t('placeholder', { room });
  showRooms(room);
  view.toEnd();
  opened.session.start();
}

function received({ timeline, position, note }, message) {
  const entry = timeline.receive(message);
  if (!entry || timeline !== chat.timeline) return;
  const missed = message.id <= position;
  if (missed && note) note.missed++;
  if (entry.nonce || message.username === reader.name || (missed && !note)) return;
  unread++;
  if (!missed) $('live').textContent = `${message.username}: ${message.content.slice(0, 300)}`;
}

// ---- writing

function write() {
  const content = text.value.trim();
  if (!content || length(content) > contentMax) return;
  if (!reader.name) {
    askName();
    return;
  }
  jump();
  const nonce = crypto.getRandomValues(new Uint32Array(4)).join('-');
  post(chat, chat.timeline.write(nonce, reader.name, content));
  text.value = '';
  fitText();
}

function post(room, entry) {
  const { nonce, username, content } = entry;
  const sent = room.session.send({ username, content, nonce });
  if (!entry.id) entry.state = sent ? 'sending' : 'waiting';
  draw();
}

// Where the log may take the message later, its nonce lets it be sent again.
function refused(room, { code, nonce, retry_after: seconds }) {
  const { unacked, pending } = room.timeline;
  const entry = nonce ? unacked.get(nonce) : pending.find((one) => one.state === 'sending');
  if (!entry || entry.id) return;
  if (code.startsWith('invalid') || code === 'nonce_reused' || ++entry.tries >= TRIES_MAX) {
    entry.state = 'failed';
    return;
  }
  const wait = seconds * 1000 || RETRY_MS * 2 ** (entry.tries - 1);
  setTimeout(() => {
    if (unacked.has(entry.nonce)) post(room, entry);
  }, wait * (1 + Math.random() / 4));
}

function fitText() {
  text.style.height = 'auto';
  text.style.height = `${text.scrollHeight + 2}px`;
  const n = length(text.value.trim()) - contentMax;
  put('count', n > 0 ? t('tooLong', { n }) : '');
  $('send').disabled = n > 0 || !text.value.trim();
}

// ---- what is older, and what is missing

async function fetchPage({ room }, query) {
  const answer = await fetch(`/rooms/${room}/messages?${query}`);
  if (!answer.ok) throw new Error(answer.status);
  return [await answer.json(), answer.headers.get('Chat-Complete') !== 'false'];
}

async function loadOlder(room) {
  const { timeline, session } = room;
  const { first } = timeline;
  if (room.top || timeline.complete || session.status.rtt === undefined) return; // not yet
  room.top = 'loading';
  draw();
  try {
    const bound = first ? `&before=${first}` : '';
    const [messages, whole] = await fetchPage(room, `limit=${HISTORY}${bound}`);
    room.top = whole ? '' : 'failed';
    // Without a first message the room is empty, or its newest are on their way as frames.
    if (first === timeline.first && (first || !messages.length)) {
      timeline.prepend(messages, whole && messages.length < HISTORY);
    }
  } catch {
    room.top = 'failed';
  }
  draw();
}

async function loadGap(room, gap) {
  const { after, before } = gap;
  try {
    const [messages] = await fetchPage(room, `limit=${FILL}&after=${after}&before=${before}`);
    room.timeline.fill(gap, messages, messages.length < FILL);
    draw();
  } catch { /* it stays */ }
}

// ---- start

function jump() {
  if (chat.timeline.detached) openRoom(chat.room);
  view.toEnd();
  draw();
}

function hurry() {
  chat.session.hurry();
  showStatus(chat.session.status);
}

translate();
startRooms(draw);
openRoom(roomOfHash());
fitText();
if (matchMedia('(hover: hover)').matches) text.focus();

$('jump').onclick = jump;
$('bar-now').onclick = hurry;
$('top-retry').onclick = () => {
  chat.top = '';
  loadOlder(chat);
};
$('composer').onsubmit = (event) => {
  event.preventDefault();
  write();
};
text.oninput = fitText;
text.onkeydown = (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  write();
};
for (const event of ['online', 'offline', 'pageshow', 'focus']) addEventListener(event, hurry);
document.onvisibilitychange = () => {
  if (!document.hidden) hurry();
};
onhashchange = () => {
  if (roomOfHash() !== chat.room) openRoom(roomOfHash());
};
onbeforeunload = (event) => {
  if (!idle(chat)) event.preventDefault();
};
onkeydown = (event) => {
  const { key, ctrlKey, metaKey, target } = event;
  if ((ctrlKey || metaKey) && key === 'k') {
    event.preventDefault();
    toggleSide(true);
    $('join-name').focus();
  } else if (key === 'Escape' && !target.closest('dialog')) {
    toggleSide(false);
    jump();
    text.focus();
  }
};
setInterval(() => showStatus(chat.session.status), 1000); // it counts the seconds
