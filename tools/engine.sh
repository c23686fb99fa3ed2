#!/bin/sh
# Makes sure that a Docker engine with buildx answers; with --stop, ends the one that this started.
#
# Needs:  nothing where an engine answers; elsewhere root on Debian or Ubuntu, and their packages.
# Leaves: an engine that answers. Where the machine has no buildx that is new enough: Debian testing's in
#         /usr/local/lib/paddock-engine, links to it in /usr/local, its images in /var/lib/paddock-engine. These are
#         outside the clone: the next clone on this machine finds the same engine and the same images.
set -eu

cd "$(dirname "$0")/.."
. tools/debian.sh

engine_files=/usr/local/lib/paddock-engine
engine_data=/var/lib/paddock-engine
engine_run=/run/paddock-engine
# Multi-platform and reproducible builds need the containerd image store. What builds leave is bounded: by default it may
# fill four fifths of the disk, and the tests build hundreds of images.
engine_config='{
  "features": {"containerd-snapshotter": true},
  "builder": {"gc": {"enabled": true, "policy": [{"all": true, "maxUsedSpace": "30GB"}]}}
}'

answers() { timeout 20 docker version >/dev/null 2>&1; }

engine_install() {
    debian || die "no Docker engine with buildx answers: install Docker Engine, https://docs.docker.com/engine/install/"
    apt-get update -qq >/dev/null || true
    # docker-bake.hcl has typed variables, which older versions of buildx cannot read.
    candidate=$(apt-cache policy docker-buildx | sed -n 's/^  Candidate: //p')
    if dpkg --compare-versions "${candidate:-0}" ge 0.26; then
        # A configuration that is there stays.
        if [ ! -e /etc/docker/daemon.json ]; then
            mkdir -p /etc/docker
            echo "$engine_config" >/etc/docker/daemon.json
        fi
        compose=docker-compose
        ! apt-cache show docker-compose-v2 >/dev/null 2>&1 || compose=docker-compose-v2
        cli=
        ! apt-cache show docker-cli >/dev/null 2>&1 || cli=docker-cli
        # shellcheck disable=SC2086 # cli may be nothing
        apt_install docker.io docker-buildx "$compose" $cli
        return
    fi

    # Those of Debian testing are Go programs that need glibc 2.34 and no other package: unpacked beside an older release
    # they run, with that release's runc. ps (procps) is for `docker top`.
    apt_install ca-certificates debian-archive-keyring iptables procps runc tini
    say "fetching Docker from Debian testing"
    apt_of testing apt-get update -qq
    new=$engine_files.new
    rm -rf "$cache/debs" "$new"
    mkdir -p "$cache/debs" "$new"
    (
        cd "$cache/debs"
        apt_of testing apt-get download -qq containerd docker-buildx docker-cli docker-compose docker.io
        for deb in *.deb; do dpkg -x "$deb" "$new"; done
    )
    rm -rf "$cache/debs"
    ln -sf "$(command -v tini-static)" "$new/usr/bin/docker-init"

    # Where every docker command looks for its plugins, whoever installed it.
    mkdir -p /usr/local/lib/docker/cli-plugins
    for plugin in buildx compose; do
        ln -sf "$engine_files/usr/libexec/docker/cli-plugins/docker-$plugin" /usr/local/lib/docker/cli-plugins/
    done
    command -v docker >/dev/null || ln -sf "$engine_files/usr/bin/docker" /usr/local/bin/docker
    # Last, and at once: what is there is whole.
    rm -rf "$engine_files"
    mv "$new" "$engine_files"
}

engine_start() {
    if [ ! -d "$engine_files" ] && [ -d /run/systemd/system ]; then
        say "starting the Docker engine"
        systemctl start docker
        return
    fi
    say "starting the Docker engine (log: $engine_data/dockerd.log)"
    PATH=$engine_files/usr/bin:$engine_files/usr/sbin:$PATH
    engine_sweep
    mkdir -p "$engine_data" "$engine_run"
    config="$engine_data/daemon.json"
    echo "$engine_config" >"$config"
    setsid nohup dockerd \
        --config-file "$config" \
        --data-root "$engine_data/data" \
        --exec-root "$engine_run/exec" \
        --pidfile "$engine_run/dockerd.pid" \
        >"$engine_data/dockerd.log" 2>&1 </dev/null &
    tries=60
    until answers; do
        tries=$((tries - 1))
        if [ "$tries" = 0 ] || ! kill -0 $! 2>/dev/null; then
            tail -n 20 "$engine_data/dockerd.log" >&2
            die "the Docker engine does not start"
        fi
        sleep 1
    done
}

# What an engine that was killed leaves: its containerd, the shims of its containers, and pid files that may name
# another process by now.
engine_sweep() {
    for proc in /proc/[0-9]*; do
        pid=${proc#/proc/}
        case $(command_of "$pid") in
            dockerd*"$engine_run"* | containerd*"$engine_run"* | *containerd-shim*"$engine_run"*)
                kill "$pid" 2>/dev/null || true
                waited=0
                while [ -n "$(command_of "$pid")" ] && [ "$waited" -lt 20 ]; do
                    waited=$((waited + 1))
                    sleep 1
                done
                [ -z "$(command_of "$pid")" ] || kill -9 "$pid" 2>/dev/null || true
                ;;
        esac
    done
    rm -f "$engine_run/dockerd.pid" "$engine_run/exec/containerd/containerd.pid"
}

# Nothing for a process that is gone, or a zombie.
command_of() {
    { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null || true
}

if [ "${1:-}" = --stop ]; then
    engine_sweep
    exit
fi
if ! answers; then
    [ -x "$engine_files/usr/sbin/dockerd" ] || command -v dockerd >/dev/null || engine_install
    answers || engine_start
fi
docker buildx version >/dev/null 2>&1 || engine_install
