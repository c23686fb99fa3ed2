"""Two builds of one commit on the same base give the same image."""

from __future__ import annotations

import json
import secrets
import tarfile

from publish.conftest import BUILDS, PYTHON

pytestmark = BUILDS

TARGETS = [f"{variant}-{PYTHON.replace('.', '-')}" for variant in ("full", "slim")]


def read(archive):
    """Return the digest of the image in an OCI archive, its configuration and the digests of its layers."""
    with tarfile.open(archive) as layout:

        def blob(digest):
            return json.load(layout.extractfile(f"blobs/{digest.replace(':', '/')}"))

        # One entry for each of its tags.
        (digest,) = {entry["digest"] for entry in json.load(layout.extractfile("index.json"))["manifests"]}
        manifest = blob(digest)
        layers = [layer["digest"] for layer in manifest["layers"]]
        return digest, blob(manifest["config"]["digest"]), layers


ANEW = ("--no-cache", f"--set=*.args.BUILDKIT_CACHE_MOUNT_NS={secrets.token_hex(4)}")
"""Arguments with which all caches are empty, those of mounts too.

https://docs.docker.com/build/building/variables/#buildkit_cache_mount_ns
"""


def build(clone, directory, *arguments):
    """Build the images; return what `read` says of each."""
    directory.mkdir()
    outputs = [f"--set={name}.output=type=oci,dest={directory}/{name}.tar,rewrite-timestamp=true" for name in TARGETS]
    clone.run(
        *("./dev", "bake", *TARGETS, "--provenance=false", f"--allow=fs.write={directory}", *outputs, *arguments),
        SOURCE_DATE_EPOCH=clone.run("git", "log", "-1", "--format=%ct").strip(),
    )
    return {name: read(directory / f"{name}.tar") for name in TARGETS}


def test_two_builds_are_the_same(clone, tmp_path):
    # Of layers that were made some time ago, where this commit was built before.
    first = build(clone, tmp_path / "first")
    second = build(clone, tmp_path / "second", *ANEW)

    assert first == second
    assert len({digest for digest, _, _ in first.values()}) == len(TARGETS)
