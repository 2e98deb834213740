// SPDX-License-Identifier: MIT
// The page's pure modules, without a browser.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

// They are ES modules that import nothing, in files that Node would take for something else.
function load(name) {
  const source = readFileSync(new URL(`../../gateway/web/${name}`, import.meta.url));
  return import(`data:text/javascript;base64,${source.toString('base64')}`);
}

const { Timeline } = await load('timeline.js');
const { linkify, roomName, initial, length, hue } = await load('text.js');

const message = (id, username = 'Bot', content = `m${id}`) => ({
  id, username, content, created_at: '2026-01-02T03:04:05.678Z', room: 'lobby',
});
const ids = (timeline) => timeline.shown.map(({ kind, id }) => (kind === 'message' ? id : kind));

function written(timeline, nonce, content = 'hi') {
  const entry = timeline.write(nonce, 'Ana', content);
  entry.state = 'sending';
  return entry;
}

test('a repeated message is shown once', () => {
  const timeline = new Timeline();
  for (const id of [1, 2, 2, 1, 5]) timeline.receive(message(id));
  assert.deepEqual(ids(timeline), [1, 2, 5]);
  assert.equal(timeline.last, 5);
});

test('our message: the ack comes first', () => {
  const timeline = new Timeline();
  const entry = written(timeline, 'n');
  timeline.acknowledge('n', 7);
  assert.equal(timeline.receive(message(6, 'Ana', 'hi')) === entry, false);
  assert.equal(timeline.receive(message(7, 'Ana', 'hi')), entry);
  assert.deepEqual(ids(timeline), [6, 7]);
  assert.equal(entry.state, 'done');
  assert.equal(timeline.unacked.size, 0);
});

test('our message: it comes before its ack', () => {
  const timeline = new Timeline();
  const entry = written(timeline, 'n');
  assert.equal(timeline.receive(message(7, 'Ana', 'hi')), entry);
  assert.equal(timeline.unacked.size, 1); // to be sent again if the connection ends now
  timeline.acknowledge('n', 7);
  assert.deepEqual([ids(timeline), timeline.unacked.size], [[7], 0]);
});

test('our message: somebody else wrote the same under the same name', () => {
  const timeline = new Timeline();
  written(timeline, 'n');
  timeline.receive(message(7, 'Ana', 'hi'));
  timeline.acknowledge('n', 9);
  assert.equal(timeline.pending.length, 1);
  timeline.receive(message(8));
  timeline.receive(message(9, 'Ana', 'hi'));
  assert.deepEqual(ids(timeline), [7, 8, 9]);
});

test('our message: it was received before the connection ended, and is acknowledged late', () => {
  const timeline = new Timeline();
  const entry = written(timeline, 'n');
  entry.state = 'waiting';
  timeline.receive(message(7, 'Ana', 'hi'));
  assert.equal(timeline.pending.length, 1);
  timeline.acknowledge('n', 7);
  assert.deepEqual(ids(timeline), [7]);
});

test('older ones, gaps and notes keep their place', () => {
  const timeline = new Timeline();
  timeline.receive(message(10));
  timeline.resumed('a');
  timeline.resumed('b');
  timeline.gap(10, 15);
  timeline.gap(10, 20);
  timeline.receive(message(20));
  timeline.prepend([message(8), message(9)], true);
  assert.deepEqual(ids(timeline), [8, 9, 10, 'note', 'gap', 20]);
  assert.equal(timeline.first, 8);
  const gap = timeline.entries[4];
  assert.equal(gap.before, 20);
  timeline.fill(gap, [message(11), message(12)], false);
  assert.deepEqual([ids(timeline).slice(3), gap.after], [['note', 11, 12, 'gap', 20], 12]);
  timeline.fill(gap, [message(13)], true);
  assert.deepEqual(ids(timeline).slice(3), ['note', 11, 12, 13, 20]);
});

test('the bound drops the oldest, or the newest for who reads far up', () => {
  const timeline = new Timeline(3);
  timeline.prepend([], true);
  for (let id = 1; id <= 5; id++) timeline.receive(message(id));
  timeline.trim(true);
  assert.deepEqual([ids(timeline), timeline.complete], [[3, 4, 5], false]);
  timeline.prepend([message(1), message(2)], true);
  timeline.trim(false);
  assert.deepEqual([ids(timeline), timeline.detached], [[1, 2, 3], true]);
  timeline.receive(message(6));
  assert.deepEqual([ids(timeline), timeline.last], [[1, 2, 3], 6]);
});

test('links', () => {
  const links = (text) => linkify(text).filter(({ href }) => href).map(({ text: link }) => link);
  assert.deepEqual(linkify('see (https://a.example/x_(y)), ok?'), [
    { text: 'see (' },
    { text: 'https://a.example/x_(y)', href: 'https://a.example/x_(y)' },
    { text: '), ok?' },
  ]);
  assert.deepEqual(links('HTTP://A.example. https://b.example/?q=1&r=a#b!'),
    ['HTTP://A.example', 'https://b.example/?q=1&r=a#b']);
  for (const none of ['javascript:alert(1)', 'http://', 'https://', 'ftp://a.example', 'xhttps://a',
    'data:text/html,x', 'http://[', 'plain', `https://a.example/${'a'.repeat(3000)}`]) {
    assert.deepEqual(linkify(none), [{ text: none }]);
  }
  assert.deepEqual(linkify(''), []);
  const hostile = `https://a.example/${')'.repeat(16000)}`;
  assert.equal(linkify(hostile).map(({ text }) => text).join(''), hostile);
});

test('names', () => {
  assert.equal(roomName(' #Diseño y más! '), 'Diseno-y-mas');
  assert.equal(roomName('../<script>'), '..script');
  assert.equal(roomName('x'.repeat(99)).length, 64);
  assert.equal(initial('ñandú'), 'Ñ');
  assert.equal(initial('👩‍🚀 astro'), '👩‍🚀');
  assert.equal(length('👩x'), 2);
  assert.ok(hue('Ana') >= 0 && hue('Ana') < 360 && hue('Ana') !== hue('Eva'));
});
