// SPDX-License-Identifier: MIT
// Checks an AsyncAPI document by @asyncapi/parser: asyncapi.mjs FILE. Whatever it says is a
// failure, but that there is a newer AsyncAPI than the 3.0 that the document is written in.
import { readFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], 'utf8'));
const found = diagnostics.filter(({ code }) => code !== 'asyncapi-latest-version');
for (const { code, message, path } of found) console.log(`${code}: ${message} at ${path.join('.')}`);
process.exitCode = document && found.length === 0 ? 0 : 1;
