#!/bin/sh
# Signs what was pushed, and attests what is in it: .github/sign.sh IMAGE DIGESTS SBOM [ARGS of cosign]
#
# Needs:  cosign 3, jq, docker with buildx; a login where IMAGE is.
# Leaves: in the registry a signature for each index and each platform of it, SBOM for each index, and for each platform
#         BuildKit's list of everything that is in it, Debian's packages too.
set -eu

image=$1 digests=$2 sbom=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

inspect() { docker buildx imagetools inspect "$@"; }

jq --raw-output '.[]' "$digests" >"$work/digests"
while read -r digest; do
    cosign sign --yes --recursive "$@" "$image@$digest"
    cosign attest --yes "$@" --type cyclonedx --predicate "$sbom" "$image@$digest"
    inspect --raw "$image@$digest" >"$work/index.json"
    jq --raw-output '.manifests[] | select(.platform.os != "unknown")
        | "\(.platform.os)/\(.platform.architecture) \(.digest)"' "$work/index.json" >"$work/platforms"
    while read -r platform own; do
        # Of one platform, and of several: https://docs.docker.com/build/metadata/attestations/sbom/
        inspect "$image@$digest" --format '{{json .SBOM}}' |
            jq --arg platform "$platform" '.SPDX // .[$platform].SPDX' >"$work/spdx.json"
        cosign attest --yes "$@" --type spdxjson --predicate "$work/spdx.json" "$image@$own"
    done <"$work/platforms"
done <"$work/digests"
