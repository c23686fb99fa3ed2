#!/bin/sh
# The base image to build on: tools/base.sh [--arm64] [PYTHON...]
#
# Prints what bake's BASE_IMAGE is to be: nothing where the official image can be had, else the stand-in. With --arm64 it
# makes sure that programs for arm64 run, and that a stand-in is there for them too.
#
# Needs:  a Docker engine that answers; where no registry does, root on Debian or Ubuntu.
# Leaves: localhost/paddock-base:PYTHON (and PYTHON-arm64), where these are needed; with --arm64, QEMU known to the kernel.
set -eu

cd "$(dirname "$0")/.."
. tools/debian.sh

# Another name for other contents: one that is there stays as it is.
standin=localhost/paddock-python

has() { docker image inspect "$1" >/dev/null 2>&1; }

# The builder itself is asked: it knows the registry's mirrors, and an image that is already here is enough.
official() { echo "FROM python:$1-slim-trixie" | timeout 30 docker buildx build --check - >/dev/null 2>&1; }

# As much of python:X-slim-trixie as can be made from Debian's packages: interpreter in /usr/local/bin, pip by ensurepip, and
# the headers for packages that are compiled.
# The second argument is another architecture than the machine's own.
standin_make() {
    python=$1 arch=${2:-}
    tag=$standin:$python${arch:+-$arch}
    debian || die "no registry has python:$python-slim-trixie; a stand-in can be made on Debian and Ubuntu as root only"
    say "no registry answers: making a stand-in for python:$python-slim-trixie from Debian's packages"
    command -v mmdebstrap >/dev/null && [ -e "$keyring" ] || apt_install mmdebstrap debian-archive-keyring
    [ -z "$arch" ] || command -v arch-test >/dev/null || apt_install arch-test
    for suite in trixie testing sid none; do
        [ "$suite" != none ] || die "no suite of Debian has Python $python"
        apt_of "$suite" apt-get update -qq || continue
        ! apt_of "$suite" apt-cache show "python$python-venv" >/dev/null 2>&1 || break
    done
    version=$(apt_of "$suite" apt-cache show "python$python" | sed -n 's/^Version: \([0-9.]*\).*/\1/p' | head -n 1)
    say "Python $version is in Debian $suite"
    # shellcheck disable=SC2016 # $1 is the root that mmdebstrap is making
    mmdebstrap --quiet --variant=minbase --mode=root ${arch:+"--architectures=$arch"} \
        --include="ca-certificates,netbase,tzdata,python$python,python$python-venv,libpython$python-dev" \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/lib/*/libpython*.a' \
        --dpkgopt='path-exclude=/usr/lib/python*/config-*/*.a' \
        --customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED "$1"/etc/resolv.conf "$1"/etc/hostname' \
        --customize-hook="for name in python python3 python$python; do ln -s /usr/bin/python$python \"\$1/usr/local/bin/\$name\"; done" \
        --customize-hook="echo 'deb http://deb.debian.org/debian $suite main' >\"\$1/etc/apt/sources.list\"" \
        "$suite" - "$(mirror)" |
        docker import ${arch:+--platform "linux/$arch"} \
            --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
            --change "ENV PYTHON_VERSION=$version" \
            --change 'CMD ["python3"]' \
            --change 'LABEL io.paddock.base=stand-in' \
            - "$tag" >/dev/null
    docker run --rm ${arch:+--platform "linux/$arch"} "$tag" python -c 'import ensurepip, ssl, sqlite3, zlib' ||
        { docker rmi "$tag" >/dev/null; die "the stand-in for Python $python does not run"; }
}

# Programs for arm64 run on other machines by QEMU, which the kernel has to be told.
emulate_arm64() {
    misc=/proc/sys/fs/binfmt_misc
    [ "$(uname -m)" != aarch64 ] || return 0
    [ ! -e $misc/qemu-aarch64 ] || return 0
    debian || die "arm64 containers do not run here: docker run --privileged --rm tonistiigi/binfmt --install arm64"
    apt_install qemu-user-static binfmt-support
    # Without an init nobody else does.
    [ -e $misc/register ] || mount -t binfmt_misc binfmt_misc $misc
    [ -e $misc/qemu-aarch64 ] || update-binfmts --enable qemu-aarch64
}

# Sets BASE_IMAGE, and makes what it names.
base() {
    [ -z "${BASE_IMAGE:-}" ] || return 0
    ! official "$1" || return 0
    for python; do
        has "$standin:$python" || standin_make "$python"
    done
    BASE_IMAGE="$standin:{python}"
}

arm64=
[ "${1:-}" != --arm64 ] || { arm64=yes; shift; }
[ $# -gt 0 ] || set -- "$(arg PYTHON_VERSION)"
# What the caller reads is the one line at the end.
{
    [ -z "$arm64" ] || emulate_arm64
    base "$@"
    case $arm64${BASE_IMAGE:-} in
        yes"$standin"*) has "$standin:$1-arm64" || standin_make "$1" arm64 ;;
    esac
} >&2
echo "${BASE_IMAGE:-}"
