// SPDX-License-Identifier: MIT
// /docs: the viewer (gateway/web/vendor/), dark where the system is.
import '/assets/rapidoc-min.js';

const dark = matchMedia('(prefers-color-scheme: dark)');
const dress = () =>
  document.querySelector('rapi-doc').setAttribute('theme', dark.matches ? 'dark' : 'light');

dark.addEventListener('change', dress);
dress();
