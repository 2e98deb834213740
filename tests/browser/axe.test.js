// SPDX-License-Identifier: MIT
// The chat page by axe-core, in each state that a reader meets: no violation of WCAG 2.2 A and AA
// or of its good practice, wide or narrow, light or dark. And axe finds a mistake that is planted.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import axe from 'axe-core';
import { launch, PHONE, Reader, SLOW_MS } from './browser.js';
import { Stack, until } from './stack.js';

const WIDE = { viewport: { width: 1280, height: 800 } };
let stack;
let browser;
let reader;

before(async () => {
  stack = await Stack.start('axe', 1);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

afterEach(async () => {
  await reader?.close();
  reader = null;
  const [gateway] = stack.gateways;
  if (gateway.child.signalCode) await gateway.start();
});

const open = async (name, options) => {
  reader = await Reader.open(browser, `${stack.gateways[0].url}/#lobby`, name, options);
};

// What axe has against the page as it is now, in words. Playwright evaluates outside the page's
// policy for scripts, so the page is the one that people get.
async function faults() {
  await reader.page.evaluate(() => Promise.all(document.getAnimations().map((one) => one.finished)));
  await reader.page.evaluate(axe.source);
  const { violations, passes } = await reader.page.evaluate(() => window.axe.run(document));
  assert.ok(passes.length > 10);
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target, any }) => `${id} (${help}): ${target} ${any.map((one) => one.message)}`));
}

for (const [name, options] of [
  ['light', { ...WIDE, colorScheme: 'light' }],
  ['dark', { ...WIDE, colorScheme: 'dark' }],
  ['a phone, light', { ...PHONE, colorScheme: 'light' }],
  ['a phone, dark, in Spanish', { ...PHONE, colorScheme: 'dark', locale: 'es-CL' }],
]) {
  test(`accessible: ${name}`, async () => {
    const [gateway] = stack.gateways;
    await open('', options);
    assert.deepEqual(await faults(), [], 'the question for a name');
    await reader.page.fill('#who-name', 'Sofía');
    await reader.page.press('#who-name', 'Enter');
    const shown = (await reader.contents()).length;
    for (const who of ['Ana', 'Diego', '李', 'Zoë']) {
      await stack.post('lobby', who, `Hola, https://example.org/${who}`);
    }
    await reader.write('mine, with https://example.org/');
    await reader.write('x'.repeat(4097));
    await until(async () => (await reader.messages()).filter(({ state }) => state === 'done').length >=
      shown + 5, 'all', SLOW_MS);
    assert.deepEqual(await faults(), [], 'messages, and one that is too long');
    if (options.isMobile) {
      await reader.page.tap('#menu');
      await reader.page.waitForSelector('.open a:focus');
      assert.deepEqual(await faults(), [], 'the rooms');
      await reader.page.touchscreen.tap(380, 400);
    }
    await gateway.end('SIGKILL');
    await reader.page.waitForSelector('#bar:not([hidden])');
    await reader.write('waits');
    assert.deepEqual(await faults(), [], 'nobody there');
  });
}

test('a planted mistake is found', async () => {
  await open('Ana', WIDE);
  await reader.page.evaluate(() => {
    document.querySelector('#send').removeAttribute('aria-label');
    document.querySelector('#me').style.color = '#eee';
  });
  const words = (await faults()).join('\n');
  assert.match(words, /button-name/);
  assert.match(words, /color-contrast/);
});
