// SPDX-License-Identifier: MIT
// The rules of the `restricted` level of the Pod Security Standards, each as the admission plugin
// words it, over a pod's spec. `restricted` includes `baseline`.

const capabilitiesAllowed = ['NET_BIND_SERVICE'];
const volumesAllowed = [
    'configMap',
    'csi',
    'downwardAPI',
    'emptyDir',
    'ephemeral',
    'image',
    'persistentVolumeClaim',
    'projected',
    'secret',
];
const sysctlsAllowed = [
    'kernel.shm_rmid_forced',
    'net.ipv4.ip_local_port_range',
    'net.ipv4.ip_unprivileged_port_start',
    'net.ipv4.tcp_syncookies',
    'net.ipv4.ping_group_range',
    'net.ipv4.ip_local_reserved_ports',
    'net.ipv4.tcp_keepalive_time',
    'net.ipv4.tcp_fin_timeout',
    'net.ipv4.tcp_keepalive_intvl',
    'net.ipv4.tcp_keepalive_probes',
    'net.ipv4.tcp_rmem',
    'net.ipv4.tcp_wmem',
];
const selinuxTypes = [
    undefined,
    '',
    'container_t',
    'container_init_t',
    'container_kvm_t',
    'container_engine_t',
];
const seccompTypes = ['RuntimeDefault', 'Localhost'];

const containersOf = (spec) => [
    ...(spec.initContainers ?? []),
    ...(spec.containers ?? []),
    ...(spec.ephemeralContainers ?? []),
];

function hostProblems(spec) {
    const problems = [];
    for (const key of ['hostNetwork', 'hostPID', 'hostIPC'])
        if (spec[key]) problems.push(`host namespaces (${key}=true)`);
    for (const volume of spec.volumes ?? []) {
        const kind = Object.keys(volume).find((key) => key !== 'name');
        if (kind && !volumesAllowed.includes(kind))
            problems.push(`restricted volume types (${volume.name}: ${kind})`);
    }
    for (const { name } of spec.securityContext?.sysctls ?? [])
        if (!sysctlsAllowed.includes(name)) problems.push(`forbidden sysctls (${name})`);
    return problems;
}

// Of a pod's or a container's security context alike.
function contextProblems(context, who) {
    const problems = [];
    const { seLinuxOptions: selinux, appArmorProfile: apparmor } = context;
    if (context.windowsOptions?.hostProcess) problems.push(`hostProcess (${who})`);
    if (context.runAsUser === 0) problems.push(`runAsUser=0 (${who})`);
    if (context.runAsNonRoot === false) problems.push(`runAsNonRoot != true (${who})`);
    if (selinux && (!selinuxTypes.includes(selinux.type) || selinux.user || selinux.role))
        problems.push(`seLinuxOptions (${who})`);
    if (apparmor && !['RuntimeDefault', 'Localhost'].includes(apparmor.type))
        problems.push(`forbidden AppArmor profile (${who})`);
    if (context.seccompProfile && !seccompTypes.includes(context.seccompProfile.type))
        problems.push(`seccompProfile (${who}: ${context.seccompProfile.type})`);
    return problems;
}

function containerProblems(container, pod) {
    const context = container.securityContext ?? {};
    const who = `container ${container.name}`;
    const problems = contextProblems(context, who);
    const { add = [], drop = [] } = context.capabilities ?? {};
    if (context.privileged) problems.push(`privileged (${who})`);
    if (context.allowPrivilegeEscalation !== false)
        problems.push(`allowPrivilegeEscalation != false (${who})`);
    if (!drop.includes('ALL')) problems.push(`unrestricted capabilities (${who} must drop ALL)`);
    for (const name of add)
        if (!capabilitiesAllowed.includes(name))
            problems.push(`unrestricted capabilities (${who} adds ${name})`);
    if (
        context.runAsNonRoot !== true &&
        !(context.runAsNonRoot === undefined && pod.runAsNonRoot === true)
    )
        problems.push(`runAsNonRoot != true (${who})`);
    if (!context.seccompProfile && !pod.seccompProfile)
        problems.push(`seccompProfile (${who} has none)`);
    if (!['Default', undefined, ''].includes(context.procMount))
        problems.push(`procMount (${who})`);
    for (const port of container.ports ?? []) if (port.hostPort) problems.push(`hostPort (${who})`);
    for (const handler of [
        container.livenessProbe,
        container.readinessProbe,
        container.startupProbe,
        container.lifecycle?.preStop,
        container.lifecycle?.postStart,
    ])
        if (handler?.httpGet?.host || handler?.tcpSocket?.host)
            problems.push(`probe or lifecycle host (${who})`);
    return problems;
}

// Problems of a pod's metadata and spec.
export function restrictedProblems(metadata, spec) {
    const pod = spec.securityContext ?? {};
    const problems = [...hostProblems(spec), ...contextProblems(pod, 'pod')];
    for (const container of containersOf(spec)) problems.push(...containerProblems(container, pod));
    for (const [key, value] of Object.entries(metadata?.annotations ?? {}))
        if (
            key.startsWith('container.apparmor.security.beta.kubernetes.io/') &&
            !/^(runtime\/default|localhost\/.*)$/.test(value)
        )
            problems.push(`forbidden AppArmor profile (${key})`);
    return problems;
}
