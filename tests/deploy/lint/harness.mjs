// SPDX-License-Identifier: MIT
// Counts checks. A check is a function that returns the problems it found, as lines; none: passed.
// Also: the files of the project, and YAML that refuses duplicate keys.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import YAML from 'yaml';

export const here = path.dirname(fileURLToPath(import.meta.url));
export const root = path.resolve(here, '../../..');

const counts = { passed: 0, failed: 0, skipped: 0 };

export async function check(name, find) {
    let problems;
    try {
        problems = await find();
    } catch (error) {
        problems = (error.stack ?? String(error)).split('\n', 3);
    }
    const good = problems.length === 0;
    counts[good ? 'passed' : 'failed']++;
    console.log(`${good ? 'ok  ' : 'FAIL'} ${name}`);
    for (const problem of problems) console.log(`       ${problem}`);
}

// A planted mistake: passes when one of the problems found reads as expected.
export async function checkFound(name, expected, find) {
    await check(`finds ${name}`, async () => {
        const problems = await find();
        if (problems.some((problem) => expected.test(problem))) return [];
        return [`not found; instead: ${problems.join('; ') || 'nothing'}`];
    });
}

export function skip(name, why) {
    counts.skipped++;
    console.log(`skip ${name}: ${why}`);
}

// The line that the whole ends with, and the exit status.
export function finish() {
    const tail = counts.skipped ? `, ${counts.skipped} skipped` : '';
    console.log(`${counts.passed} passed, ${counts.failed} failed${tail}`);
    return counts.failed ? 1 : 0;
}

// Paths below the project's folder, without what is built or installed.
export function files(test, folder = '.') {
    const skipped = new Set(['.git', 'node_modules', 'build', 'var', '.cache', '__pycache__']);
    const found = [];
    for (const entry of fs.readdirSync(path.join(root, folder), { withFileTypes: true })) {
        const name = path.join(folder, entry.name);
        if (entry.isDirectory() && !skipped.has(entry.name)) found.push(...files(test, name));
        else if (entry.isFile() && test(name)) found.push(name);
    }
    return found.sort();
}

export const read = (name) => fs.readFileSync(path.join(root, name), 'utf8');
export const exists = (name) => fs.existsSync(path.join(root, name));

// The names of a program's settings, out of its table. A name that is not there would be passed
// over by the program in silence.
export function settingsOf(program) {
    const sources = [
        `${program}/settings.c`,
        ...files((f) => /settings[^/]*\.[ch]$/.test(f), 'common'),
    ];
    const names = sources.flatMap((f) =>
        [...read(f).matchAll(/\{"([A-Z_]+)", CONFIG_/g)].map((m) => m[1]),
    );
    if (names.length < 5) throw new Error(`${program}: its table of settings was not found`);
    return names;
}

// Of names given to a program, those that it does not know. Not its own: what libraries read.
export function unknownSettings(program, names) {
    const known = [...settingsOf(program), 'SQLITE_TMPDIR', 'SSL_CERT_FILE'];
    return names
        .filter((name) => !known.includes(name))
        .map((name) => `${name} is no setting of chat-${program}`);
}

// The documents of a YAML text. Throws at the first error or warning.
export function parse(text, options = {}) {
    const documents = YAML.parseAllDocuments(text, { uniqueKeys: true, ...options });
    for (const document of documents)
        for (const problem of [...document.errors, ...document.warnings]) throw problem;
    return documents.map((document) => document.toJS()).filter((value) => value !== null);
}

// Fields of a map that are not among the known ones.
export function unknownFields(map, known, where) {
    if (map === null || typeof map !== 'object' || Array.isArray(map))
        return [`${where}: must be a map`];
    return Object.keys(map)
        .filter((key) => !known.includes(key))
        .map((key) => `${where}.${key}: unknown field`);
}
