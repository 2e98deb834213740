// SPDX-License-Identifier: MIT
// The lab: asks its gateway for everybody's state four times a second, and shows it as a picture
// and as a list of what changed. Behind a load balancer each answer may come from another gateway,
// and know less than the one before: what is older than what was seen is not believed.

import { make, paint, say } from './lab-card.js';
import { Picture } from './lab-picture.js';
import { count, t } from './lab-words.js';

const POLL_MS = 250;
const ANSWER_MS = 2000;
const SILENT_MS = 2500; // each one tells something four times a second
const EVENTS_MAX = 100;
const SEQS_MS = 2 * SILENT_MS;
const LONG = ['pause_redis', 'stop_reading']; // faults that last
const ASKED_MAX = 8; // of the last answers: who gave them
const GLOSSARY = ['position', 'chain', 'stored', 'lease', 'opening', 'waiting', 'pause_redis',
  'drop_redis', 'stop_reading', 'exit'];

const $ = (id) => document.getElementById(id);
const picture = new Picture($('stage'), ask);
const before = new Map(); // name -> what was last seen of it
const asked = [];
let log = { opening: 0 };
let seqs = []; // [when, the log's last id], as this page came to know it
let verdict = { is: 'unknown' };

function tell(name, words, mark = '') {
  $('events').querySelector('.none')?.remove();
  $('events').prepend(make('li', { className: mark },
    make('time', { textContent: new Date().toLocaleTimeString() }),
    make('b', { textContent: name }), ` ${words}`));
  while ($('events').children.length > EVENTS_MAX) $('events').lastChild.remove();
}

// ---- what all replicas have in common ----

// No two may differ at any id, however far behind one is; and the last id that all who are live
// have.
function compare(replicas) {
  const known = replicas.filter(({ state }) => state.chain.known && state.chain.marks.length)
    .map(({ status, state: { name, chain } }) => ({ name, status, hashes: new Map(chain.marks) }));
  const first = new Map(); // id -> the hash that somebody has of it, and who
  for (const { name, hashes } of known) {
    for (const [id, hash] of hashes) {
      const one = first.get(id) ?? { name, hash };
      if (one.hash !== hash) return { is: 'diverge', id, one: one.name, other: name };
      first.set(id, one);
    }
  }
  const live = known.filter(({ status }) => status === 'live');
  const shared = [...first.keys()].filter((id) => live.every(({ hashes }) => hashes.has(id)));
  if (live.length < 2 || !shared.length) return { is: 'unknown' };
  const id = Math.max(...shared);
  return { is: 'agree', id, hash: first.get(id).hash, n: live.length };
}

// While messages come faster than states, there may be no id that all still have the hash of: then
// the last one on which they agreed is shown.
function judge(replicas) {
  const now = compare(replicas);
  if (now.is === 'diverge' && verdict.is !== 'diverge') {
    tell(t('diverge'), t('divergeMore', now), 'bad');
  }
  const live = replicas.filter(({ status }) => status === 'live').length;
  if (now.is !== 'unknown' || verdict.is !== 'agree' || live < 2) verdict = now;
  $('verdict').dataset.is = verdict.is;
  say($('verdict').querySelector('b'), t(verdict.is, verdict));
  say($('verdict').querySelector('span'),
    t(`${verdict.is}More`, { ...verdict, id: count(verdict.id ?? 0) }));
  say($('verdict').querySelector('code'), verdict.hash ?? '');
  paint($('verdict').querySelector('.stripes'), verdict.hash ?? null);
}

// ---- one replica ----

function statusOf({ age_ms: age, state }) {
  if (age > SILENT_MS) return 'gone';
  if (state.fault || state.redis !== 'up') return 'fault';
  return state.live ? 'live' : 'reading';
}

function wordsOf({ status, age_ms: age, state }) {
  if (status === 'gone') return t('gone', { s: Math.round(age / 1000) });
  if (LONG.includes(state.fault)) {
    return `${t(`${state.fault}Is`)} ${Math.ceil(state.fault_ms / 1000)} s`;
  }
  if (state.fault) return t(`${state.fault}Is`);
  return status === 'fault' ? t('link', { status: state.redis }) : t(status);
}

function noteChanges(one) {
  const { state, status, lag } = one;
  const old = before.get(state.name);
  const fell = lag > 0 && (old?.fell || status !== 'live');
  before.set(state.name, { ...one, fell });
  if (!old) return;
  if (old.status !== 'gone' && status === 'gone') tell(state.name, wordsOf(one), 'bad');
  if (old.status === 'gone' && status !== 'gone') tell(state.name, t('back'), 'good');
  if (state.fault !== old.state.fault) {
    tell(state.name, state.fault ? t(`${state.fault}Is`) : t('over'), state.fault ? 'warn' : '');
  }
  if (state.opening !== old.state.opening) tell(state.name, `${t('opening')} ${state.opening}`);
  const same = state.boot === old.state.boot;
  if (same && state.connects > old.state.connects) {
    tell(state.name, t('connected'));
    picture.flash(state.name);
  }
  if (old.fell && lag === 0) tell(state.name, t('caughtUp'), 'good');
  if (status === 'gone' || !same) return;
  picture.travel(state.name, state.position - old.state.position, false);
  if (state.sent) picture.travel(state.name, state.sent - old.state.sent, true);
}

async function ask(replica, fault) {
  tell(replica, t('asks', { what: t(fault) }));
  const answer = await fetch('/lab/faults', {
    method: 'POST', headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ replica, fault, seconds: Number($('seconds').value) || 10 }),
  }).catch(() => null);
  const told = answer && await answer.json().catch(() => null);
  $('answer').textContent = answer?.status === 202 ? `${replica}: ${t(`${fault}Hint`)}`
    : told?.detail ?? t('lost');
}

// ---- all of them ----

// As a card shows it.
function box(one, facts) {
  const { state, status, lag } = one;
  return { name: state.name, status, words: wordsOf(one), position: state.position, lag,
    down: status === 'gone' || state.redis !== 'up',
    hash: state.chain.known ? state.chain.hash : null,
    facts: { opening: state.opening, stored: state.stored,
      lease: state.lease ? Math.max(state.lease - state.position, 0) : null, ...facts } };
}

const gatewayBox = (one) => box(one, {
  clients: one.state.clients, written: one.state.sent, waiting: one.state.outbox + one.state.waits,
});

function persisterBox(one) {
  if (one) return box(one, { unsaved: Math.max(log.seq - one.state.stored, 0) });
  return { status: 'gone', words: '–', position: null, lag: null, down: true, hash: null,
    facts: { unsaved: null, lease: null, opening: null } };
}

function redisBox(board) {
  let status = log.seq < log.lease ? 'live' : 'full';
  if (!log.opening) status = 'closed';
  if (board !== 'up') status = 'gone';
  return { status, words: status === 'gone' ? board : t(status), position: log.seq, lag: null,
    facts: { ...log, unsaved: Math.max(log.seq - log.stored, 0) } };
}

// Within one opening these only grow, and a replica may know a later id already.
function noteLog(seen, replicas) {
  if (seen.opening && seen.opening < log.opening) return;
  const grow = seen.opening === log.opening ? log : {};
  const same = replicas.filter(({ state }) => state.opening === seen.opening);
  log = { ...seen };
  for (const key of ['seq', 'lease', 'stored']) log[key] = Math.max(seen[key], grow[key] ?? 0);
  log.seq = Math.max(log.seq, ...same.map(({ state }) => state.position));
  const now = performance.now();
  seqs = [...seqs.filter(([when]) => when > now - SEQS_MS), [now, log.seq]];
}

// How far behind the log somebody was when he told it, not how many have been written since then.
function lagOf({ status, at, state }) {
  const seq = status === 'gone' ? log.seq : seqs.findLast(([when]) => when <= at)?.[1] ?? 0;
  return Math.max(seq - state.position, 0);
}

function newest(one) {
  const at = performance.now() - one.age_ms;
  const old = before.get(one.state.name);
  if (!old || at >= old.at) return { ...one, at };
  return { state: old.state, at: old.at, age_ms: performance.now() - old.at };
}

function noteHere(name) {
  asked.unshift(name);
  asked.length = Math.min(asked.length, ASKED_MAX);
  const names = new Set(asked);
  say($('here'), names.size > 1 ? t('balanced', { n: names.size }) : t('here', { name }));
}

function show({ here, board, log: seen, replicas }) {
  noteHere(here);
  noteLog(seen, replicas);
  const all = replicas.map(newest).map((one) => ({ ...one, status: statusOf(one) }))
    .map((one) => ({ ...one, lag: lagOf(one) }))
    .sort((a, b) => a.state.name.localeCompare(b.state.name, 'en', { numeric: true }));
  picture.show(all.filter(({ state }) => state.role === 'gateway').map(gatewayBox), redisBox(board),
    persisterBox(all.find(({ state }) => state.role === 'persister')), log);
  all.forEach(noteChanges);
  for (const name of before.keys()) {
    if (!all.some(({ state }) => state.name === name)) before.delete(name);
  }
  judge(all);
}

async function poll() {
  try {
    const answer = await fetch('/lab/replicas', { signal: AbortSignal.timeout(ANSWER_MS) });
    if (!answer.ok) throw new Error(answer.status);
    show(await answer.json());
    document.body.dataset.link = 'open';
  } catch {
    document.body.dataset.link = 'lost';
    say($('here'), t('lost'));
  }
  setTimeout(poll, POLL_MS);
}

// Who took it, or the status of the refusal.
async function post(content) {
  const answer = await fetch('/messages', {
    method: 'POST', headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ username: 'Lab', content }),
  }).catch(() => null);
  return answer?.status === 201 ? { name: answer.headers.get('Chat-Replica') }
    : { status: answer?.status ?? 0 };
}

function tally(results, key, word) {
  const counts = new Map();
  for (const { [key]: value } of results) {
    if (value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  return [...counts].map(([value, n]) => t(word, { n, [key]: value }));
}

$('send').onsubmit = async (event) => {
  event.preventDefault();
  const messages = Number(event.submitter?.dataset.count ?? 1);
  const content = $('content').value || 'Hola';
  const results = await Promise.all(Array.from({ length: messages }, (_, i) =>
    post(messages > 1 ? `${content} ${i + 1}` : content)));
  $('answer').textContent = [...tally(results, 'name', 'sent'),
    ...tally(results, 'status', 'refused')].join(', ');
};

for (const node of document.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);
for (const node of document.querySelectorAll('[data-t-label]')) {
  node.setAttribute('aria-label', t(node.dataset.tLabel));
}
$('words').querySelector('dl').append(...GLOSSARY.map((key) => make('div', {},
  make('dt', { textContent: t(key) }), make('dd', { textContent: t(`${key}Hint`) }))));
paint($('legend').querySelector('.stripes'), '1f7ac4e05b92d63a');
poll();
