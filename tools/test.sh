#!/bin/sh
# Builds what the tests need, and runs them: tools/test.sh [PART] [ARGS of pytest]
#
# Needs:  python3, an index of Python packages; but for the unit tests, what ./dev engine needs.
# Leaves: the images under test; pytest and its packages in .cache/tools.
set -eu

cd "$(dirname "$0")/.."
. tools/debian.sh
. tools/packages.sh
. tools/builds.sh

tools
case ${1:-} in
    unit | image | examples | compat | docs | publish)
        part=tests/$1
        shift
        ;;
    tests/* | soak)
        part=$1
        shift
        ;;
    arm64)
        part=tests/publish/arm64.py
        shift
        base --arm64 ${PADDOCK_PYTHON:+"$PADDOCK_PYTHON"}
        ;;
    # What takes long without a pause comes first, so that nothing else waits for it at the end.
    *) part='tests/publish tests/docs tests/examples tests/compat tests/image tests/unit' ;;
esac
images=tests
if [ -n "${PADDOCK_PYTHON:-}" ]; then
    suffix=$(echo "$PADDOCK_PYTHON" | tr . -)
    images="full-$suffix slim-$suffix test-tools environment"
fi
if [ -n "${PADDOCK_IMAGE:-}" ]; then
    # That image is tested as it is, and what some tests start beside it is built on it.
    export IMAGE="$PADDOCK_IMAGE" TESTED_IMAGE="$PADDOCK_IMAGE"
    images='test-tools environment'
fi
export PADDOCK_IMAGE="${IMAGE:-paddock}"
case $part in
    tests/unit | tests/unit/*) images= ;;
    tests/publish/arm64.py) images=tools ;;
    tests/image | tests/image/* | tests/publish | tests/publish/* | soak) ;;
    tests/compat | tests/compat/*) images=compat-tests ;;
    *) images="$images examples compat-tests" ;;
esac
if [ -n "$images" ]; then
    say "building the images under test"
    # shellcheck disable=SC2086 # a list
    bake $images
fi
# The pages of docs/ use it.
command -v curl >/dev/null || ! debian || apt_install curl
if [ "$part" = soak ]; then
    say "counting what is lost of 10,000 requests a case"
    LOSS_REQUESTS=10000 pytest --config-file tests/pyproject.toml --numprocesses 2 tests/image/test_lifecycle_loss.py
    say "soaking"
    exec python tests/soak.py "$@"
fi
say "testing"
# Containers spend most of a test's time waiting: four tests at once keep two processors busy.
# shellcheck disable=SC2086 # a list
exec pytest --config-file tests/pyproject.toml --numprocesses 4 --dist loadgroup $part "$@"
