// SPDX-License-Identifier: MIT
// The picture: gateways above, Redis in the middle, the persister below. Where there is room, wires
// hang from the gateways; on a phone they run along the left side. A message on its way is a dot on
// a wire.

import { Card, make } from './lab-card.js';
import { count, t } from './lab-words.js';

const NS = 'http://www.w3.org/2000/svg';
const FAULTS = ['pause_redis', 'drop_redis', 'stop_reading', 'exit'];
const GATEWAY = ['clients', 'written', 'waiting', 'stored', 'lease', 'opening'];
const PERSISTER = ['unsaved', 'lease', 'opening'];
const REDIS = ['stored', 'unsaved', 'entries', 'opening'];
const FLIGHT_MS = 900;
const FLASH_MS = 1200; // of a wire that was cut so shortly that nobody would have seen it
const DOTS_MAX = 6; // on one wire at one time
const NARROW = 640; // px; below: wires along the side
const TRUNK = 8; // px; where

function draw(name, attributes) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

const middle = (box) => [
  box.offsetLeft + box.offsetWidth / 2, box.offsetTop + box.offsetHeight / 2,
];

export class Picture {
  gateways = new Map(); // name -> { card, wire }

  // ask: called with the name of a replica and a fault.
  constructor(stage, ask) {
    this.stage = stage;
    this.ask = ask;
    this.svg = stage.querySelector('svg');
    this.row = stage.querySelector('#gateways');
    this.redis = new Card(stage.querySelector('#redis'), t('redis'), REDIS);
    this.room = make('meter', { min: 0, max: 1, low: 0.2, high: 0.5, optimum: 1 });
    this.left = make('span');
    this.redis.box.append(make('p', { className: 'room', title: t('leaseHint') },
      make('span', { textContent: t('lease') }), this.room, this.left));
    this.persister = new Card(stage.querySelector('#persister'), t('persister'), PERSISTER, FAULTS,
      (fault) => ask('persister', fault));
    this.persister.box.dataset.name = 'persister';
    this.below = draw('path', { class: 'wire' });
    this.svg.append(this.below);
    new ResizeObserver(() => this.place()).observe(stage);
  }

  // gateways: [{ name, … as Card.show takes it, down }]; redis and persister likewise; log: its
  // seq, stored and lease.
  show(gateways, redis, persister, log) {
    for (const name of this.gateways.keys()) {
      if (!gateways.some((one) => one.name === name)) this.forget(name);
    }
    for (const one of gateways) this.gateway(one);
    gateways.forEach(({ name }, i) => {
      const { box } = this.gateways.get(name).card;
      if (this.row.children[i] !== box) this.row.insertBefore(box, this.row.children[i]);
    });
    this.redis.show(redis);
    const room = Math.max(log.lease - log.seq, 0);
    this.room.value = room / Math.max(log.lease - log.stored, 1);
    this.left.textContent = count(room);
    this.persister.show(persister);
    this.below.classList.toggle('down', persister.down);
    this.place();
  }

  gateway(one) {
    if (!this.gateways.has(one.name)) {
      const card = new Card(this.row, one.name, GATEWAY, FAULTS,
        (fault) => this.ask(one.name, fault));
      const wire = draw('path', { class: 'wire' });
      card.box.dataset.name = one.name;
      this.svg.prepend(wire);
      this.gateways.set(one.name, { card, wire });
    }
    const { card, wire } = this.gateways.get(one.name);
    card.show(one);
    wire.classList.toggle('down', one.down);
  }

  forget(name) {
    const { card, wire } = this.gateways.get(name);
    card.box.remove();
    wire.remove();
    this.gateways.delete(name);
  }

  // All wires, each from the box above (beside) to the one below.
  place() {
    const { box: redis } = this.redis;
    const narrow = this.stage.offsetWidth < NARROW;
    const [x, y] = middle(redis);
    const fromLeft = [...this.gateways.values()]
      .sort((a, b) => a.card.box.offsetLeft - b.card.box.offsetLeft);
    fromLeft.forEach(({ card: { box }, wire }, i) => {
      const [from, height] = middle(box);
      const to = redis.offsetLeft + redis.offsetWidth * ((i + 1) / (fromLeft.length + 1));
      const [top, end] = [box.offsetTop + box.offsetHeight, redis.offsetTop];
      wire.setAttribute('d', narrow
        ? `M${box.offsetLeft} ${height}H${TRUNK}V${y}H${redis.offsetLeft}`
        : `M${from} ${top}C${from} ${(top + end) / 2} ${to} ${(top + end) / 2} ${to} ${end}`);
    });
    this.below.setAttribute('d',
      `M${x} ${redis.offsetTop + redis.offsetHeight}V${this.persister.box.offsetTop}`);
  }

  wireOf(name) {
    return name === 'persister' ? this.below : this.gateways.get(name)?.wire;
  }

  // It was cut, and is whole again.
  flash(name) {
    const wire = this.wireOf(name);
    wire?.classList.add('cut');
    setTimeout(() => wire?.classList.remove('cut'), FLASH_MS);
  }

  // Messages between Redis and a replica: up is towards Redis.
  travel(name, messages, up) {
    const wire = this.wireOf(name);
    if (!wire || matchMedia('(prefers-reduced-motion: reduce)').matches) return;
    for (let i = 0; i < Math.min(messages, DOTS_MAX); i++) this.fly(wire, up, i * 90);
  }

  fly(wire, up, delay) {
    const dot = draw('circle', { class: up ? 'dot up' : 'dot', r: 5, visibility: 'hidden' });
    const from = performance.now() + delay;
    // Both kinds of wires begin above: at a gateway, or at Redis above the persister.
    const forward = wire === this.below ? !up : up;
    const step = (now) => {
      const part = (now - from) / FLIGHT_MS;
      if (part >= 1 || !wire.isConnected) {
        dot.remove();
        return;
      }
      if (part >= 0) {
        const { x, y } = wire.getPointAtLength(wire.getTotalLength() * (forward ? part : 1 - part));
        dot.setAttribute('cx', x);
        dot.setAttribute('cy', y);
        dot.removeAttribute('visibility');
      }
      requestAnimationFrame(step);
    };
    this.svg.append(dot);
    requestAnimationFrame(step);
  }
}
