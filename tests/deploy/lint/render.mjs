// SPDX-License-Identifier: MIT
// render.yaml by the rules of Render's Blueprint specification, for the parts of it that a Docker
// project may use; then by ours: health check, private persister with a disk, a Redis that evicts
// nothing and is not open to the world. Then planted mistakes.
import {
    check,
    checkFound,
    exists,
    parse,
    read,
    unknownFields,
    unknownSettings,
} from './harness.mjs';

const regions = ['oregon', 'ohio', 'virginia', 'frankfurt', 'singapore'];
const plans = ['free', 'starter', 'standard', 'pro', 'pro plus', 'pro max', 'pro ultra'];
const policies = [
    'allkeys-lru',
    'volatile-lru',
    'allkeys-random',
    'volatile-random',
    'volatile-ttl',
    'noeviction',
];

const common = ['type', 'name', 'region', 'plan', 'previews'];
const docker = [
    ...common,
    'runtime',
    'repo',
    'branch',
    'rootDir',
    'buildFilter',
    'autoDeployTrigger',
    'envVars',
    'dockerfilePath',
    'dockerContext',
    'dockerCommand',
    'registryCredential',
    'image',
    'numInstances',
    'scaling',
    'preDeployCommand',
    'maxShutdownDelaySeconds',
    'disk',
];
const fields = {
    web: [...docker, 'healthCheckPath', 'domains', 'ipAllowList'],
    pserv: docker,
    worker: docker,
    keyvalue: [...common, 'ipAllowList', 'maxmemoryPolicy'],
};
const properties = {
    web: ['host', 'port', 'hostport'],
    pserv: ['host', 'port', 'hostport'],
    keyvalue: ['connectionString'],
};

const oneOf = (value, allowed, where) =>
    value === undefined || allowed.includes(value)
        ? []
        : [`${where}: '${value}' is none of ${allowed.join(', ')}`];
const whole = (value, min, max, where) =>
    value === undefined || (Number.isInteger(value) && value >= min && value <= max)
        ? []
        : [`${where}: must be a whole number from ${min} to ${max}`];

function referenceProblems(ref, services, where) {
    const problems = unknownFields(ref, ['name', 'type', 'property', 'envVarKey'], where);
    const target = services.find((s) => s.name === ref.name);
    if (!target) return [...problems, `${where}: there is no service ${ref.name}`];
    if (target.type !== ref.type) problems.push(`${where}: ${ref.name} is of type ${target.type}`);
    if ('property' in ref === 'envVarKey' in ref)
        problems.push(`${where}: needs either property or envVarKey`);
    if (ref.property)
        problems.push(...oneOf(ref.property, properties[target.type] ?? [], `${where}.property`));
    if (ref.envVarKey && !target.envVars?.some((v) => v.key === ref.envVarKey))
        problems.push(`${where}: ${ref.name} has no ${ref.envVarKey}`);
    return problems;
}

function variableProblems(service, services) {
    const problems = [];
    const keys = new Set();
    for (const [i, v] of (service.envVars ?? []).entries()) {
        const where = `${service.name}.envVars[${i}]`;
        problems.push(
            ...unknownFields(
                v,
                [
                    'key',
                    'value',
                    'generateValue',
                    'sync',
                    'fromService',
                    'fromDatabase',
                    'fromGroup',
                ],
                where,
            ),
        );
        if ('fromGroup' in v) continue;
        if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(v.key ?? ''))
            problems.push(`${where}.key: no name of a variable`);
        if (keys.has(v.key)) problems.push(`${where}: ${v.key} twice`);
        keys.add(v.key);
        const sources = ['value', 'generateValue', 'sync', 'fromService', 'fromDatabase'].filter(
            (s) => s in v,
        );
        if (sources.length !== 1) problems.push(`${where}: needs one source of a value`);
        if ('value' in v && typeof v.value !== 'string')
            problems.push(`${where}.value: must be a text`);
        if (v.fromService)
            problems.push(...referenceProblems(v.fromService, services, `${where}.fromService`));
    }
    return problems;
}

function dockerProblems(s, isThere) {
    const problems = [
        ...oneOf(s.runtime, ['docker', 'image'], `${s.name}.runtime`),
        ...oneOf(
            s.autoDeployTrigger,
            ['commit', 'checksPass', 'off'],
            `${s.name}.autoDeployTrigger`,
        ),
        ...whole(s.maxShutdownDelaySeconds, 1, 300, `${s.name}.maxShutdownDelaySeconds`),
        ...whole(s.numInstances, 1, 100, `${s.name}.numInstances`),
    ];
    if (!s.runtime) problems.push(`${s.name}: no runtime`);
    if (s.runtime === 'docker' && !isThere(s.dockerfilePath ?? 'Dockerfile'))
        problems.push(`${s.name}: there is no ${s.dockerfilePath ?? 'Dockerfile'}`);
    if (s.plan === 'free' && s.type !== 'web')
        problems.push(`${s.name}: no free plan for ${s.type}`);
    if (s.disk) {
        problems.push(
            ...unknownFields(s.disk, ['name', 'mountPath', 'sizeGB'], `${s.name}.disk`),
            ...whole(s.disk.sizeGB, 1, 10000, `${s.name}.disk.sizeGB`),
        );
        if (!s.disk.name || !s.disk.mountPath?.startsWith('/'))
            problems.push(`${s.name}.disk: needs name and mountPath`);
        if (s.scaling || (s.numInstances ?? 1) > 1)
            problems.push(`${s.name}: with a disk there is one instance`);
        if (s.plan === 'free') problems.push(`${s.name}: no disk on the free plan`);
    }
    if (s.healthCheckPath && !s.healthCheckPath.startsWith('/'))
        problems.push(`${s.name}.healthCheckPath: must begin with /`);
    return problems;
}

function keyValueProblems(s) {
    const problems = oneOf(s.maxmemoryPolicy, policies, `${s.name}.maxmemoryPolicy`);
    if (!Array.isArray(s.ipAllowList)) problems.push(`${s.name}: ipAllowList is required`);
    for (const entry of s.ipAllowList ?? [])
        problems.push(...unknownFields(entry, ['source', 'description'], `${s.name}.ipAllowList`));
    return problems;
}

const valueOf = (s, key) => s.envVars?.find((v) => v.key === key)?.value;

// What this project needs to work there.
function houseProblems(services) {
    const problems = [];
    const byType = (type) => services.filter((s) => s.type === type);
    const [gateway, persister, redis] = ['web', 'pserv', 'keyvalue'].map((type) => byType(type)[0]);
    if (!gateway || !persister || !redis)
        return ['needs a web service, a private service and a key value store'];
    if (gateway.healthCheckPath !== '/readyz') problems.push('the health check is not /readyz');
    if (!valueOf(gateway, 'PORT')) problems.push('the gateway has no PORT');
    if (redis.maxmemoryPolicy !== 'noeviction') problems.push('the key value store evicts');
    if (redis.ipAllowList?.length) problems.push('the key value store is open to the outside');
    if (
        !persister.disk ||
        !valueOf(persister, 'DATABASE_PATH')?.startsWith(`${persister.disk.mountPath}/`)
    )
        problems.push('DATABASE_PATH is not on the disk');
    for (const [program, s] of [
        ['gateway', gateway],
        ['persister', persister],
    ])
        problems.push(
            ...unknownSettings(
                program,
                s.envVars.map((v) => v.key),
            ),
        );
    for (const s of [gateway, persister])
        if (!((s.maxShutdownDelaySeconds ?? 30) > Number(valueOf(s, 'DRAIN_SECONDS') ?? 10)))
            problems.push(`${s.name}: is killed before it has drained`);
    if (new Set(services.map((s) => s.region)).size !== 1)
        problems.push('the services are not in one region: no private network');
    return problems;
}

// isThere: whether the project has that file.
export function blueprintProblems(text, isThere) {
    const [blueprint] = parse(text);
    const problems = unknownFields(
        blueprint,
        ['services', 'databases', 'envVarGroups', 'projects', 'ungrouped', 'previews'],
        'render',
    );
    const services = blueprint.services ?? [];
    const names = services.map((s) => s.name);
    if (new Set(names).size !== names.length) problems.push('a name is used twice');
    for (const s of services) {
        if (!fields[s.type]) {
            problems.push(`${s.name}.type: '${s.type}' is no type of a service`);
            continue;
        }
        if (!s.name) problems.push('a service without a name');
        problems.push(
            ...unknownFields(s, fields[s.type], s.name),
            ...oneOf(s.region, regions, `${s.name}.region`),
            ...oneOf(s.plan, plans, `${s.name}.plan`),
            ...variableProblems(s, services),
            ...(s.type === 'keyvalue' ? keyValueProblems(s) : dockerProblems(s, isThere)),
        );
    }
    return [...problems, ...(problems.length ? [] : houseProblems(services))];
}

const planted = [
    ['a misspelt field', ['healthCheckPath', 'healthcheckPath'], /healthcheckPath: unknown field/],
    [
        'an unknown type',
        ['type: keyvalue\n    name', 'type: cache\n    name'],
        /no type of a service/,
    ],
    ['an unknown region', ['region: frankfurt', 'region: berlin'], /'berlin' is none of/],
    [
        'a reference to nothing',
        ['name: chat-persister\n          property', 'name: persister\n          property'],
        /no service persister/,
    ],
    [
        'a property that the type has not',
        ['property: hostport', 'property: connectionString'],
        /'connectionString' is none of host/,
    ],
    ['a number where a text is needed', ['value: "10000"', 'value: 10000'], /must be a text/],
    [
        'a boolean where a word is needed',
        ['autoDeployTrigger: "off"', 'autoDeployTrigger: false'],
        /'false' is none of/,
    ],
    [
        'a Dockerfile that is not there',
        ['./Dockerfile.gateway', './Dockerfile.web'],
        /no .\/Dockerfile.web/,
    ],
    [
        'too long a shutdown',
        ['maxShutdownDelaySeconds: 40', 'maxShutdownDelaySeconds: 400'],
        /from 1 to 300/,
    ],
    [
        'too short a shutdown',
        ['maxShutdownDelaySeconds: 40', 'maxShutdownDelaySeconds: 20'],
        /killed before/,
    ],
    [
        'two persisters on a disk',
        ['    disk:', '    numInstances: 2\n    disk:'],
        /there is one instance/,
    ],
    [
        'a free private service',
        [
            'plan: starter\n    maxShutdownDelaySeconds: 40 # longer than DRAIN_SECONDS\n    autoDeployTrigger: "off"\n    disk',
            'plan: free\n    disk',
        ],
        /no free plan/,
    ],
    ['a Redis that evicts', ['noeviction', 'allkeys-lru'], /evicts/],
    [
        'a Redis open to the world',
        ['ipAllowList: []', 'ipAllowList: [{source: 0.0.0.0/0}]'],
        /open to the outside/,
    ],
    [
        'a Redis without a list',
        ['    ipAllowList: [] # only from the private network\n', ''],
        /ipAllowList is required/,
    ],
    [
        'a misspelt setting in the blueprint',
        ['key: ALLOWED_ORIGINS', 'key: ALLOWED_ORIGIN'],
        /ALLOWED_ORIGIN is no setting/,
    ],
    ['a database beside the disk', ['/data/chat.db', '/tmp/chat.db'], /not on the disk/],
];

export async function checkBlueprint() {
    const text = read('render.yaml');
    await check('render.yaml', () => blueprintProblems(text, exists));
    for (const [name, [from, to], expected] of planted)
        await checkFound(name, expected, () => {
            if (!text.includes(from)) return [`render.yaml has no '${from}' to plant it into`];
            return blueprintProblems(text.replace(from, to), (name) =>
                /^\.\/Dockerfile\.(gateway|persister)$/.test(name),
            );
        });
}
