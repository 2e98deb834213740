// SPDX-License-Identifier: MIT
// The chat page in a real browser, on real gateways.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { launch, PHONE, Reader, SLOW_MS } from './browser.js';
import { Balancer, Stack, until } from './stack.js';

let stack;
let browser;
let rooms = 0;
const open = []; // readers and balancers of the test under way

before(async () => {
  stack = await Stack.start('chat');
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

const room = () => `room-${++rooms}`;
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => `m${from + i}`);

async function reader(base, where, name, options) {
  const one = await Reader.open(browser, `${base.url}/#${where}`, name, options);
  open.push(one);
  return one;
}

async function balancer(gateway) {
  const one = await Balancer.start(gateway);
  open.push({ close: () => one.stop() });
  return one;
}

async function post(where, contents, username = 'Bot') {
  for (const content of contents) await stack.post(where, username, content);
}

test('two pages on two gateways chat', async () => {
  const where = room();
  const ana = await reader(stack.gateways[0], where, 'Ana');
  const diego = await reader(stack.gateways[1], where, 'Diego');
  assert.match(await ana.text('#begins'), /Nobody|begins/);
  await ana.write('Hola <Diego> & co.');
  await diego.shows(['Hola <Diego> & co.']);
  await diego.write('two\nlines');
  await diego.write('https://example.org/a_(b), see it');
  const all = ['Hola <Diego> & co.', 'two\nlines', 'https://example.org/a_(b), see it'];
  await ana.shows(all);
  await diego.shows(all);
  for (const one of [ana, diego]) {
    await until(async () => (await one.messages()).every(({ state }) => state === 'done'), 'done');
    assert.equal(await one.page.title(), `#${where} · Chat`);
    await one.page.waitForFunction(() => /\d ms$/.test(document.querySelector('#rtt').textContent));
  }
  assert.deepEqual((await ana.messages()).map(({ own }) => own), [true, false, false]);
  assert.equal(await ana.text('#replica'), 'gateway-1');
  assert.equal(await diego.text('#replica'), 'gateway-2');
  const link = ana.page.locator('.bubble a');
  assert.equal(await link.getAttribute('href'), 'https://example.org/a_(b)');
  assert.match(await link.getAttribute('rel'), /noopener/);
  assert.match(await ana.text('#live'), /^Diego: https/);
});

test('a gateway is killed, and the page goes on at another one', async () => {
  const where = room();
  const [first, second] = stack.gateways;
  const site = await balancer(first);
  const ana = await reader(site, where);
  await ana.write('before');
  await ana.shows(['before']);
  site.to = { port: await closedPort() };
  await first.end('SIGKILL');
  await ana.page.waitForSelector('#bar:not([hidden])');
  await ana.write('while away');
  await ana.shows(['before', 'while away']);
  assert.equal((await ana.messages())[1].state, 'waiting');
  await ana.shot('page-reconnecting');
  await post(where, numbers(1, 30));
  site.to = second;
  await ana.shows(['before', ...numbers(1, 30), 'while away']);
  await ana.page.waitForSelector('.message:last-child[data-state=done]');
  assert.equal(await ana.text('#replica'), 'gateway-2');
  assert.equal(await ana.text('.note'), 'Reconnected to gateway-2 · 30 messages caught up');
  await ana.shot('page-resumed');

  await first.start();
  site.to = first;
  await second.end(); // drains: 1012
  await until(async () => await ana.text('#replica') === 'gateway-1', 'on gateway-1', SLOW_MS);
  await second.start();
  site.cut(); // without any close frame
  await post(where, ['after']);
  const all = ['before', ...numbers(1, 30), 'while away', 'after'];
  await ana.shows(all);
  const log = await (await fetch(`${second.url}/rooms/${where}/messages`)).json();
  assert.deepEqual(log.map(({ content }) => content), all);
});

async function closedPort() {
  const gone = await Balancer.start({});
  gone.stop();
  return Number(new URL(gone.url).port);
}

test('what people write stays text', async () => {
  const where = room();
  const attacks = [
    '<img src=x onerror="window.hacked=1">',
    '<script>window.hacked=1</script>',
    'javascript:window.hacked=1',
    'https://a.example/"onmouseover="window.hacked=1',
    '<a href="javascript:window.hacked=1">https://a.example</a>',
    '<svg/onload=window.hacked=1><style>*{display:none}</style>',
    '\u202Egnp.exe {{7*7}} ${7*7} &lt;b&gt;',
    'data:text/html,<script>window.hacked=1</script> http://',
  ];
  for (const attack of attacks) await stack.post(where, attack.slice(0, 64), attack);
  const ana = await reader(stack.gateways[0], where);
  await ana.shows(attacks);
  assert.deepEqual((await ana.messages()).map(({ username }) => username),
    attacks.map((attack) => attack.slice(0, 64)));
  await ana.page.hover('.bubble a');
  const found = await ana.page.evaluate(() => ({
    hacked: window.hacked,
    tags: [...document.querySelectorAll('#list *')].map(({ localName }) => localName),
    links: [...document.querySelectorAll('#list a')].map(({ protocol }) => protocol),
    handlers: [...document.querySelectorAll('#list *')].filter(
      (node) => node.getAttributeNames().some((name) => name.startsWith('on'))).length,
  }));
  assert.equal(found.hacked, undefined);
  assert.equal(found.handlers, 0);
  assert.deepEqual([...new Set(found.tags)].sort(),
    ['a', 'bdi', 'button', 'li', 'p', 'span', 'time']);
  assert.deepEqual([...new Set(found.links)], ['https:']);
  await ana.page.goto(`${stack.gateways[0].url}/#<img src=x onerror=window.hacked=1>`);
  await ana.page.waitForFunction(() => document.title.includes('#img-srcx'));
  assert.equal(await ana.page.evaluate(() => window.hacked), undefined);
});

test('scrolling up brings what is older, once and in order', async () => {
  const where = room();
  const all = numbers(1, 130);
  await post(where, all);
  const ana = await reader(stack.gateways[1], where);
  await ana.shows(all.slice(-50), true);
  const place = () => ana.page.evaluate(() => {
    const node = [...document.querySelectorAll('.message')]
      .find(({ textContent }) => textContent.includes('m85'));
    return Math.round(node.getBoundingClientRect().top);
  });
  await ana.page.evaluate(() => {
    [...document.querySelectorAll('.message')]
      .find(({ textContent }) => textContent.includes('m85')).scrollIntoView();
  });
  const top = await place();
  await until(async () => (await ana.contents()).length >= 100, 'a page of older ones', SLOW_MS);
  assert.ok(Math.abs(await place() - top) <= 1, 'what is read does not move');
  await stack.post(where, 'Bot', 'm131');
  await until(async () => await ana.page.title() === `(1) #${where} · Chat`, 'unread', SLOW_MS);
  assert.equal(await ana.text('#jump'), '↓ 1 new message');
  assert.ok(Math.abs(await place() - top) <= 1, 'nor when a new one comes');
  await until(async () => {
    await ana.page.evaluate(() => { document.querySelector('#scroller').scrollTop = 0; });
    return (await ana.contents()).length === 131;
  }, 'the beginning', SLOW_MS);
  await ana.shows([...all, 'm131']);
  await ana.page.waitForSelector('#top[data-state=begin]');
  await ana.page.click('#jump');
  await until(async () => await ana.page.title() === `#${where} · Chat`, 'read', SLOW_MS);
});

test('who is at the end stays there when what is written grows', async () => {
  const where = room();
  await post(where, numbers(1, 40));
  const ana = await reader(stack.gateways[0], where, 'Ana', { viewport: { width: 390, height: 700 } });
  await ana.shows(numbers(1, 40));
  await ana.page.evaluate(() => { // the scroll is told of when the height has changed already
    const text = document.querySelector('#text');
    document.querySelector('#scroller').scrollTop -= 1;
    text.value = 'line\n'.repeat(20);
    text.dispatchEvent(new Event('input'));
  });
  await post(where, numbers(41, 60));
  await ana.shows(numbers(1, 60));
  await until(() => ana.page.evaluate(() => {
    const { scrollHeight, scrollTop, clientHeight } = document.querySelector('#scroller');
    return scrollHeight - scrollTop - clientHeight < 2;
  }), 'the end is seen', 5000);
  assert.ok(await ana.page.isHidden('#jump'));
  await ana.shot('writing-much');
});

test('what is too long is told over what is behind', async () => {
  const ana = await reader(stack.gateways[0], room());
  await ana.write('mine');
  await ana.page.fill('#text', 'x'.repeat(4097));
  assert.equal(await ana.text('#count'), '1 too many');
  const [count, page] = await ana.page.evaluate(() => ['#count', 'body']
    .map((one) => getComputedStyle(document.querySelector(one)).backgroundColor));
  assert.equal(count, page); // it hides what is behind it
});

test('the page holds a bounded number of messages', async () => {
  const where = room();
  const all = numbers(1, 700);
  const ana = await reader(stack.gateways[0], where);
  for (let i = 0; i < all.length; i += 50) await post(where, all.slice(i, i + 50));
  await ana.shows(all.slice(100));
  await ana.page.evaluate(() => { document.querySelector('#scroller').scrollTop = 0; });
  await ana.shows(all.slice(50, 650)); // the newest go, since the reader is up there
  await post(where, ['m701']);
  await ana.page.click('#jump');
  await ana.shows(numbers(652, 701), true);
});

test('a gap is told, and filled when it can be', async () => {
  const where = room();
  const sent = [];
  for (const content of numbers(1, 6)) sent.push(await stack.post(where, 'Bot', content));
  const one = { close: () => ana.close() };
  open.push(one);
  const context = await browser.newContext({ locale: 'en-GB' });
  const ana = Object.assign(new Reader(), { context, page: await context.newPage(), faults: [] });
  // The frames of a gateway that lost sight of messages 3 and 4.
  await ana.page.routeWebSocket(/\/ws\?/, (socket) => {
    socket.connectToServer().onMessage((text) => {
      const { id } = JSON.parse(text);
      if (id === sent[2].id) {
        socket.send(JSON.stringify({ type: 'gap', after: sent[1].id, before: sent[4].id }));
      } else if (id !== sent[3].id) {
        socket.send(text);
      }
    });
  });
  await ana.page.goto(`${stack.gateways[0].url}/#${where}`);
  await ana.page.click('#later');
  await ana.shows(['m1', 'm2', 'm5', 'm6']);
  assert.match(await ana.text('.gap'), /Messages may be missing here/);
  await ana.shot('page-gap');
  await ana.page.click('.gap button');
  await ana.shows(numbers(1, 6));
  assert.equal(await ana.page.locator('.gap').count(), 0);
});

test('close codes are obeyed', async () => {
  const where = room();
  const sockets = [];
  const ana = await reader(stack.gateways[0], where);
  await ana.page.routeWebSocket(/\/ws\?/, (socket) => {
    sockets.push(socket);
    socket.connectToServer();
  });
  await ana.page.reload();
  await until(() => sockets.length === 1, 'the first connection', SLOW_MS);
  await ana.is('open');
  await sockets[0].close({ code: 4008 });
  await until(() => sockets.length === 2, 'again after 4008', SLOW_MS);
  await ana.is('open');
  await sockets[1].close({ code: 1012 });
  await until(() => sockets.length === 3, 'again after 1012', SLOW_MS);
  await ana.is('open');
  await sockets[2].close({ code: 1009 });
  await ana.is('closed');
  assert.match(await ana.text('#bar'), /Closed by the server \(1009\)/);
  await ana.page.waitForTimeout(1500); // longer than a first wait
  assert.equal(sockets.length, 3);
  await ana.page.click('#bar-now');
  await until(() => sockets.length === 4, 'again when asked', SLOW_MS);
  await ana.is('open');
});

test('rooms, name and keyboard', async () => {
  const where = room();
  const ana = await reader(stack.gateways[0], where);
  await ana.page.keyboard.press('Control+k');
  await ana.page.keyboard.type(' Diseño y más ');
  await ana.page.keyboard.press('Enter');
  await ana.page.waitForFunction(() => document.title.startsWith('#Diseno-y-mas'));
  await ana.is('open');
  await ana.page.keyboard.press('Escape');
  await ana.page.keyboard.type('one');
  await ana.page.keyboard.press('Shift+Enter');
  await ana.page.keyboard.type('two');
  await ana.page.keyboard.press('Enter');
  await ana.shows(['one\ntwo']);
  assert.equal(await ana.page.inputValue('#text'), '');
  await ana.page.fill('#text', 'x'.repeat(4099));
  assert.equal(await ana.text('#count'), '3 too many');
  assert.ok(await ana.page.isDisabled('#send'));
  await ana.page.fill('#text', '');
  await ana.page.click('#me');
  await ana.page.fill('#who-name', 'Beatriz');
  await ana.page.press('#who-name', 'Enter');
  await ana.write('as another');
  await ana.shows(['one\ntwo', 'as another']);
  await ana.page.click(`#rooms a[href="#${where}"]`);
  await ana.shows([]);
  await ana.page.goBack();
  await ana.shows(['one\ntwo', 'as another']);
  await ana.page.reload();
  await ana.shows(['one\ntwo', 'as another']);
  assert.equal(await ana.text('#me bdi'), 'Beatriz');
});

test('offline and online again', async () => {
  const where = room();
  const site = await balancer(stack.gateways[0]);
  const ana = await reader(site, where);
  await ana.context.setOffline(true);
  site.cut();
  await ana.is('offline');
  assert.match(await ana.text('#bar-text'), /is sent later/);
  await ana.write('later');
  await post(where, ['meanwhile']);
  await ana.context.setOffline(false);
  await ana.is('open');
  await ana.shows(['meanwhile', 'later']);

  await ana.context.setOffline(true);
  site.cut();
  await ana.is('offline');
  await ana.write('and left');
  await ana.page.click('#rooms a[href="#lobby"]');
  await ana.shows([]);
  await ana.context.setOffline(false);
  await ana.is('open');
  await until(async () => {
    const log = await (await fetch(`${stack.gateways[1].url}/rooms/${where}/messages`)).json();
    return log.map(({ content }) => content).join() === 'meanwhile,later,and left';
  }, 'sent from the room that was left', SLOW_MS);
  assert.equal(await ana.page.title(), '#lobby · Chat');
});

const TALK = [
  ['Ana', 'Good morning! The new build has been on staging since 9:40.'],
  ['Diego', 'I pulled the cable of gateway-1 on purpose.'],
  ['Diego', 'Nothing was lost on my side: the page came back on gateway-2 by itself.'],
  ['Marta', 'Same here. The title even counted what I had missed while I was in another tab.'],
  ['Ana', 'The notes are at https://example.org/notes/ordered-log, section 4 is about the lease.'],
  ['Tomás', 'Reading it now…'],
  ['Tomás', 'What happens when the old Redis master is cut off but still takes writes?'],
];

test('at every size, in every light, in Spanish', async () => {
  for (const [username, content] of TALK) await stack.post('lobby', username, content);
  for (const [name, options] of [
    ['desktop-light', { viewport: { width: 1280, height: 800 }, colorScheme: 'light' }],
    ['desktop-dark', { viewport: { width: 1280, height: 800 }, colorScheme: 'dark' }],
    ['phone-light', { ...PHONE, colorScheme: 'light' }],
    ['phone-dark', { ...PHONE, colorScheme: 'dark', locale: 'es-CL' }],
  ]) {
    const site = stack.gateways[0];
    const sofia = await reader(site, 'lobby', 'Sofía', options);
    if (name === 'desktop-light') await sofia.write('It cannot give ids past its lease.');
    await until(async () => (await sofia.contents()).length === TALK.length + 1, 'all', SLOW_MS);
    await sofia.page.waitForFunction(() => document.querySelector('#rtt').textContent);
    const { width, dark } = await sofia.page.evaluate(() => ({
      width: document.documentElement.scrollWidth - innerWidth,
      dark: Number(getComputedStyle(document.body).backgroundColor.match(/\d+/)[0]) < 100,
    }));
    assert.ok(width <= 0, `${name}: nothing is wider than the screen`);
    assert.equal(dark, name.endsWith('dark'));
    const words = await sofia.page.getAttribute('#text', 'placeholder');
    assert.equal(words, options.locale ? 'Mensaje para #lobby' : 'Message #lobby');
    assert.equal(await sofia.page.getAttribute('html', 'lang'), options.locale ?? 'en-GB');
    await sofia.shot(`page-${name}`);
    if (name.startsWith('phone')) {
      await sofia.page.tap('#menu');
      await sofia.page.waitForSelector('.open a:focus');
      await sofia.shot(`page-${name}-rooms`);
      await sofia.page.touchscreen.tap(380, 400);
      await sofia.page.waitForSelector('body:not(.open)');
    }
  }
});
