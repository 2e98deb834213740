// SPDX-License-Identifier: MIT
// The page's words, in the first of the reader's languages that we speak.

const LANGUAGES = ['en', 'es'];
const WORDS = {
  askName: ['What should we call you?', '¿Cómo te llamamos?'],
  begins: ['This is where #{room} begins.', 'Aquí empieza #{room}.'],
  caught: ['nothing missed', 'nada perdido'],
  caught1: ['1 message caught up', '1 mensaje recuperado'],
  caughtN: ['{n} messages caught up', '{n} mensajes recuperados'],
  change: ['Change name', 'Cambiar nombre'],
  closed: ['Closed by the server ({code}).', 'Cerrada por el servidor ({code}).'],
  connecting: ['Connecting…', 'Conectando…'],
  done: ['Delivered', 'Entregado'],
  empty: ['Nobody has written here yet. Say hello!', 'Todavía no hay mensajes. ¡Saluda!'],
  failed: ['Not sent', 'No enviado'],
  gap: ['Messages may be missing here', 'Aquí pueden faltar mensajes'],
  join: ['Join or open a room', 'Entrar o abrir una sala'],
  later: ['Only read', 'Solo leer'],
  latest: ['To the latest', 'A lo último'],
  loading: ['Loading…', 'Cargando…'],
  look: ['Look again', 'Buscar de nuevo'],
  lost: ['Connection lost. Trying again…', 'Conexión perdida. Reintentando…'],
  messages: ['Messages', 'Mensajes'],
  name: ['Name', 'Nombre'],
  nameHint: ['Everybody in the room sees it.', 'Lo ve toda la sala.'],
  new1: ['1 new message', '1 mensaje nuevo'],
  newN: ['{n} new messages', '{n} mensajes nuevos'],
  noName: ['Guest', 'Invitado'],
  offline: ['Offline', 'Sin conexión'],
  offlineBar: ['What you write is sent later.', 'Lo que escribas se enviará luego.'],
  older: ['Older messages cannot be reached now.', 'Ahora no se llega a los mensajes anteriores.'],
  placeholder: ['Message #{room}', 'Mensaje para #{room}'],
  resumed: ['Reconnected to {replica}', 'Reconectado a {replica}'],
  retry: ['Try again', 'Reintentar'],
  rooms: ['Rooms', 'Salas'],
  save: ['Continue', 'Continuar'],
  send: ['Send', 'Enviar'],
  sending: ['Sending…', 'Enviando…'],
  tooLong: ['{n} too many', 'Sobran {n}'],
  tryNow: ['Try now', 'Probar ahora'],
  waiting: ['Waits for the connection', 'Espera la conexión'],
};

// With the region, for dates.
const locale = navigator.languages.find((l) => LANGUAGES.includes(l.slice(0, 2))) ?? 'en';
const language = LANGUAGES.indexOf(locale.slice(0, 2));

export function t(key, values = {}) {
  return WORDS[key][language].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// Counted: caught (0), caught1, caughtN.
export function tn(key, n) {
  return t(n === 1 ? `${key}1` : n || !WORDS[key] ? `${key}N` : key, { n });
}

// Fills the markup: data-t is a text, data-t-label and data-t-hint are attributes.
export function translate() {
  document.documentElement.lang = locale;
  for (const element of document.querySelectorAll('[data-t], [data-t-label], [data-t-hint]')) {
    const { t: text, tLabel: label, tHint: hint } = element.dataset;
    if (text) element.textContent = t(text);
    if (label) element.ariaLabel = t(label);
    if (hint) element.placeholder = t(hint);
  }
}

const format = (options) => new Intl.DateTimeFormat(locale, options).format;
export const timeOf = format({ hour: 'numeric', minute: '2-digit' });
export const momentOf = format({ dateStyle: 'full', timeStyle: 'medium' });
const dateOf = format({ dateStyle: 'full' });
const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });

// Today, yesterday, or the date.
export function dayOf(date) {
  const midnight = (moment) => new Date(moment).setHours(0, 0, 0, 0);
  const days = Math.round((midnight(date) - midnight(Date.now())) / 86400000);
  const day = days === 0 || days === -1 ? relative.format(days, 'day') : dateOf(date);
  return day[0].toUpperCase() + day.slice(1);
}
