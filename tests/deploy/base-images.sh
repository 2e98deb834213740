#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Makes the container images that the deployment tests build upon, out of Debian packages, on a
# machine that reaches a Debian mirror but no container registry.
#
#   base-images.sh                      all of them
#   base-images.sh bookworm redis       only these: bookworm trixie redis haproxy prometheus
#   base-images.sh --pull ...           asks the registry first, makes what cannot be pulled
#   base-images.sh --force ...          makes them anew
#   base-images.sh --list               what is there
#
# An image whose name is there already is left alone, so this may run before every test. What is
# made here carries the label chat.standin=debootstrap:
#   debian:bookworm-slim, debian:trixie-slim   debootstrap's minbase
#   redis:7-alpine                             Debian's Redis 7.0, with glibc, not musl
#   haproxy:2.8-alpine                         Debian's HAProxy 2.6
#   prom/prometheus:v2.53.3                     Debian's Prometheus
# There is no stand-in for grafana/grafana: Debian has no package of it.
#
# Must run as root (debootstrap needs chroot). An engine that answers is used as it is; one is
# started only where no dockerd runs.
set -euo pipefail

IMAGES=(debian:bookworm-slim debian:trixie-slim redis:7-alpine haproxy:2.8-alpine
    prom/prometheus:v2.53.3)
ENGINE_SECONDS=30
PULL_SECONDS=300

usage() { sed -n '3,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; }
say() { printf 'base-images: %s\n' "$*"; }
die() {
    say "$*" >&2
    exit 1
}

list_images() {
    local image
    for image in "${IMAGES[@]}"; do
        docker images --format '{{.Repository}}:{{.Tag}}  {{.ID}}  {{.Size}}' "$image"
    done
}

# --- what this machine needs ----------------------------------------------------------------------

need_packages() {
    local missing=()
    command -v debootstrap >/dev/null || missing+=(debootstrap)
    command -v docker >/dev/null || missing+=(docker.io)
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

need_engine() {
    local log deadline=$((SECONDS + ENGINE_SECONDS))
    log=${TMPDIR:-/tmp}/dockerd.log
    docker info >/dev/null 2>&1 && return
    if ! pidof dockerd >/dev/null; then
        say "no Docker engine runs: starting one; its log is $log"
        setsid dockerd >"$log" 2>&1 </dev/null &
    fi
    until docker info >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || die "no Docker engine answers within $ENGINE_SECONDS s"
        sleep 0.5
    done
}

# The mirror of this machine's own apt.
find_mirror() {
    # shellcheck disable=SC2016 # the parameters are apt's
    apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 2>/dev/null |
        awk '$2 == "main" && $1 ~ /debian\/?$/ && !found {sub(/\/$/, "", $1); print $1; found = 1}'
}

have() { # image
    [ $force = no ] || return 1
    docker image inspect "$1" >/dev/null 2>&1 && return 0
    [ $pull = yes ] && timeout $PULL_SECONDS docker pull -q "$1" >/dev/null 2>&1
}

tell_made() { # image, seconds
    say "$1 made in $2 s: $(docker image inspect -f '{{.Size}}' "$1" | numfmt --to=si)B"
}

# --- Debian itself --------------------------------------------------------------------------------

root=''
work=$(mktemp -d)

# debootstrap mounts /proc inside the folder: it is unmounted whatever happens.
drop_root() {
    [ -n "$root" ] || return 0
    umount -lq "$root/proc" "$root/sys" 2>/dev/null || true
    rm -rf --one-file-system "$root"
    root=''
}
trap 'drop_root; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

write_apt_settings() { # suite
    cat >"$root/etc/apt/sources.list" <<LIST
deb $mirror $1 main
deb $mirror $1-updates main
deb $mirror-security $1-security main
LIST
    cat >"$root/etc/apt/apt.conf.d/90container" <<'CONF'
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Acquire::Retries "3";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
CONF
    # A mirror frozen at one day needs these off; only where this machine's own apt has them off.
    if apt-config dump | grep -qi 'Check-Valid-Until "false"'; then
        printf 'Acquire::Check-Valid-Until "false";\nAcquire::Check-Date "false";\n' \
            >"$root/etc/apt/apt.conf.d/91frozen-mirror"
    fi
    cat >"$root/etc/dpkg/dpkg.cfg.d/90slim" <<'CONF'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/lintian/*
force-unsafe-io
CONF
    # No package may start its service in a container.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
}

slim() {
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/log/*.log \
        "$root"/usr/share/{man,info,locale}/* "$root"/etc/{hostname,resolv.conf}
    find "$root/usr/share/doc" -type f ! -name copyright -delete
    : >"$root/etc/machine-id"
}

make_debian() { # suite
    local image=debian:$1-slim started=$SECONDS log=$work/$1.log
    if have "$image"; then
        say "$image is there"
        return
    fi
    say "$image: debootstrap"
    root=$work/$1
    debootstrap --variant=minbase "$1" "$root" "$mirror" >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; die "debootstrap $1 failed"; }
    write_apt_settings "$1"
    chroot "$root" sh -c 'apt-get update -qq && apt-get -y -qq dist-upgrade && apt-get clean' \
        >>"$log" 2>&1 || say "no security updates for $image: $(tail -n 1 "$log")"
    slim
    tar -C "$root" --one-file-system --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' \
        -cf - . | docker import --change 'CMD ["bash"]' \
        --change 'LABEL chat.standin=debootstrap' - "$image" >/dev/null
    drop_root
    tell_made "$image" $((SECONDS - started))
}

# --- what stands on it ----------------------------------------------------------------------------

make_image() { # image; the Dockerfile comes on standard input
    local image=$1 started=$SECONDS folder
    if have "$image"; then
        say "$image is there"
        return
    fi
    say "$image: docker build"
    folder=$(mktemp -d -p "$work")
    cat >"$folder/Dockerfile"
    # The classic builder needs no front end from a registry.
    DOCKER_BUILDKIT=0 docker build --label chat.standin=debootstrap -t "$image" "$folder" \
        >"$folder/log" 2>&1 || { tail -n 20 "$folder/log" >&2; die "$image could not be built"; }
    tell_made "$image" $((SECONDS - started))
}

# User id, data folder, port and command line are those of the official images, and so is wget where
# a health check needs it.
make_redis() {
    make_image redis:7-alpine <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN groupadd -r -g 999 redis && useradd -r -g redis -u 999 -d /data redis \
 && apt-get update -qq && apt-get install -y -qq redis-server redis-tools \
 && rm -rf /var/lib/apt/lists/* /etc/redis && mkdir -p /data && chown redis:redis /data \
 && printf '%s\n' '#!/bin/sh' 'case "${1-}" in -* | *.conf | "") set -- redis-server "$@" ;; esac' \
    '[ "$1" = redis-server ] && set -- "$@" --protected-mode no' 'exec "$@"' >/usr/bin/entrypoint \
 && chmod 755 /usr/bin/entrypoint
WORKDIR /data
VOLUME /data
EXPOSE 6379
USER redis
ENTRYPOINT ["entrypoint"]
CMD ["redis-server"]
DOCKERFILE
}

make_haproxy() {
    make_image haproxy:2.8-alpine <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update -qq && apt-get install -y -qq haproxy busybox && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /usr/local/etc/haproxy && ln -s /usr/sbin/haproxy /usr/local/sbin/haproxy \
 && ln -s /bin/busybox /usr/local/bin/wget
STOPSIGNAL SIGUSR1
USER haproxy
CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
DOCKERFILE
}

make_prometheus() {
    make_image prom/prometheus:v2.53.3 <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update -qq && apt-get install -y -qq prometheus busybox && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /prometheus && chown nobody /prometheus && ln -s /bin/busybox /usr/local/bin/wget
USER nobody
WORKDIR /prometheus
EXPOSE 9090
ENTRYPOINT ["prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
DOCKERFILE
}

# --- the command line -----------------------------------------------------------------------------

force=no pull=no wanted=()
for argument in "$@"; do
    case $argument in
    --force) force=yes ;;
    --pull) pull=yes ;;
    --list)
        list_images
        exit
        ;;
    -h | --help)
        usage
        exit
        ;;
    bookworm | trixie | redis | haproxy | prometheus) wanted+=("$argument") ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
done
[ ${#wanted[@]} -gt 0 ] || wanted=(bookworm trixie redis haproxy prometheus)
[ "$(id -u)" = 0 ] || die "must run as root"

need_packages
need_engine
mirror=${MIRROR:-$(find_mirror)}
[ -n "$mirror" ] || die "this machine's Debian mirror is unknown: set MIRROR to its address"
for name in "${wanted[@]}"; do
    case $name in
    bookworm | trixie) make_debian "$name" ;;
    *)
        make_debian bookworm
        "make_$name"
        ;;
    esac
done
list_images
