// SPDX-License-Identifier: MIT
// k8s/: each overlay, and each component upon the production overlay, is rendered by kubectl and
// judged as a whole. Then mistakes are planted into what was rendered, and each must be found.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { check, checkFound, files, parse, root, skip } from './harness.mjs';
import { schemaProblems } from './schema.mjs';
import { semanticProblems } from './semantics.mjs';

// docs/KUBERNETES.md: what holds secrets is created by hand there.
const production = 'k8s/overlays/production';
const outsideOf = { [production]: ['Secret/chat-redis-url', 'Secret/chat-redis-tls'] };

function render(kubectl, folder) {
    const text = execFileSync(kubectl, ['kustomize', folder], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
    });
    return parse(text);
}

// A kustomization of its own, beside a copy of k8s/, with the component added to production.
function renderWith(kubectl, component) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'chat-k8s-'));
    try {
        fs.cpSync(path.join(root, 'k8s'), path.join(folder, 'k8s'), { recursive: true });
        fs.mkdirSync(path.join(folder, 'k8s/overlays/with'));
        fs.writeFileSync(
            path.join(folder, 'k8s/overlays/with/kustomization.yaml'),
            `resources: [../production]\ncomponents: [../../components/${component}]\n`,
        );
        return render(kubectl, path.join(folder, 'k8s/overlays/with'));
    } finally {
        fs.rmSync(folder, { recursive: true });
    }
}

async function problemsOf(set, outside) {
    const problems = [];
    for (const manifest of set) problems.push(...(await schemaProblems(manifest)));
    if (problems.length) return problems; // what is not even well-formed is not judged further
    return semanticProblems(set, outside);
}

const of = (kind, name) => (set) => set.find((m) => m.kind === kind && m.metadata.name === name);
const gateway = of('Deployment', 'chat-gateway');
const pod = (set) => gateway(set).spec.template.spec;
const container = (set) => pod(set).containers[0];

// What is planted into a rendered base; the words in which it must be found.
const planted = [
    [
        'a misspelt field',
        (s) => {
            container(s).imagePullPolice = 'Always';
        },
        /imagePullPolice: unknown field/,
    ],
    [
        'a misspelt field of a manifest',
        (s) => {
            gateway(s).specs = {};
        },
        /specs: unknown field/,
    ],
    [
        'a field at the wrong level',
        (s) => {
            pod(s).readinessProbe = container(s).readinessProbe;
        },
        /readinessProbe: unknown/,
    ],
    [
        'a wrong type',
        (s) => {
            gateway(s).spec.replicas = '3';
        },
        /replicas.*integer/,
    ],
    [
        'a number that must be a text',
        (s) => {
            container(s).env[0] = { name: 'PORT', value: 8080 };
        },
        /value.*string/,
    ],
    [
        'a missing required field',
        (s) => {
            delete gateway(s).spec.selector;
        },
        /selector/,
    ],
    [
        'a kind that is no more',
        (s) => {
            of('HorizontalPodAutoscaler', 'chat-gateway')(s).apiVersion = 'autoscaling/v2beta2';
        },
        /no such kind/,
    ],
    [
        'a wrong quantity',
        (s) => {
            container(s).resources.limits.memory = '512MiB';
        },
        /no quantity/,
    ],
    [
        'a selector that selects nothing',
        (s) => {
            of('Service', 'chat-gateway')(s).spec.selector = { app: 'x' };
        },
        /selects no pods/,
    ],
    [
        'a port that is not there',
        (s) => {
            of('Service', 'chat-gateway')(s).spec.ports[0].targetPort = 'web';
        },
        /no port web/,
    ],
    [
        'an Ingress to no Service',
        (s) => {
            of('Ingress', 'chat')(s).spec.rules[0].http.paths[0].backend.service.name = 'x';
        },
        /no Service x/,
    ],
    [
        'a Secret that is not there',
        (s) =>
            s.splice(
                s.findIndex((m) => m.kind === 'Secret'),
                1,
            ),
        /no Secret chat-redis-url/,
    ],
    [
        'a misspelt setting',
        (s) => {
            container(s).env.push({ name: 'DRAIN_SECS', value: '5' });
        },
        /DRAIN_SECS is no setting/,
    ],
    [
        'a policy for nobody',
        (s) => {
            of('NetworkPolicy', 'chat-redis')(s).spec.podSelector = { matchLabels: { app: 'x' } };
        },
        /selects no pods/,
    ],
    [
        'a missing default denial',
        (s) => s.splice(s.indexOf(of('NetworkPolicy', 'default-deny')(s)), 1),
        /denies all/,
    ],
    [
        'too short a grace',
        (s) => {
            pod(s).terminationGracePeriodSeconds = 28;
        },
        /28 s of grace for 8 s of preStop and 20 s/,
    ],
    [
        'a preStop that the image cannot run',
        (s) => {
            container(s).lifecycle.preStop = { exec: { command: ['sleep', '5'] } };
        },
        /nothing to execute/,
    ],
    [
        'a service-account token',
        (s) => {
            pod(s).automountServiceAccountToken = true;
        },
        /has a service-account token/,
    ],
    [
        'a writable root',
        (s) => {
            container(s).securityContext.readOnlyRootFilesystem = false;
        },
        /root file system/,
    ],
    [
        'a missing limit',
        (s) => {
            delete container(s).resources.limits.memory;
        },
        /no resources.limits.memory/,
    ],
    [
        'a namespace without a level',
        (s) => {
            of('Namespace', 'chat')(s).metadata.labels = {};
        },
        /does not enforce/,
    ],
    [
        'a privileged container',
        (s) => {
            container(s).securityContext.privileged = true;
        },
        /restricted: privileged/,
    ],
    [
        'an escalation',
        (s) => {
            delete container(s).securityContext.allowPrivilegeEscalation;
        },
        /allowPrivilegeEscalation/,
    ],
    [
        'kept capabilities',
        (s) => {
            container(s).securityContext.capabilities = { drop: ['NET_RAW'] };
        },
        /must drop ALL/,
    ],
    [
        'an added capability',
        (s) => {
            container(s).securityContext.capabilities.add = ['SYS_ADMIN'];
        },
        /adds SYS_ADMIN/,
    ],
    [
        'root',
        (s) => {
            container(s).securityContext.runAsUser = 0;
        },
        /runAsUser=0/,
    ],
    [
        'somebody who may be root',
        (s) => {
            delete pod(s).securityContext.runAsNonRoot;
        },
        /runAsNonRoot/,
    ],
    [
        'no seccomp',
        (s) => {
            delete pod(s).securityContext.seccompProfile;
        },
        /seccompProfile \(container gateway has none/,
    ],
    [
        'an unconfined seccomp',
        (s) => {
            container(s).securityContext.seccompProfile = { type: 'Unconfined' };
        },
        /Unconfined/,
    ],
    [
        'a hostPath',
        (s) => {
            pod(s).volumes = [{ name: 'h', hostPath: { path: '/' } }];
        },
        /volume types \(h: hostPath/,
    ],
    [
        'the network of the host',
        (s) => {
            pod(s).hostNetwork = true;
        },
        /hostNetwork/,
    ],
    [
        'a port of the host',
        (s) => {
            container(s).ports[0].hostPort = 80;
        },
        /hostPort/,
    ],
    [
        'a sysctl',
        (s) => {
            pod(s).securityContext.sysctls = [{ name: 'kernel.msgmax', value: '1' }];
        },
        /sysctls/,
    ],
];

export async function checkManifests(kubectl) {
    if (!kubectl)
        return skip('k8s/ (rendering)', 'there is no kubectl, and none could be installed');
    const folders = files((f) => f.endsWith('kustomization.yaml'), 'k8s').map((f) =>
        path.dirname(f),
    );
    for (const folder of folders.filter((f) => !f.includes('/components/')))
        await check(`${folder}: schemas, references, restricted PodSecurity`, () =>
            problemsOf(render(kubectl, path.join(root, folder)), outsideOf[folder]),
        );
    for (const folder of folders.filter((f) => f.includes('/components/')))
        await check(`${folder}, upon production`, () =>
            problemsOf(renderWith(kubectl, path.basename(folder)), outsideOf[production]),
        );
    const base = JSON.stringify(render(kubectl, path.join(root, 'k8s/base')));
    for (const [name, plant, expected] of planted)
        await checkFound(name, expected, () => {
            const set = JSON.parse(base);
            plant(set);
            return problemsOf(set, []);
        });
}
