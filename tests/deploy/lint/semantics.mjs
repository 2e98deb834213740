// SPDX-License-Identifier: MIT
// What no schema tells of a set of manifests: that names point to something that is there, that
// selectors select, that times agree, and what this project asks of its pods beyond `restricted`.
import { unknownSettings } from './harness.mjs';
import { restrictedProblems } from './pod_security.mjs';

const workloads = ['Deployment', 'StatefulSet', 'DaemonSet', 'Job', 'CronJob'];
const isWorkload = (m) => workloads.includes(m.kind);
const templateOf = (m) =>
    m.kind === 'CronJob' ? m.spec.jobTemplate.spec.template : m.spec.template;
const title = (m) => `${m.kind}/${m.metadata.name}`;

function selects(selector, labels = {}) {
    const { matchLabels = {}, matchExpressions = [] } = selector;
    return (
        Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
        matchExpressions.every(({ key, operator, values }) =>
            ({
                In: () => values.includes(labels[key]),
                NotIn: () => !values.includes(labels[key]),
                Exists: () => key in labels,
                DoesNotExist: () => !(key in labels),
            })[operator](),
        )
    );
}

const podsOf = (set, selector) =>
    set.filter((m) => isWorkload(m) && selects(selector, templateOf(m).metadata.labels));
const portsOf = (m) => templateOf(m).spec.containers.flatMap((c) => c.ports ?? []);
const find = (set, kind, name) => set.find((m) => m.kind === kind && m.metadata.name === name);

// A port by name or number among a workload's container ports.
const hasPort = (m, port) =>
    portsOf(m).some((p) => (typeof port === 'number' ? p.containerPort === port : p.name === port));

function serviceProblems(set, service) {
    const pods = podsOf(set, { matchLabels: service.spec.selector });
    if (!pods.length) return [`${title(service)}: selects no pods`];
    return pods.flatMap((m) =>
        service.spec.ports
            .filter((port) => !hasPort(m, port.targetPort ?? port.port))
            .map(
                (port) =>
                    `${title(service)}: ${title(m)} has no port ${port.targetPort ?? port.port}`,
            ),
    );
}

function backendProblems(set, owner, name, port) {
    const service = find(set, 'Service', name);
    if (!service) return [`${title(owner)}: no Service ${name}`];
    const there = service.spec.ports.some((p) => p.port === port || p.name === port);
    return there ? [] : [`${title(owner)}: Service ${name} has no port ${port}`];
}

// Every peer that is a selector of this namespace's pods must select some, with that port open.
function policyProblems(set, policy) {
    const problems = [];
    const self = podsOf(set, policy.spec.podSelector);
    if (!self.length) problems.push(`${title(policy)}: selects no pods`);
    for (const [direction, peers] of [
        ['ingress', 'from'],
        ['egress', 'to'],
    ])
        for (const rule of policy.spec[direction] ?? []) {
            const inner = (rule[peers] ?? []).filter(
                (peer) => peer.podSelector && !peer.namespaceSelector,
            );
            const others = inner.flatMap((peer) => {
                const pods = podsOf(set, peer.podSelector);
                if (!pods.length)
                    problems.push(`${title(policy)}: an ${direction} peer selects no pods`);
                return pods;
            });
            for (const pod of direction === 'ingress' ? self : others)
                for (const { port } of rule.ports ?? [])
                    if (!hasPort(pod, port))
                        problems.push(`${title(policy)}: ${title(pod)} has no port ${port}`);
        }
    return problems;
}

function referenceProblems(set, m, outside) {
    const problems = [];
    const spec = templateOf(m).spec;
    const need = (kind, name, key) => {
        if (outside.includes(`${kind}/${name}`)) return;
        const target = find(set, kind, name);
        if (!target) problems.push(`${title(m)}: no ${kind} ${name}`);
        else if (key && !(key in { ...target.data, ...target.stringData }))
            problems.push(`${title(m)}: ${kind} ${name} has no key ${key}`);
    };
    if (spec.serviceAccountName) need('ServiceAccount', spec.serviceAccountName);
    if (m.kind === 'StatefulSet') need('Service', m.spec.serviceName);
    const volumes = [
        ...(spec.volumes ?? []).map((v) => v.name),
        ...(m.spec.volumeClaimTemplates ?? []).map((v) => v.metadata.name),
    ];
    for (const v of spec.volumes ?? []) {
        if (v.configMap) need('ConfigMap', v.configMap.name);
        if (v.secret) need('Secret', v.secret.secretName);
    }
    for (const c of spec.containers) {
        for (const e of c.envFrom ?? []) {
            if (e.configMapRef) need('ConfigMap', e.configMapRef.name);
            if (e.secretRef) need('Secret', e.secretRef.name);
        }
        for (const { valueFrom } of c.env ?? []) {
            if (valueFrom?.secretKeyRef)
                need('Secret', valueFrom.secretKeyRef.name, valueFrom.secretKeyRef.key);
            if (valueFrom?.configMapKeyRef)
                need('ConfigMap', valueFrom.configMapKeyRef.name, valueFrom.configMapKeyRef.key);
        }
        for (const mount of c.volumeMounts ?? [])
            if (!volumes.includes(mount.name))
                problems.push(`${title(m)}: no volume ${mount.name}`);
        for (const probe of [c.livenessProbe, c.readinessProbe, c.startupProbe]) {
            const port = (probe?.httpGet ?? probe?.tcpSocket)?.port;
            if (port !== undefined && !hasPort(m, port))
                problems.push(`${title(m)}: a probe's port ${port} is not there`);
        }
    }
    return problems;
}

// SIGTERM comes after preStop, SIGKILL terminationGracePeriodSeconds after the start of both.
function endingProblems(set, m) {
    const { containers, terminationGracePeriodSeconds: grace = 30 } = templateOf(m).spec;
    return containers.flatMap((c) => {
        const map = (c.envFrom ?? [])
            .map((e) => find(set, 'ConfigMap', e.configMapRef?.name))
            .find(Boolean);
        const drain = Number(map?.data.DRAIN_SECONDS ?? 0);
        const sleep = c.lifecycle?.preStop?.sleep?.seconds ?? 0;
        if (c.lifecycle?.preStop?.exec && /chat-/.test(c.image))
            return [`${title(m)}: the image has nothing to execute`];
        return grace > sleep + drain
            ? []
            : [
                  `${title(m)}: ${grace} s of grace for ${sleep} s of preStop and ${drain} s of drain`,
              ];
    });
}

// Names of variables that our programs would pass over.
function settingProblems(set, m) {
    return templateOf(m)
        .spec.containers.filter((c) => ['gateway', 'persister'].includes(c.name))
        .flatMap((c) => {
            const maps = (c.envFrom ?? []).map(
                (e) => find(set, 'ConfigMap', e.configMapRef?.name)?.data ?? {},
            );
            const names = [...maps.flatMap(Object.keys), ...(c.env ?? []).map((e) => e.name)];
            return unknownSettings(c.name, names).map((p) => `${title(m)}: ${p}`);
        });
}

// What this project asks of its pods beyond `restricted`.
function houseProblems(m) {
    const { metadata, spec } = templateOf(m);
    const problems = restrictedProblems(metadata, spec).map((p) => `PodSecurity restricted: ${p}`);
    if (spec.automountServiceAccountToken !== false) problems.push('has a service-account token');
    for (const c of spec.containers) {
        const uid = c.securityContext?.runAsUser ?? spec.securityContext?.runAsUser;
        if (!c.securityContext?.readOnlyRootFilesystem)
            problems.push(`${c.name}: the root file system can be written`);
        if (uid !== 10001)
            problems.push(`${c.name}: runs as ${uid ?? 'whom the image says'}, not as 10001`);
        for (const kind of ['requests', 'limits'])
            for (const resource of ['cpu', 'memory'])
                if (!c.resources?.[kind]?.[resource])
                    problems.push(`${c.name}: no resources.${kind}.${resource}`);
        for (const probe of ['readinessProbe', 'livenessProbe', 'startupProbe'])
            if (!c[probe]) problems.push(`${c.name}: no ${probe}`);
        if (!/:(?!latest$)[^/]+$|@sha256:/.test(c.image))
            problems.push(`${c.name}: ${c.image} says no version`);
    }
    return problems.map((p) => `${title(m)}: ${p}`);
}

function workloadProblems(set, m, outside) {
    const problems = [];
    if (m.spec.selector && !selects(m.spec.selector, templateOf(m).metadata.labels))
        problems.push(`${title(m)}: its selector does not select its own pods`);
    for (const { labelSelector } of templateOf(m).spec.topologySpreadConstraints ?? [])
        if (!selects(labelSelector, templateOf(m).metadata.labels))
            problems.push(`${title(m)}: spreads other pods`);
    return [
        ...problems,
        ...referenceProblems(set, m, outside),
        ...endingProblems(set, m),
        ...settingProblems(set, m),
        ...houseProblems(m),
    ];
}

function scalerProblems(set, m) {
    const { kind, name } = m.spec.scaleTargetRef;
    const target = find(set, kind, name);
    if (!target) return [`${title(m)}: no ${kind} ${name}`];
    const replicas = target.spec.replicas ?? m.spec.minReplicas;
    return replicas >= m.spec.minReplicas && replicas <= m.spec.maxReplicas
        ? []
        : [`${title(m)}: ${title(target)} has ${replicas} replicas`];
}

const byKind = {
    Service: serviceProblems,
    NetworkPolicy: policyProblems,
    HorizontalPodAutoscaler: scalerProblems,
    PodDisruptionBudget: (set, m) =>
        podsOf(set, m.spec.selector).length ? [] : [`${title(m)}: selects no pods`],
    Ingress: (set, m) =>
        m.spec.rules.flatMap((rule) =>
            rule.http.paths.flatMap(({ backend: { service } }) =>
                backendProblems(set, m, service.name, service.port.number ?? service.port.name),
            ),
        ),
    HTTPRoute: (set, m) =>
        m.spec.rules.flatMap((rule) =>
            rule.backendRefs.flatMap((ref) => backendProblems(set, m, ref.name, ref.port)),
        ),
    ServiceMonitor: (set, m) => {
        const services = set.filter(
            (s) => s.kind === 'Service' && selects(m.spec.selector, s.metadata.labels),
        );
        if (!services.length) return [`${title(m)}: selects no Service`];
        return services.flatMap((s) =>
            m.spec.endpoints
                .filter((e) => !s.spec.ports.some((p) => p.name === e.port))
                .map((e) => `${title(m)}: ${title(s)} has no port ${e.port}`),
        );
    },
    Namespace: (set, m) =>
        m.metadata.labels?.['pod-security.kubernetes.io/enforce'] === 'restricted'
            ? []
            : [`${title(m)}: does not enforce restricted`],
};

// outside: 'Kind/name' of what is there without being in the set.
export function semanticProblems(set, outside = []) {
    const problems = [];
    const seen = new Set();
    for (const m of set) {
        const key = `${m.apiVersion} ${m.kind} ${m.metadata.namespace} ${m.metadata.name}`;
        if (seen.has(key)) problems.push(`${title(m)}: twice`);
        seen.add(key);
        if (m.kind !== 'Namespace' && !find(set, 'Namespace', m.metadata.namespace))
            problems.push(`${title(m)}: in no namespace of the set`);
        if (isWorkload(m)) problems.push(...workloadProblems(set, m, outside));
        problems.push(...(byKind[m.kind]?.(set, m) ?? []));
    }
    const denial = set.some(
        (m) =>
            m.kind === 'NetworkPolicy' &&
            !Object.keys(m.spec.podSelector).length &&
            !m.spec.ingress &&
            !m.spec.egress &&
            ['Ingress', 'Egress'].every((t) => m.spec.policyTypes.includes(t)),
    );
    if (!denial) problems.push('no NetworkPolicy denies all by default');
    return problems;
}
