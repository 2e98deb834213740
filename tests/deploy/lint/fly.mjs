// SPDX-License-Identifier: MIT
// docs/deploy/fly/*.toml by the parts of Fly.io's reference that they use: fields, settings that
// our programs know, a patience longer than the drain, volumes where data is written.
import path from 'node:path';
import { parse as parseToml } from 'smol-toml';
import {
    check,
    checkFound,
    exists,
    files,
    read,
    unknownFields,
    unknownSettings,
} from './harness.mjs';

const fields = {
    '': [
        'app',
        'primary_region',
        'kill_signal',
        'kill_timeout',
        'build',
        'env',
        'processes',
        'mounts',
        'checks',
        'http_service',
        'vm',
    ],
    build: ['image', 'dockerfile'],
    mounts: ['source', 'destination', 'initial_size'],
    http_service: [
        'internal_port',
        'force_https',
        'auto_stop_machines',
        'auto_start_machines',
        'min_machines_running',
        'concurrency',
        'checks',
        'processes',
    ],
    vm: ['size', 'memory', 'cpus', 'cpu_kind'],
};

export function flyProblems(text, name) {
    const fly = parseToml(text);
    const program = path.basename(name, '.toml');
    const problems = unknownFields(fly, fields[''], 'fly');
    for (const part of ['build', 'http_service'])
        if (fly[part]) problems.push(...unknownFields(fly[part], fields[part], part));
    for (const part of ['mounts', 'vm'])
        for (const entry of fly[part] ?? [])
            problems.push(...unknownFields(entry, fields[part], part));
    const { dockerfile, image } = fly.build ?? {};
    if (!dockerfile === !image) problems.push('build: needs either dockerfile or image');
    if (dockerfile && !exists(path.join(path.dirname(name), dockerfile)))
        problems.push(`build: there is no ${dockerfile}`);
    if (!fly.env) return problems;
    problems.push(...unknownSettings(program, Object.keys(fly.env)));
    for (const [key, value] of Object.entries(fly.env))
        if (typeof value !== 'string') problems.push(`env.${key}: must be a text`);
    if (!(parseInt(fly.kill_timeout ?? '5') > Number(fly.env.DRAIN_SECONDS ?? 10)))
        problems.push('is killed before it has drained');
    if (fly.env.HOST !== '::') problems.push('does not listen on IPv6');
    if (fly.http_service && String(fly.http_service.internal_port) !== fly.env.PORT)
        problems.push('internal_port is not PORT');
    if (fly.http_service && fly.http_service.auto_stop_machines !== 'off')
        problems.push('an idle machine is stopped with its WebSockets');
    const stored = fly.env.DATABASE_PATH;
    if (stored && !fly.mounts?.some((m) => stored.startsWith(`${m.destination}/`)))
        problems.push('DATABASE_PATH is on no volume');
    return problems;
}

const planted = [
    [
        'a misspelt field of fly.toml',
        'gateway',
        ['force_https', 'forced_https'],
        /forced_https: unknown field/,
    ],
    [
        'a misspelt setting of fly.toml',
        'gateway',
        ['CLIENTS_MAX', 'CLIENT_MAX'],
        /CLIENT_MAX is no setting/,
    ],
    [
        'a machine that sleeps',
        'gateway',
        ['auto_stop_machines = "off"', 'auto_stop_machines = "stop"'],
        /stopped with its WebSockets/,
    ],
    [
        'a machine that is killed too soon',
        'gateway',
        ['kill_timeout = "40s"', 'kill_timeout = "10s"'],
        /killed before/,
    ],
    ['a database on no volume', 'persister', ['/data/chat.db', '/chat.db'], /on no volume/],
];

export async function checkFly() {
    const names = files((f) => f.endsWith('.toml'), 'docs/deploy/fly');
    for (const name of names) await check(name, () => flyProblems(read(name), name));
    for (const [title, program, [from, to], expected] of planted)
        await checkFound(title, expected, () => {
            const name = `docs/deploy/fly/${program}.toml`;
            return flyProblems(read(name).replace(from, to), name);
        });
}
