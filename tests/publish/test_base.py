"""The base image is pinned by its digest, and what is published knows when there is another."""

from __future__ import annotations

import os
import re
from datetime import datetime

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


def labels_of(image):
    """The labels that are OCI's, without what all of their names begin with."""
    return dict(re.findall(r'"org\.opencontainers\.image\.([a-z.]+)": ?"([^"]*)"', image))


def test_a_base_that_moves(registry, clone, base, slim, engine):
    standin = os.environ.get("BASE_IMAGE", "python:{python}-slim-trixie").replace("{python}", PYTHON)
    environment = base(standin)
    clone.shrink("${BASE_IMAGE}")
    clone.run("./dev", "publish", "--registry", registry.address, **environment)
    image = f"{registry.address}/paddock:{PYTHON}-slim"
    labels = labels_of(clone.run("docker", "buildx", "imagetools", "inspect", "--format", "{{json .Image}}", image))
    name, digest = labels["base.name"].split("@")
    assert name == f"{registry.address}/base:{PYTHON}"
    assert digest == labels["base.digest"] == registry.tags("base")[PYTHON]
    # The later of the two: a rebuild on a newer base is newer than its commit, whenever it is made.
    times = [clone.run("git", "log", "-1", "--format=%cI").strip(), engine.images.get(standin).attrs["Created"]]
    created = max(datetime.fromisoformat(time).replace(microsecond=0) for time in times)
    assert datetime.fromisoformat(labels["created"]) == created

    compare = ("./dev", "publish", "--registry", registry.address, "--only", "compare")
    assert image not in clone.run(*compare, **environment)
    base(slim)
    moved = clone.run(*compare, **environment).splitlines()
    assert {image, image.removesuffix("-slim")} <= {line.partition(" ")[0] for line in moved}
