// SPDX-License-Identifier: MIT
// Every shell script of the project, by shellcheck.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { check, checkFound, files, read, root, skip } from './harness.mjs';

// Of a text with a #! line.
export function shellProblems(shellcheck, text, name) {
    const { stdout, stderr, status } = spawnSync(shellcheck, ['--format=gcc', '-'], {
        input: text,
        encoding: 'utf8',
    });
    if (status !== 0 && !stdout) return [`shellcheck: ${stderr}`];
    return stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => line.replace(/^-/, name));
}

function isShell(name) {
    const head = Buffer.alloc(64);
    const fd = fs.openSync(path.join(root, name));
    fs.readSync(fd, head, 0, head.length, 0);
    fs.closeSync(fd);
    return /^#!\s*\S*\b(env )?(ba|da)?sh\b/.test(head.toString('latin1'));
}

export async function checkShell(shellcheck) {
    if (!shellcheck) return skip('shell scripts', 'there is no shellcheck');
    for (const name of files(isShell))
        await check(name, () => shellProblems(shellcheck, read(name), name));
    await checkFound('an unquoted variable', /SC2086/, () =>
        shellProblems(shellcheck, '#!/bin/sh\nrm $1\n', 'sample'),
    );
}
