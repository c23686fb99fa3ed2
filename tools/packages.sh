# shellcheck shell=sh
# What the lock files of the repository name for the machine itself, and uv, which installs it.
#
# Needs:  python3, and an index of Python packages.
# Leaves: tools, environment. After one of them: $uv; UV_CACHE_DIR, and the machine's index as UV_DEFAULT_INDEX and
#         PIP_INDEX_URL, in the environment; what was installed, in .cache.

. tools/common.sh

# What the tests and the linters need, in .cache, first on the path.
tools() {
    environment tests tools
    export VIRTUAL_ENV="$cache/tools" PATH="$cache/tools/bin:$PATH"
}

# What the lock file of a folder names, and uv, in .cache.
environment() {
    uv=$cache/uv-$(arg UV_VERSION)/bin/uv
    if [ ! -x "$uv" ]; then
        say "installing uv into .cache"
        python3 tools/uv.py "$(arg UV_VERSION)" "${uv%/bin/uv}"
    fi
    index=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$(python3 -m pip config get global.index-url 2>/dev/null || true)}}
    [ -z "$index" ] || export UV_DEFAULT_INDEX="$index" PIP_INDEX_URL="$index"
    export UV_CACHE_DIR="$cache/uv"
    if ! cmp -s "$1/uv.lock" "$cache/$2/uv.lock"; then
        say "installing the packages of $1/uv.lock into .cache"
        "$uv" venv --quiet --clear --python '>=3.11' "$cache/$2"
        # Not `uv sync`: it takes the addresses in the lock file, and a mirror has others.
        "$uv" export --quiet --frozen --project "$1" --output-file "$cache/requirements.txt" >/dev/null
        "$uv" pip sync --quiet --python "$cache/$2" --require-hashes "$cache/requirements.txt"
        cp "$1/uv.lock" "$cache/$2/uv.lock"
    fi
}
