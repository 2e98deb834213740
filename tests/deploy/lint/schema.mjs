// SPDX-License-Identifier: MIT
// What an API server checks of a manifest by itself: that kind and every field exist, types,
// required fields, formats. The schemas are those of Kubernetes, the Gateway API and the Prometheus
// operator, compiled to functions by kubernetes-models; these pass over unknown fields. But they
// look at each field that they know, so a field that nobody looked at is unknown.

const packages = [
    [/^gateway\.networking\.k8s\.io\//, '@kubernetes-models/gateway-api'],
    [/^monitoring\.coreos\.com\//, '@kubernetes-models/prometheus-operator'],
    [/^/, 'kubernetes-models'],
];

// The package also has versions that Kubernetes 1.30 and later serve no more, such as v2beta2.
const served = [
    'v1',
    'apps/v1',
    'autoscaling/v2',
    'batch/v1',
    'networking.k8s.io/v1',
    'policy/v1',
    'rbac.authorization.k8s.io/v1',
    'gateway.networking.k8s.io/v1',
    'monitoring.coreos.com/v1',
];

async function modelOf(apiVersion, kind) {
    const [, name] = packages.find(([pattern]) => pattern.test(apiVersion));
    if (!served.includes(apiVersion)) return undefined;
    try {
        return (await import(`${name}/${apiVersion}/${kind}`))[kind];
    } catch {
        return undefined;
    }
}

// A stand-in of a value that remembers which fields were looked at. Of a list each item counts.
function watched(value, where, watches) {
    const seen = new Set();
    const inner = new Map();
    watches.push({ value, where, seen });
    return new Proxy(value, {
        get(target, key) {
            const field = target[key];
            if (typeof key !== 'string' || !Object.hasOwn(target, key)) return field;
            seen.add(key);
            if (field === null || typeof field !== 'object') return field;
            if (!inner.has(key)) {
                const step = Array.isArray(target) ? `[${key}]` : `.${key}`;
                inner.set(key, watched(field, where + step, watches));
            }
            return inner.get(key);
        },
    });
}

const quantity = /^[+-]?(\d+|\d+\.\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/;
const quantityMaps = /\.(requests|limits)\.[^.]+$|\.(sizeLimit|averageValue)$/;
const label = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;
const name = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

// What the schemas call only a string.
function stringProblems(watches) {
    const problems = [];
    for (const { value, where } of watches) {
        if (Array.isArray(value)) continue;
        for (const [key, field] of Object.entries(value)) {
            const path = `${where}.${key}`;
            if (quantityMaps.test(path) && !quantity.test(String(field)))
                problems.push(`${path}: '${field}' is no quantity`);
            if (
                /\.(labels|matchLabels|selector)$/.test(where) &&
                typeof field === 'string' &&
                !(label.test(field) && field.length <= 63)
            )
                problems.push(`${path}: '${field}' is no label value`);
            if (
                /\.ports\[\d+\]$/.test(where) &&
                key === 'name' &&
                !/^(?=.*[a-z])[a-z0-9-]{1,15}$/.test(field)
            )
                problems.push(`${path}: '${field}' is no name of a port`);
        }
    }
    return problems;
}

export async function schemaProblems(manifest) {
    const { apiVersion, kind, metadata } = manifest;
    const where = `${kind}/${metadata?.name}`;
    if (!apiVersion || !kind) return [`${where}: apiVersion and kind are needed`];
    const model = await modelOf(apiVersion, kind);
    if (!model) return [`${where}: no such kind in ${apiVersion}`];
    const problems = [];
    const watches = [];
    if (!name.test(metadata?.name ?? '')) problems.push(`${where}: no valid metadata.name`);
    try {
        model.prototype.validate.call(watched(manifest, where, watches));
    } catch (error) {
        problems.push(`${where}: ${error.message}`);
    }
    for (const { value, where: at, seen } of watches)
        if (!Array.isArray(value))
            for (const key of Object.keys(value))
                if (!seen.has(key)) problems.push(`${at}.${key}: unknown field`);
    return [...problems, ...stringProblems(watches)];
}
