# shellcheck shell=sh
# Builds by bake, on whatever base image this machine can have.
#
# Needs:  what tools/engine.sh and tools/base.sh need.
# Leaves: base, prepare, bake. After prepare or bake: an engine that answers; CA_FILE, REVISION and BASE_IMAGE in
#         the environment, where they are needed.

. tools/common.sh

# A program that fails ends this one, even within a condition.
base() {
    tools/engine.sh || exit
    BASE_IMAGE=$(tools/base.sh "$@") || exit
    [ -z "$BASE_IMAGE" ] || export BASE_IMAGE
}

# What a build of the given targets needs of this machine, in the environment.
prepare() {
    tools/engine.sh || exit
    # Bake reads no file outside the project.
    if [ -n "${SSL_CERT_FILE:-}" ] && [ -z "${CA_FILE:-}" ]; then
        cp "$SSL_CERT_FILE" "$cache/ca.pem.$$"
        mv "$cache/ca.pem.$$" "$cache/ca.pem"
        export CA_FILE=.cache/ca.pem
    fi
    if [ -z "${REVISION:-}" ] && git rev-parse --verify -q HEAD >/dev/null 2>&1; then
        REVISION=$(git rev-parse HEAD)
        export REVISION
    fi
    pythons=$(docker buildx bake --print "$@" 2>/dev/null | sed -n 's/.*"PYTHON_VERSION": "\(.*\)".*/\1/p' | sort -u)
    # shellcheck disable=SC2086 # a list
    base $pythons
}

bake() {
    prepare "$@"
    docker buildx bake "$@"
}
