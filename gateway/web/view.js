// SPDX-License-Identifier: MIT
// A timeline on the screen: an entry has one node for its life, and a render moves none that stays.
// What people wrote becomes text nodes, and links to http and https, nothing else.

import { dayOf, momentOf, t, timeOf, tn } from './i18n.js';
import { hue, initial, linkify } from './text.js';

const GROUP_MS = 300000; // messages of one person this close share a head
const NEAR_PX = 48; // from the end: still at the end
const TOP_PX = 500; // from the start: what is older is wanted

export function element(tag, className, ...children) {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...children);
  return node;
}

const button = (words, onclick) => Object.assign(element('button', '', words), { onclick });

const piece = ({ text, href }) => (href ? Object.assign(element('a', '', text), {
  href, rel: 'noopener noreferrer', target: '_blank',
}) : text);

function together(a, b) {
  return a?.at && b?.at && a.username === b.username && b.at - a.at < GROUP_MS
    && a.at.toDateString() === b.at.toDateString();
}

export class View {
  atEnd = true;
  nodes = new WeakMap(); // entry -> its node

  // on: older() is wanted, scrolled(), retry(message), look(gap).
  constructor(scroller, list, on) {
    Object.assign(this, { scroller, list, on });
    scroller.onscroll = () => {
      const { scrollHeight, scrollTop, clientHeight } = scroller;
      if (clientHeight !== this.height) return; // not the reader's doing: the observer is next
      this.atEnd = scrollHeight - scrollTop - clientHeight < NEAR_PX;
      this.checkTop();
      on.scrolled();
    };
    new ResizeObserver(() => {
      this.height = scroller.clientHeight;
      if (this.atEnd) this.toEnd();
    }).observe(scroller);
  }

  render(entries, name) {
    const edge = this.scroller.getBoundingClientRect().top;
    const place = (node) => node.getBoundingClientRect();
    const anchor = !this.atEnd
      && [...this.list.querySelectorAll('.message')].find((node) => place(node).bottom > edge);
    const top = anchor && place(anchor).top;
    this.replace(this.arrange(entries, name));
    if (anchor?.isConnected) this.scroller.scrollTop += place(anchor).top - top;
    else if (this.atEnd) this.toEnd();
    this.checkTop();
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.atEnd = true;
  }

  checkTop() {
    if (this.scroller.scrollTop < TOP_PX) this.on.older();
  }

  // Their nodes, with the days between.
  arrange(entries, name) {
    let day;
    return entries.flatMap((entry, i) => {
      if (!this.nodes.has(entry)) this.nodes.set(entry, this[entry.kind](entry));
      const node = this.nodes.get(entry);
      if (entry.kind === 'note') {
        node.textContent = `${t('resumed', entry)} · ${tn('caught', entry.missed)}`;
      }
      if (!entry.at) return [node];
      this.dress(node, entry, name, together(entries[i - 1], entry),
        together(entry, entries[i + 1]));
      if (day === entry.at.toDateString()) return [node];
      day = entry.at.toDateString();
      return [element('li', 'day', dayOf(entry.at)), node];
    });
  }

  replace(nodes) {
    const wanted = new Set(nodes);
    for (const child of [...this.list.children]) if (!wanted.has(child)) child.remove();
    let at = this.list.firstChild;
    for (const node of nodes) {
      if (node === at) at = at.nextSibling;
      else this.list.insertBefore(node, at);
    }
  }

  message(entry) {
    const { username, content } = entry;
    const avatar = element('span', 'avatar', initial(username));
    avatar.ariaHidden = true;
    const bubble = element('p', 'bubble', ...linkify(content).map(piece));
    bubble.dir = 'auto';
    const node = element('li', 'message', avatar,
      element('p', 'head', element('bdi', 'name', username), element('time', '')), bubble,
      element('p', 'foot', element('time', ''), element('span', 'state'),
        button(t('retry'), () => this.on.retry(entry))));
    node.style.setProperty('--hue', hue(username));
    return node;
  }

  gap(gap) {
    return element('li', 'gap', t('gap'), button(t('look'), () => this.on.look(gap)));
  }

  note() {
    return element('li', 'note');
  }

  // What changes in its life.
  dress(node, entry, name, continues, goesOn) {
    const own = entry.nonce || entry.username === name;
    const look = ['message', own && 'own', !continues && 'first', !goesOn && 'last']
      .filter(Boolean).join(' ');
    if (node.className === look && node.dataset.state === entry.state) return;
    node.className = look;
    node.dataset.state = entry.state;
    node.title = `${momentOf(entry.at)}${entry.id ? ` · ${entry.id}` : ''}`;
    for (const time of node.querySelectorAll('time')) time.textContent = timeOf(entry.at);
    node.querySelector('.state').textContent = t(entry.state);
  }
}
