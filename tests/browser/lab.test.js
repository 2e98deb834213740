// SPDX-License-Identifier: MIT
// The lab's page in a real browser: it shows all replicas, a fault with its backlog, the recovery,
// and what must never be, replicas that differ.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { launch, PHONE, SLOW_MS } from './browser.js';
import { OUTPUT, Stack, until } from './stack.js';

let stack;
let browser;
let context;
let page;
let faults;

before(async () => {
  stack = await Stack.start('lab', 3, { LAB: '1' });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

afterEach(async () => {
  await context.close();
  assert.deepEqual(faults, []);
});

async function open(options = {}) {
  context = await browser.newContext({
    locale: 'en-GB', viewport: { width: 1280, height: 930 }, ...options,
  });
  page = await context.newPage();
  page.setDefaultTimeout(SLOW_MS);
  faults = [];
  page.on('pageerror', (error) => faults.push(error.stack));
  page.on('console', (message) => {
    if (/Content.Security.Policy|Trusted/i.test(message.text())) faults.push(message.text());
  });
  await page.goto(`${stack.gateways[0].url}/lab`);
  await live(4);
}

// So many replicas are live.
const live = (count) => page.waitForFunction(
  (n) => document.querySelectorAll('[data-name][data-status=live]').length === n, count,
);
const hash = (name) => page.textContent(`[data-name=${name}] code`);
const lag = async (name) => Number(
  await page.getAttribute(`[data-name=${name}] .lag`, 'data-value'),
);
const button = (name, words) => page.click(`[data-name=${name}] button:text-is("${words}")`);
const verdict = (is) => page.waitForSelector(`#verdict[data-is=${is}]`);

async function shot(name) {
  mkdirSync(OUTPUT, { recursive: true });
  await page.screenshot({ path: path.join(OUTPUT, `${name}.png`) });
}

test('messages reach all replicas, whose chains agree', async () => {
  await open();
  await page.click('#send button >> nth=1');
  await page.waitForFunction(
    () => /^100 accepted/.test(document.querySelector('#answer').textContent),
  );
  const names = ['gateway-1', 'gateway-2', 'gateway-3', 'persister'];
  await until(async () => {
    const hashes = await Promise.all(names.map((name) => hash(name)));
    return hashes[0].length === 16 && new Set(hashes).size === 1;
  }, 'one hash', SLOW_MS);
  await verdict('agree');
  assert.equal(await lag('gateway-2'), 0);
  assert.equal(await page.locator('.card').count(), 5);
  const stripes = await page.$$eval('[data-name] .stripes',
    (all) => all.map((one) => one.innerHTML));
  assert.equal(stripes.length, 4);
  assert.equal(new Set(stripes).size, 1);
});

test('a fault shows, and its recovery', async () => {
  await open();
  await page.fill('#seconds', '300');
  await button('gateway-2', 'Pause link');
  await page.waitForSelector('[data-name=gateway-2][data-status=fault]');
  await page.waitForSelector('#wires .down', { state: 'attached' });
  assert.match(await page.textContent('[data-name=gateway-2] .status'), /^paused \d+ s$/);
  await page.click('#send button >> nth=1');
  await until(async () => await lag('gateway-2') >= 100, 'it is behind', SLOW_MS);
  await until(
    async () => await lag('gateway-3') === 0, 'the other one is not', SLOW_MS,
  );
  await verdict('agree');
  await page.click('#send button >> nth=0');
  await shot('lab-fault');
  await button('gateway-2', 'Drop link');
  await live(4);
  await until(async () => await lag('gateway-2') === 0, 'it has caught up', SLOW_MS);
  await verdict('agree');
  const events = await page.$$eval('#events li', (all) => all.map((one) => one.textContent));
  for (const words of ['you: Pause link', 'paused', 'the fault is over', 'reconnected',
    'has caught up']) {
    assert.ok(events.some((event) => event.includes('gateway-2') && event.includes(words)), words);
  }
  await shot('lab-recovered');
});

test('on a phone, in Spanish', async () => {
  await open({ ...PHONE, locale: 'es-ES' });
  assert.equal(await page.textContent('h1'), 'Laboratorio: un log, muchas réplicas');
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= PHONE.viewport.width, `the page is ${width} px wide`);
  await shot('lab-phone');
});

test('a replica that ends is seen as silent', async () => {
  await open();
  await button('gateway-3', 'Exit');
  await page.waitForSelector('[data-name=gateway-3][data-status=gone]');
  assert.match(await page.textContent('[data-name=gateway-3] .status'), /^silent for \d+ s$/);
  await stack.gateways[2].start();
  await live(4);
});

// Done by hand, and the last test, since it does not heal: a message on the channel only, which two
// of three gateways believe.
test('a divergence is seen', async () => {
  await open();
  await page.click('#send button >> nth=0');
  await verdict('agree');
  await page.fill('#seconds', '300');
  await button('gateway-2', 'Pause link');
  await page.waitForSelector('[data-name=gateway-2][data-status=fault]');
  const state = await (await fetch(`${stack.gateways[0].url}/lab/state`)).json();
  execFileSync('redis-cli', ['-p', String(stack.redis.port), 'publish', '{chat}:live',
    JSON.stringify({ id: state.position + 1, username: 'x', content: 'forged',
      created_at: '2025-06-14T22:15:03.123Z', room: 'lobby' })]);
  await button('gateway-2', 'Drop link');
  await live(4);
  const { url } = stack.gateways[1];
  const told = await fetch(`${url}/messages`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ username: 'x', content: 'true' }),
  });
  assert.equal((await told.json()).id, state.position + 1);
  await verdict('diverge');
  assert.match(await page.textContent('#verdict'),
    new RegExp(`DIVERGENCE.* differ at id ${state.position + 1}`));
  await page.waitForSelector('#events .bad');
  await shot('lab-divergence');
});
