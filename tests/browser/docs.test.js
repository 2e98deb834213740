// SPDX-License-Identifier: MIT
// The viewer at /docs in a real browser: it shows the document, asks nobody else for anything, and
// what is tried in it is done.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { launch, PHONE, SLOW_MS } from './browser.js';
import { OUTPUT, Stack, until } from './stack.js';

let stack;
let browser;

before(async () => {
  stack = await Stack.start('docs', 1);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

async function viewer(options = {}, where = '') {
  const [{ url }] = stack.gateways;
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(4 * SLOW_MS); // the viewer is slow to draw
  const faults = [];
  page.on('pageerror', (error) => faults.push(error.stack));
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) faults.push(`asks for ${request.url()}`);
  });
  await page.goto(`${url}/docs${where}`);
  await page.waitForSelector('rapi-doc #post-\\/messages');
  return { page, faults, close: () => context.close() };
}

async function shot(page, name) {
  mkdirSync(OUTPUT, { recursive: true });
  await page.screenshot({ path: path.join(OUTPUT, `${name}.png`), animations: 'disabled' });
}

test('/docs shows every operation, without any fault', async () => {
  const { page, faults, close } = await viewer({ colorScheme: 'light' });
  const [{ url }] = stack.gateways;
  const { paths } = await (await fetch(`${url}/openapi.json`)).json();
  const shown = await page.locator('rapi-doc .m-endpoint').count();
  const documented = Object.values(paths).flatMap((item) =>
    Object.keys(item).filter((key) => key !== 'parameters'));
  assert.equal(shown, documented.length);
  await shot(page, 'docs');
  assert.deepEqual(faults, []);
  await close();
});

test('/docs is dark where the system is, and fits a phone', async () => {
  const { page, faults, close } = await viewer({ ...PHONE, colorScheme: 'dark' });
  assert.equal(await page.getAttribute('rapi-doc', 'theme'), 'dark');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${wide} px too wide`);
  await shot(page, 'docs-dark-phone');
  assert.deepEqual(faults, []);
  await close();
});

test('/docs sends a POST', async () => {
  const { page, faults, close } = await viewer({}, '#post-/messages');
  const form = page.locator('rapi-doc #post-\\/messages');
  const body = form.locator('textarea.request-body-param-user-input').first();
  await body.fill(JSON.stringify({ username: 'Ana', content: 'tried in /docs' }));
  await form.locator('button[part~="btn-try"]').click();
  await form.getByText(/Response Status:.*201/).waitFor();
  await shot(page, 'docs-posted');
  const messages = await (await fetch(`${stack.gateways[0].url}/messages`)).json();
  assert.deepEqual(messages.map(({ content }) => content), ['tried in /docs']);
  assert.deepEqual(faults, []);
  await close();
});

test('what docs/API.md tells for the console works on the chat page', async () => {
  const guide = readFileSync(new URL('../../docs/API.md', import.meta.url), 'utf8');
  const [, snippet] = guide.match(/```js\n([^]*?)```/);
  const page = await browser.newPage();
  const logged = [];
  page.on('console', (message) => logged.push(message.text()));
  await page.goto(`${stack.gateways[0].url}/#console`);
  await page.evaluate(`${snippet}; globalThis.opened = ws;`);
  const has = (words) => until(() => logged.some((line) => line.includes(words)), words, SLOW_MS);
  await has('{"type":"hello",');
  await has('"username":"Ana","content":"hi"');
  await has('{"type":"ack","nonce":"3","id":');
  await page.evaluate('opened.close()');
  await has('closed 1000');
  await page.close();
});
