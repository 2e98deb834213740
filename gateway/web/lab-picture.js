// SPDX-License-Identifier: MIT
// The picture: gateways above, Redis in the middle, the persister below. A node has its elements
// for its life; a message on its way is a dot on a wire.

import { t } from './lab-words.js';

const NS = 'http://www.w3.org/2000/svg';
const WIDTH = 1120;
const NODE = { width: 212, height: 112 };
const GAP = 22; // between gateways
const PER_ROW = Math.floor((WIDTH - GAP) / (NODE.width + GAP));
const ROW = 134; // from the top of a row of gateways to the next one's
const REDIS = { width: 380, height: 104 };
const FLIGHT_MS = 900;
const DOTS_MAX = 6; // on one wire at one time

export function draw(name, attributes, ...children) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

class Node {
  constructor(parent, width, height, lines) {
    this.width = width;
    this.height = height;
    this.title = draw('text', { class: 'name', x: 14, y: 26 });
    this.lines = Array.from({ length: lines }, (_, i) =>
      draw('text', { class: 'fact', x: 14, y: 47 + 18 * i }));
    this.group = draw('g', {}, draw('rect', { class: 'node', width, height, rx: 14 }), this.title,
      ...this.lines);
    parent.append(this.group);
  }

  place(x, y) {
    Object.assign(this, { x, y });
    this.group.setAttribute('transform', `translate(${x} ${y})`);
  }

  say(title, lines, mark) {
    this.title.textContent = title;
    this.lines.forEach((line, i) => { line.textContent = lines[i] ?? ''; });
    this.group.setAttribute('class', mark);
  }
}

export class Picture {
  nodes = new Map(); // name of a gateway -> { node, wire }

  constructor(svg) {
    this.svg = svg;
    this.wires = draw('g', {});
    this.dots = draw('g', {});
    this.boxes = draw('g', {});
    svg.append(this.wires, this.dots, this.boxes);
    this.redis = new Node(this.boxes, REDIS.width, REDIS.height, 3);
    this.persister = new Node(this.boxes, REDIS.width, REDIS.height, 3);
    this.below = draw('path', { class: 'wire' });
    this.wires.append(this.below);
    this.left = draw('rect', { class: 'fill', x: 14, y: 88, height: 6, rx: 3 });
    this.redis.group.append(
      draw('rect', { class: 'bar', x: 14, y: 88, width: REDIS.width - 28, height: 6, rx: 3 }),
      this.left,
    );
  }

  // gateways: [{ name, lines, mark, down }], redis and persister likewise; room: how much of the
  // lease is left, 0 to 1.
  show(gateways, redis, persister, room) {
    const rows = Math.max(Math.ceil(gateways.length / PER_ROW), 1);
    const height = 18 + rows * ROW + 70 + REDIS.height + 62 + REDIS.height + 18;
    this.svg.setAttribute('viewBox', `0 0 ${WIDTH} ${height}`);
    const middle = (WIDTH - REDIS.width) / 2;
    this.redis.place(middle, 18 + rows * ROW + 48);
    this.persister.place(middle, this.redis.y + REDIS.height + 62);
    for (const name of this.nodes.keys()) {
      if (!gateways.some((one) => one.name === name)) this.forget(name);
    }
    gateways.forEach((one, i) => this.gateway(one, i, gateways.length));
    this.redis.say('Redis', redis.lines, redis.mark);
    this.left.setAttribute('width', Math.max(0, Math.min(1, room)) * (REDIS.width - 28));
    this.persister.say('persister → SQLite', persister.lines, persister.mark);
    this.below.setAttribute('d', `M${WIDTH / 2} ${this.redis.y + REDIS.height}V${this.persister.y}`);
    this.below.setAttribute('class', persister.down ? 'wire down' : 'wire');
  }

  gateway(one, i, count) {
    const row = Math.floor(i / PER_ROW);
    const inRow = Math.min(count - row * PER_ROW, PER_ROW);
    const left = (WIDTH - inRow * (NODE.width + GAP) + GAP) / 2;
    if (!this.nodes.has(one.name)) {
      const wire = draw('path', { class: 'wire' });
      this.wires.append(wire);
      this.nodes.set(one.name, { node: new Node(this.boxes, NODE.width, NODE.height, 4), wire });
    }
    const { node, wire } = this.nodes.get(one.name);
    node.place(left + (i % PER_ROW) * (NODE.width + GAP), 18 + row * ROW);
    node.say(one.name, one.lines, one.mark);
    const x = node.x + NODE.width / 2;
    const end = WIDTH / 2 + (x - WIDTH / 2) * 0.25;
    wire.setAttribute('d', `M${x} ${node.y + NODE.height}C${x} ${this.redis.y - 20} ${end} ${
      node.y + NODE.height + 20} ${end} ${this.redis.y}`);
    wire.setAttribute('class', one.down ? 'wire down' : 'wire');
  }

  forget(name) {
    const { node, wire } = this.nodes.get(name);
    node.group.remove();
    wire.remove();
    this.nodes.delete(name);
  }

  // Messages between Redis and a gateway, or the persister (null): up is towards Redis.
  travel(name, count, up) {
    const wire = name === null ? this.below : this.nodes.get(name)?.wire;
    if (!wire || matchMedia('(prefers-reduced-motion: reduce)').matches) return;
    for (let i = 0; i < Math.min(count, DOTS_MAX); i++) this.fly(wire, up, i * 90);
  }

  fly(wire, up, delay) {
    const dot = draw('circle', { class: up ? 'dot up' : 'dot', r: 6, visibility: 'hidden' });
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
    this.dots.append(dot);
    requestAnimationFrame(step);
  }
}

export const facts = (...pairs) => pairs.map(([key, value]) => `${t(key)} ${value}`).join(' · ');
