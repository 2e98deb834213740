// SPDX-License-Identifier: MIT
// What is made of texts that others wrote; pure. Nothing here makes markup.

const LINK_MAX = 2000; // characters; a longer one stays text
const CLOSING = { ')': '(', ']': '[', '}': '{' };

// Without the punctuation of the sentence around it: (see https://a.example/x_(y)).
function trimLink(link) {
  const last = link.at(-1);
  const open = CLOSING[last];
  const outside = open ? link.split(open).length < link.split(last).length
    : '.,;:!?*_~…'.includes(last);
  return outside ? trimLink(link.slice(0, -1)) : link;
}

// A text in pieces: {text} or, only for http and https, {text, href}.
export function linkify(text) {
  const pieces = [];
  let end = 0;
  for (const { 0: match, index } of text.matchAll(/\bhttps?:\/\/[^\s<>"'`]+/giu)) {
    const link = match.length < LINK_MAX ? trimLink(match) : '';
    if (!URL.canParse(link)) continue;
    pieces.push({ text: text.slice(end, index) }, { text: link, href: new URL(link).href });
    end = index + link.length;
  }
  pieces.push({ text: text.slice(end) });
  return pieces.filter((piece) => piece.text);
}

// In characters, as the server counts.
export const length = (text) => [...text].length;

// What a reader sees as the first character.
export const initial = (name) => [...new Intl.Segmenter().segment(name)][0].segment.toUpperCase();

// A name's colour, the same on every screen.
export function hue(name) {
  let hash = 2166136261;
  for (const character of name) hash = Math.imul(hash ^ character.codePointAt(0), 16777619);
  return (hash >>> 0) % 360;
}

// A room's name (1 to 64 of A-Z a-z 0-9 _ . -) of what a person typed, or ''.
export function roomName(typed) {
  return typed.normalize('NFD').trim().replace(/\s+/g, '-').replace(/[^\w.-]/g, '').slice(0, 64);
}
