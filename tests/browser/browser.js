// SPDX-License-Identifier: MIT
// Debian's Chromium by playwright-core: pages of one reader each, whose faults fail the test, and
// screenshots under <build>/browser/.

import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { OUTPUT, until } from './stack.js';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];
export const SLOW_MS = 30000; // for anything that a page does; the programs may be sanitized

// With a profile of its own, empty, that goes with it.
export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: FLAGS,
});

export const PHONE = {
  viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true,
};

export class Reader {
  // name: '' leaves the question for it open.
  static async open(browser, url, name = 'Ana', options = {}) {
    const reader = new Reader();
    reader.context = await browser.newContext({ locale: 'en-GB', ...options });
    reader.page = await reader.context.newPage();
    reader.page.setDefaultTimeout(SLOW_MS);
    reader.faults = [];
    reader.page.on('pageerror', (error) => reader.faults.push(error.stack));
    reader.page.on('console', (message) => {
      const words = message.text();
      if (/Content.Security.Policy|Trusted/i.test(words)) reader.faults.push(words);
    });
    await reader.page.goto(url);
    await reader.page.waitForSelector('#who[open]');
    if (name) {
      await reader.page.fill('#who-name', name);
      await reader.page.press('#who-name', 'Enter');
    }
    await reader.is('open');
    return reader;
  }

  // Until the connection is in that state.
  is(state) {
    return this.page.waitForSelector(`body[data-link=${state}]`);
  }

  async write(words) {
    await this.page.fill('#text', words);
    await this.page.press('#text', 'Enter');
  }

  // What the reader sees, top to bottom.
  messages() {
    return this.page.$$eval('.message', (nodes) => nodes.map((node) => ({
      username: node.querySelector('.name').textContent,
      content: node.querySelector('.bubble').textContent,
      state: node.dataset.state,
      own: node.classList.contains('own'),
    })));
  }

  async contents() {
    return (await this.messages()).map(({ content }) => content);
  }

  // Until just these are on the screen, in this order; or these at the end.
  async shows(expected, atEnd = false) {
    let seen;
    await until(async () => {
      seen = await this.contents();
      if (atEnd) seen = seen.slice(-expected.length);
      return JSON.stringify(seen) === JSON.stringify(expected);
    }, '', SLOW_MS).catch(() => {
      throw new Error(`expected ${JSON.stringify(expected)}\nsaw ${JSON.stringify(seen)}`);
    });
  }

  text(selector) {
    return this.page.textContent(selector);
  }

  async shot(name) {
    mkdirSync(OUTPUT, { recursive: true });
    await this.page.screenshot({ path: path.join(OUTPUT, `${name}.png`), animations: 'disabled' });
  }

  async close() {
    await this.context.close();
    if (this.faults.length) throw new Error(this.faults.join('\n'));
  }
}
