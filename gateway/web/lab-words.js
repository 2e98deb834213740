// SPDX-License-Identifier: MIT
// The lab's words, in English and Spanish.

const WORDS = {
  agree: ['All that are live agree up to {id}: {hash}',
    'Las que están en vivo coinciden hasta {id}: {hash}'],
  back: ['told something again', 'volvió a informar'],
  caughtUp: ['caught up', 'se puso al día'],
  chain: ['chain hash', 'hash de cadena'],
  clients: ['clients', 'clientes'],
  diverge: ['DIVERGENCE at {id}', 'DIVERGENCIA en {id}'],
  drop_redis: ['Drop', 'Cortar'],
  drop_redisHint: ['Drop its Redis link once', 'Cortar su enlace con Redis una vez'],
  entries: ['stream', 'stream'],
  events: ['What happened', 'Qué pasó'],
  exit: ['Exit', 'Terminar'],
  exitHint: ['End the process without a word', 'Terminar el proceso sin avisar'],
  fault: ['fault: {fault}', 'fallo: {fault}'],
  faults: ['do to it', 'hacerle'],
  gone: ['silent for {s} s', 'callado desde hace {s} s'],
  here: ['this page is served by {name}', 'esta página la sirve {name}'],
  lag: ['lag', 'atraso'],
  lastId: ['last id', 'último id'],
  lease: ['lease left', 'resto de cesión'],
  link: ['Redis link: {status}', 'enlace con Redis: {status}'],
  live: ['live', 'en vivo'],
  lost: ['This gateway does not answer', 'Este gateway no responde'],
  message: ['Message', 'Mensaje'],
  opening: ['opening', 'apertura'],
  over: ['the fault is over', 'el fallo terminó'],
  pause_redis: ['Pause', 'Pausar'],
  pause_redisHint: ['Cut its Redis link for so long', 'Cortar su enlace con Redis ese tiempo'],
  picture: ['Gateways, Redis and the persister', 'Gateways, Redis y el persister'],
  refused: ['{n} refused: {status}', '{n} rechazados: {status}'],
  reading: ['catching up', 'poniéndose al día'],
  replica: ['replica', 'réplica'],
  seconds: ['Seconds of a fault', 'Segundos del fallo'],
  send1: ['Send 1', 'Enviar 1'],
  send100: ['Send 100', 'Enviar 100'],
  sent: ['{n} accepted by {name}', '{n} aceptados por {name}'],
  state: ['state', 'estado'],
  stop_reading: ['Stop reading', 'No leer'],
  stop_readingHint: ['Leave unread what Redis pushes', 'No leer lo que Redis envía'],
  stored: ['stored', 'guardado'],
  title: ['Lab: one log, many replicas', 'Laboratorio: un log, muchas réplicas'],
  unknown: ['Nothing to compare yet', 'Aún no hay qué comparar'],
  unsaved: ['unsaved', 'sin guardar'],
  waiting: ['under way', 'en curso'],
};

const language = navigator.languages.find((l) => /^(en|es)\b/.test(l))?.startsWith('es') ? 1 : 0;
document.documentElement.lang = ['en', 'es'][language];

export function t(key, values = {}) {
  return WORDS[key][language].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}
