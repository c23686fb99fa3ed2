"""Both platforms in one manifest list; under QEMU the other one serves. Too slow for every day: `./dev test arm64`."""

from __future__ import annotations

import json
import os

import pytest

from publish.conftest import PYTHON

PLATFORMS = ("linux/amd64", "linux/arm64")


@pytest.fixture
def base(registry, clone):
    """The base image to build on, for both platforms; nothing where the official one is used, which has them."""
    standin = os.environ.get("BASE_IMAGE", "").replace("{python}", PYTHON)
    if not standin.startswith("localhost/"):
        return {}
    name = f"{registry.address}/base"
    for source, tag in ((standin, "amd64"), (f"{standin}-arm64", "arm64")):
        clone.run("docker", "tag", source, f"{name}:{tag}")
        clone.run("docker", "push", f"{name}:{tag}")
        clone.run("docker", "rmi", f"{name}:{tag}")
    clone.run("docker", "buildx", "imagetools", "create", "--tag", f"{name}:{PYTHON}", f"{name}:amd64", f"{name}:arm64")
    return {"BASE_IMAGE": f"{name}:{{python}}"}


def test_one_manifest_list_for_both(registry, clone, base, start):
    output = clone.run("./dev", "publish", "--registry", registry.address, "--platform", ",".join(PLATFORMS), **base)
    image = f"{registry.address}/paddock:{PYTHON}-slim"
    assert image in output
    index = json.loads(clone.run("docker", "buildx", "imagetools", "inspect", "--raw", image))
    found = {"{os}/{architecture}".format(**entry["platform"]) for entry in index["manifests"]}
    assert found - {"unknown/unknown"} == set(PLATFORMS)
    if base:
        labels = clone.run("docker", "buildx", "imagetools", "inspect", "--format", "{{json .Image}}", image)
        assert "@sha256:" in labels

    try:
        for platform, machine in zip(PLATFORMS, ("x86_64", "aarch64"), strict=True):
            clone.run("docker", "pull", "--platform", platform, image)
            container = start("asgi.py", image=image, platform=platform, environment={"WORKERS": "2"}).wait_ready()
            assert container.get().status_code == 200
            assert container.run("uname", "-m").strip() == machine
            assert container.stop() == 0
    finally:
        clone.attempt("docker", "rmi", "--force", image)
