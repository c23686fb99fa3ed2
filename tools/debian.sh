# shellcheck shell=sh
# Debian's packages, of the machine's own release and of others.
#
# Needs:  root on Debian or Ubuntu for all but the question whether this is one.
# Leaves: debian, mirror, apt_of, apt_install; the lists of other suites in .cache/apt.

. tools/common.sh

debian() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && command -v dpkg >/dev/null
}

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# apt-get and apt-cache on one suite of Debian, with lists, sources and cache of their own: the machine's stay as they are.
apt_of() {
    suite=$1 tool=$2
    shift 2
    dir=$cache/apt/$suite
    if [ ! -e "$dir/sources.list" ]; then
        mkdir -p "$dir/lists/partial" "$dir/archives/partial"
        : >"$dir/status"
        echo "deb [signed-by=$keyring] $(mirror) $suite main" >"$dir/sources.list"
    fi
    # A frozen mirror's testing is older than its release file allows.
    "$tool" -q \
        -o Acquire::Check-Valid-Until=false \
        -o APT::Sandbox::User=root \
        -o Dir::Etc::sourcelist="$dir/sources.list" \
        -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$dir/lists" \
        -o Dir::State::status="$dir/status" \
        -o Dir::Cache="$dir" \
        "$@"
}

# The machine's own mirror where the machine is a Debian.
mirror() {
    # shellcheck source=/dev/null
    . /etc/os-release
    found=
    if [ "$ID" = debian ]; then
        # shellcheck disable=SC2016 # apt's variables, not the shell's
        found=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
            sed -n "s/^$VERSION_CODENAME //p" | head -n 1)
    fi
    echo "${found:-http://deb.debian.org/debian}"
}

apt_install() {
    say "installing $*"
    # One source that does not answer must not end this: apt says itself what it then cannot find.
    apt-get update -qq >/dev/null || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >"$cache/apt.log" 2>&1 ||
        { cat "$cache/apt.log" >&2; die "apt-get could not install $*"; }
}
