// SPDX-License-Identifier: MIT
// Beside the messages: the rooms this browser knows, and who its reader is.

import { t } from './i18n.js';
import { hue, initial, roomName } from './text.js';
import { element } from './view.js';

const ROOMS_MAX = 30;
const $ = (id) => document.getElementById(id);

let memory = {}; // of this page only, where the browser refuses more
try {
  memory = localStorage;
} catch { /* as said */ }

export const reader = { name: memory.chatName ?? '' };

export function roomOfHash() {
  try {
    return roomName(decodeURIComponent(location.hash)) || 'lobby';
  } catch {
    return 'lobby';
  }
}

export function showRooms(current) {
  const known = memory.chatRooms?.split(' ') ?? [];
  const rooms = [...new Set([current, ...known, 'lobby'])].slice(0, ROOMS_MAX);
  memory.chatRooms = rooms.join(' ');
  $('rooms').replaceChildren(...rooms.sort().map((name) => {
    const link = Object.assign(element('a', '', name), { href: `#${name}` });
    if (name === current) link.ariaCurrent = 'page';
    return element('li', '', link);
  }));
}

function showReader() {
  const { name } = reader;
  const [avatar, label] = $('me').children;
  label.textContent = name || t('noName');
  avatar.textContent = initial(name || '?');
  $('me').style.setProperty('--hue', hue(name));
}

// On a narrow screen.
export function toggleSide(open) {
  document.body.classList.toggle('open', open);
  $('menu').ariaExpanded = open;
  if (open) document.querySelector('[aria-current]').focus();
}

export function askName() {
  $('who-name').value = reader.name;
  $('who').showModal();
}

// changed(): the reader has another name.
export function startRooms(changed) {
  $('menu').onclick = () => toggleSide(true);
  $('shade').onclick = $('rooms').onclick = () => toggleSide(false);
  $('join').onsubmit = (event) => {
    event.preventDefault();
    const name = roomName($('join-name').value);
    if (name) location.hash = name;
    $('join').reset();
    toggleSide(false);
  };
  $('me').onclick = askName;
  $('later').onclick = () => $('who').close();
  $('who-form').onsubmit = (event) => {
    event.preventDefault();
    const name = $('who-name').value.trim();
    if (!name) return;
    reader.name = name;
    memory.chatName = name;
    showReader();
    toggleSide(false);
    $('who').close();
    $('text').focus();
    changed();
  };
  showReader();
  if (!reader.name) askName();
}
