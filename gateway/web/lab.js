// SPDX-License-Identifier: MIT
// The lab: asks its gateway for everybody's state twice a second, and shows it as a picture, as a
// table with the faults, and as a list of what changed.

import { facts, Picture } from './lab-picture.js';
import { t } from './lab-words.js';

const POLL_MS = 500;
const SILENT_MS = 3500; // each one tells something once a second
const EVENTS_MAX = 100;
const FAULTS = ['pause_redis', 'drop_redis', 'stop_reading', 'exit'];
const COLUMNS = ['replica', 'faults', 'state', 'lastId', 'lag', 'opening', 'lease', 'stored',
  'clients', 'waiting', 'chain'];

const $ = (id) => document.getElementById(id);
const picture = new Picture($('picture'));
const rows = new Map(); // name -> its row
const before = new Map(); // name -> what was last seen of it
let here = '';

function make(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function tell(name, words) {
  $('events').prepend(make('li', {}, `${new Date().toLocaleTimeString()} `,
    make('b', {}, name), ` ${words}`));
  while ($('events').children.length > EVENTS_MAX) $('events').lastChild.remove();
}

// ---- what all replicas have in common ----

// No two may differ at any id, however far behind one is; and the last id that all have who are live.
function compare(replicas) {
  const known = replicas.filter(({ state }) => state.chain.known && state.chain.marks.length)
    .map(({ status, state }) => ({ status, hashes: new Map(state.chain.marks) }));
  const first = new Map(); // id -> the hash that somebody has of it
  for (const { hashes } of known) {
    for (const [id, hash] of hashes) {
      if ((first.get(id) ?? hash) !== hash) return { is: 'diverge', id };
      first.set(id, hash);
    }
  }
  const live = known.filter(({ status }) => status === 'live');
  const shared = [...first.keys()].filter((id) => live.every(({ hashes }) => hashes.has(id)));
  const id = Math.max(...shared);
  return live.length > 1 && shared.length ? { is: 'agree', id, hash: first.get(id) }
    : { is: 'unknown' };
}

// ---- one replica ----

function statusOf({ age_ms: age, state }) {
  if (age > SILENT_MS) return 'gone';
  if (state.fault || state.redis !== 'up') return 'fault';
  return 'live';
}

function words({ status, age_ms: age, state }) {
  if (status === 'gone') return t('gone', { s: Math.round(age / 1000) });
  const parts = [];
  if (state.fault) parts.push(`${t('fault', state)} ${Math.ceil(state.fault_ms / 1000)} s`);
  else if (state.redis !== 'up') parts.push(t('link', { status: state.redis }));
  return parts.join(', ') || t(state.live ? 'live' : 'reading');
}

function noteChanges(one) {
  const { state, status, lag } = one;
  const old = before.get(state.name) ?? {};
  if (old.status && old.status !== 'gone' && status === 'gone') tell(state.name, words(one));
  if (old.status === 'gone' && status !== 'gone') tell(state.name, t('back'));
  if (old.redis && state.redis !== old.redis) tell(state.name, t('link', { status: state.redis }));
  if (state.fault !== (old.fault ?? '')) {
    tell(state.name, state.fault ? t('fault', state) : t('over'));
  }
  if (old.opening && state.opening !== old.opening) {
    tell(state.name, facts(['opening', state.opening]));
  }
  if (old.lag > 0 && lag === 0 && old.behind) tell(state.name, t('caughtUp'));
  before.set(state.name, {
    ...state, status, lag, behind: lag > 0 && (old.behind || status === 'fault'),
  });
  const isGateway = state.role === 'gateway';
  if (old.position && status !== 'gone' && state.boot === old.boot) {
    picture.travel(isGateway ? state.name : null, state.position - old.position, false);
    if (isGateway) picture.travel(state.name, state.sent - old.sent, true);
  }
}

function rowOf(name) {
  if (!rows.has(name)) {
    const cells = Object.fromEntries(COLUMNS.map((column) =>
      [column, make('td', { className: column })]));
    cells.replica.textContent = name;
    cells.faults.append(...FAULTS.map((fault) => make('button', {
      textContent: t(fault), title: t(`${fault}Hint`), onclick: () => ask(name, fault),
    })));
    const row = make('tr', {}, ...Object.values(cells));
    row.dataset.name = name;
    rows.set(name, { row, cells });
    $('rows').append(row);
  }
  return rows.get(name);
}

function showRow(one, log) {
  const { state, status, lag } = one;
  const { row, cells } = rowOf(state.name);
  row.dataset.status = status;
  const under = state.role === 'gateway' ? state.outbox + state.waits : log.seq - log.stored;
  const values = {
    state: words(one), lastId: state.position, lag, opening: state.opening,
    lease: Math.max(state.lease - state.position, 0), stored: state.stored,
    clients: state.clients ?? '–', waiting: under,
    chain: state.chain.known ? state.chain.hash : '–',
  };
  if (!state.lease) values.lease = '–';
  for (const [column, value] of Object.entries(values)) cells[column].textContent = value;
}

async function ask(replica, fault) {
  const answer = await fetch('/lab/faults', {
    method: 'POST', headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ replica, fault, seconds: Number($('seconds').value) || 10 }),
  }).catch(() => null);
  const told = answer && await answer.json().catch(() => null);
  $('answer').textContent = answer?.status === 202 ? `${replica}: ${t(`${fault}Hint`)}`
    : told?.detail ?? t('lost');
}

// ---- all of them ----

function box(one, lines) {
  return { name: one.state.name, lines, down: one.status === 'gone' || one.state.redis !== 'up',
    mark: { gone: 'gone', fault: 'faulty', live: '' }[one.status] };
}

function gatewayBox(one) {
  const { state, lag } = one;
  return box(one, [
    words(one).slice(0, 30),
    facts(['lastId', state.position], ['lag', lag]),
    facts(['clients', state.clients], ['waiting', state.outbox + state.waits]),
    `# ${state.chain.known ? state.chain.hash : '–'}`,
  ]);
}

function persisterBox(one) {
  if (!one) return { lines: ['–'], mark: 'gone', down: true };
  const { state } = one;
  return box(one, [words(one), facts(['stored', state.stored], ['opening', state.opening]),
    `# ${state.chain.known ? state.chain.hash : '–'}`]);
}

function show({ here: name, board, log, replicas }) {
  here = name;
  $('here').textContent = t('here', { name });
  // The log's facts are a second old at the most; a replica may know better.
  log.seq = Math.max(log.seq, ...replicas.map(({ state }) => state.position));
  const all = replicas.map((one) => ({
    ...one, status: statusOf(one), lag: log.seq - one.state.position,
  })).sort((a, b) => a.state.role.localeCompare(b.state.role)
    || a.state.name.localeCompare(b.state.name, 'en', { numeric: true }));
  const persister = all.find(({ state }) => state.role === 'persister');
  const room = (log.lease - log.seq) / Math.max(log.lease - log.stored, 1);
  picture.show(
    all.filter(({ state }) => state.role === 'gateway').map(gatewayBox),
    { mark: board === 'up' ? '' : 'gone',
      lines: [board === 'up' ? facts(['lastId', log.seq], ['opening', log.opening]) : board,
        facts(['stored', log.stored], ['unsaved', Math.max(log.seq - log.stored, 0)],
          ['entries', log.entries]),
        facts(['lease', Math.max(log.lease - log.seq, 0)])] },
    persisterBox(persister), room,
  );
  for (const one of all) {
    noteChanges(one);
    showRow(one, log);
  }
  for (const [known, { row }] of rows) {
    if (all.some(({ state }) => state.name === known)) continue;
    row.remove();
    rows.delete(known);
    before.delete(known);
  }
  const verdict = compare(all);
  $('verdict').dataset.is = verdict.is;
  $('verdict').textContent = t(verdict.is, verdict);
}

async function poll() {
  try {
    const answer = await fetch('/lab/replicas', { signal: AbortSignal.timeout(4 * POLL_MS) });
    show(await answer.json());
    document.body.dataset.link = 'open';
  } catch {
    document.body.dataset.link = 'lost';
    $('here').textContent = t('lost');
  }
  setTimeout(poll, POLL_MS);
}

async function post(content) {
  const answer = await fetch('/messages', {
    method: 'POST', headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ username: 'Lab', content }),
  }).catch(() => null);
  return answer?.status ?? 0;
}

$('send').onsubmit = async (event) => {
  event.preventDefault();
  const count = Number(event.submitter?.dataset.count ?? 1);
  const content = $('content').value || 'Hola';
  const states = await Promise.all(Array.from({ length: count }, (_, i) =>
    post(count > 1 ? `${content} ${i + 1}` : content)));
  const refused = states.filter((status) => status !== 201);
  $('answer').textContent = [t('sent', { n: count - refused.length, name: here }),
    ...(refused.length ? [t('refused', { n: refused.length, status: refused[0] })] : [])].join(', ');
};

for (const node of document.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);
for (const node of document.querySelectorAll('[data-t-label]')) {
  node.setAttribute('aria-label', t(node.dataset.tLabel));
}
$('head').append(...COLUMNS.map((column) => make('th', { textContent: t(column) })));
poll();
