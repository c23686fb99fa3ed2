# shellcheck shell=sh
# What ./dev and the programs in tools/ all use.
#
# Needs:  the root of the repository as the working directory.
# Leaves: say, die, arg; $cache, a folder that is there; SSL_CERT_FILE in the environment, where the machine has a bundle.

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf 'dev: %s\n' "$*" >&2; exit 1; }

# A version is written once, in the Dockerfile.
arg() { sed -n "s/^ARG $1=//p" Dockerfile; }

cache=$PWD/.cache
mkdir -p "$cache"

# The bundle this host trusts also names the proxies TLS goes through here: uv, pip and the builds use it.
if [ -z "${SSL_CERT_FILE:-}" ]; then
    for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
        [ ! -r "$bundle" ] || { export SSL_CERT_FILE="$bundle"; break; }
    done
fi
