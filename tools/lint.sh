#!/bin/sh
# Every linter, over every file in git that it is for.
#
# Needs:  python3, an index of Python packages; for the bake file's checks what ./dev engine needs.
# Leaves: the linters in .cache/tools; exit status 1, and a list of what failed at the end.
set -eu

cd "$(dirname "$0")/.."
. tools/packages.sh

step() {
    say "$(echo "$*" | sed "s|$cache/[^ ]*/||")"
    "$@" || failed="$failed
  $*"
}

in_build() (
    cd build
    "$@"
)

# Every file in git whose first line asks for a shell, or says that it is for one.
scripts() {
    git ls-files | while read -r file; do
        case $(head -n 1 "$file" 2>/dev/null | tr -d '\0') in
            '#!'*/sh | '#!'*/bash | '#!'*'env bash' | '# shellcheck shell='*) echo "$file" ;;
        esac
    done
}

tools
failed=
step "$uv" lock --quiet --check --project build
step "$uv" lock --quiet --check --project tests
step "$uv" lock --quiet --check --project benchmarks
step python tools/backends.py
step ruff check --quiet .github benchmarks build tests tools examples
step ruff format --quiet --check .github benchmarks build tests tools examples
step in_build mypy .
step mypy --config-file benchmarks/pyproject.toml benchmarks
step env MYPYPATH=build mypy --config-file build/pyproject.toml tools
# shellcheck disable=SC2046 # lists
step shellcheck --external-sources $(scripts)
# Those of other people's READMEs are as they are there.
# shellcheck disable=SC2046
step hadolint $(git ls-files '*Dockerfile' ':!tests/compat')
step jactionlint .github/workflows/*.yml examples/ci/github-actions.yml
step zizmor --quiet --offline --pedantic .github examples/ci/github-actions.yml
step check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
step check-jsonschema --quiet --builtin-schema vendor.gitlab-ci examples/ci/gitlab-ci.yml
step ./dev bake validate
step ./dev docs --check
[ -z "$failed" ] || die "these failed:$failed"
