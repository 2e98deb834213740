// SPDX-License-Identifier: MIT
// One box of the picture: a gateway, Redis or the persister. It has its elements for its life, and
// its wires end at it.

import { count, t } from './lab-words.js';

const STRIPES = 8; // a byte of the hash each

export function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// Only what changed is written, so that a reader's selection and the screen reader are left alone.
export function say(node, words) {
  if (node.textContent !== String(words)) node.textContent = words;
}

// A hash as colours; null: not known. That of no message is all zeros, and has none.
export function paint(stripes, hash) {
  while (stripes.children.length < STRIPES) stripes.append(make('i'));
  if (stripes.dataset.hash === String(hash)) return;
  stripes.dataset.hash = hash;
  const colour = hash !== null && /[^0]/.test(hash);
  [...stripes.children].forEach((stripe, i) => {
    const byte = parseInt(hash?.slice(2 * i, 2 * i + 2), 16);
    stripe.style.background = colour ? `oklch(0.7 0.15 ${byte * 360 / 256})` : '';
  });
}

export class Card {
  // facts: their keys; faults: the buttons' keys, and what a click calls.
  constructor(parent, title, facts, faults = [], ask = null) {
    this.status = make('span', { className: 'status', textContent: '…' });
    this.position = make('b', { className: 'position', title: t('positionHint') });
    this.lag = make('span', { className: 'lag' });
    this.facts = Object.fromEntries(facts.map((key) => [key, make('dd', { className: key })]));
    this.box = make('article', { className: 'card' },
      make('header', {}, make('h2', { textContent: title, title }), this.status),
      make('p', { className: 'at' }, make('span', { textContent: t('position') }), this.position,
        this.lag),
      make('dl', {}, ...facts.map((key) => make('div', { title: t(`${key}Hint`) },
        make('dt', { textContent: t(key) }), this.facts[key]))));
    if (faults.length) {
      this.stripes = make('i', { className: 'stripes' });
      this.hash = make('code');
      this.box.append(
        make('p', { className: 'chain', title: `${t('chain')}. ${t('chainHint')}` }, this.stripes,
          this.hash),
        make('div', { className: 'faults' }, ...faults.map((fault) => make('button', {
          textContent: t(fault), title: t(`${fault}Hint`), onclick: () => ask(fault),
        }))),
      );
    }
    parent.append(this.box);
  }

  // words: of its status; facts: key -> number or null; hash: null is not known.
  show({ status, words, position, lag, facts, hash }) {
    this.box.dataset.status = status;
    say(this.status, words);
    say(this.position, position === null ? '–' : count(position));
    this.lag.dataset.value = lag ?? '';
    say(this.lag, lag === null ? '' : lag > 0 ? t('behind', { n: count(lag) }) : t('upToDate'));
    for (const [key, node] of Object.entries(this.facts)) {
      say(node, facts[key] === null ? '–' : count(facts[key]));
    }
    if (!this.hash) return;
    say(this.hash, hash ?? '–');
    paint(this.stripes, hash);
  }
}
