#!/bin/sh
# The newest releases in place of the locked ones: those of Gunicorn, Uvicorn and all that they need, whatever the bounds
# say, and for the pages of docs/ those of today. What fails then will fail when somebody upgrades.
#
# Needs:  python3, and an index of Python packages.
# Leaves: another lock file and no upper bounds in build/ and tests/, another date in tests/docs/trusting/Dockerfile.
#         `git restore build tests` takes them back.
set -eu

cd "$(dirname "$0")/.."
. tools/packages.sh

# Lines of a file made other ones; `sed -i` is not the same everywhere.
edit() {
    sed -E "$1" "$2" >"$cache/edited"
    cat "$cache/edited" >"$2"
    rm "$cache/edited"
}

tools
for project in build tests; do
    edit 's/"(gunicorn|uvicorn)([^",]*),<[0-9.]+"/"\1\2"/g' "$project/pyproject.toml"
done
"$uv" lock --quiet --upgrade --project build
# The unit tests import the server's packages too.
# shellcheck disable=SC2046 # a list
"$uv" lock --quiet --project tests $(sed -n 's/^name = "\(.*\)"/--upgrade-package=\1/p' build/uv.lock)
edit "s/^ARG UV_EXCLUDE_NEWER=.*/ARG UV_EXCLUDE_NEWER=$(date -u +%Y-%m-%dT%H:%M:%SZ)/" tests/docs/trusting/Dockerfile
# What is new, each with its version before.
for project in build tests; do
    say "changed in $project/uv.lock:"
    git --no-pager diff --unified=1 -- "$project/uv.lock" | sed -n 's/^ name = \|^[+-]version = /&/p' | grep -B1 '^[+-]' || true
done
