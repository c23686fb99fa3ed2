"""The base image is pinned by its digest, and what is published knows when there is another."""

from __future__ import annotations

import os

import pytest

from publish.conftest import PYTHON

pytestmark = pytest.mark.xdist_group("base")


@pytest.fixture
def base(registry, engine):
    """Push an image to the registry as the base, and return its name."""
    name = f"{registry.address}/base"

    def push(source):
        found = (
            engine.images.get(source) if source.startswith(("localhost/", "paddock")) else engine.images.pull(source)
        )
        found.tag(name, PYTHON)
        for line in engine.images.push(name, PYTHON, stream=True, decode=True):
            assert "error" not in line
        engine.images.remove(f"{name}:{PYTHON}")
        return {"BASE_IMAGE": f"{name}:{{python}}"}

    return push


def test_a_base_that_moves(registry, clone, base, slim):
    standin = os.environ.get("BASE_IMAGE", "python:{python}-slim-trixie").replace("{python}", PYTHON)
    environment = base(standin)
    clone.run("./dev", "publish", "--registry", registry.address, **environment)
    image = f"{registry.address}/paddock:{PYTHON}-slim"
    labels = clone.run("docker", "buildx", "imagetools", "inspect", "--format", "{{json .Image}}", image)
    assert f'"org.opencontainers.image.base.name": "{registry.address}/base:{PYTHON}@sha256:' in labels

    compare = ("./dev", "publish", "--registry", registry.address, "--only", "compare")
    assert image not in clone.run(*compare, **environment)
    base(slim)
    moved = clone.run(*compare, **environment).splitlines()
    assert {image, image.removesuffix("-slim")} <= {line.partition(" ")[0] for line in moved}
