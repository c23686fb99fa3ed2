"""`./dev publish`, against a real registry."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from publish.conftest import BUILDS, PYTHON, ROOT, Clone

# They share a registry, too, which takes a while to fill.
pytestmark = BUILDS

VERSION = re.search(r'^version = "(.*)"', (ROOT / "build/pyproject.toml").read_text(), re.MULTILINE)[1]

FIXED = {f"{VERSION}-py{PYTHON}", f"{VERSION}-py{PYTHON}-slim", VERSION}
MOVING = {PYTHON, f"{PYTHON}-slim", "latest"}

TAGS = {
    "full-3-13": {"3.13", "1.2.0-py3.13"},
    "slim-3-13": {"3.13-slim", "1.2.0-py3.13-slim"},
    "full-3-14": {"3.14", "1.2.0-py3.14", "1.2.0", "latest"},
    "slim-3-14": {"3.14-slim", "1.2.0-py3.14-slim"},
}


def planned(**environment):
    """The tags that bake gives its targets."""
    plan = subprocess.run(
        ["docker", "buildx", "bake", "--print", "all"],
        cwd=ROOT,
        env={**os.environ, "PYTHONS": "3.13,3.14", "DEFAULT_PYTHON": "3.14", "IMAGE": "paddock", **environment},
        capture_output=True,
        check=True,
    )
    targets = json.loads(plan.stdout)["target"]
    return {name: {tag.removeprefix("paddock:") for tag in target["tags"]} for name, target in targets.items()}


def test_tags_of_a_version():
    assert planned(VERSION="1.2.0") == TAGS


def test_tags_without_a_version():
    assert planned() == {name: {tag for tag in tags if "1.2.0" not in tag} for name, tags in TAGS.items()}


def test_tags_of_what_is_not_tested_yet():
    plan = planned(VERSION="1.2.0", STAGE="sha-1a2b3c4")

    assert plan == {
        "full-3-13": {"sha-1a2b3c4-py3.13"},
        "slim-3-13": {"sha-1a2b3c4-py3.13-slim"},
        "full-3-14": {"sha-1a2b3c4-py3.14"},
        "slim-3-14": {"sha-1a2b3c4-py3.14-slim"},
    }


@pytest.fixture(scope="module")
def first(registry, tmp_path_factory):
    """Publishes the last commit, once."""
    Clone(tmp_path_factory.mktemp("first") / "clone").run("./dev", "publish", "--registry", registry.address)


@pytest.fixture
def published(registry, first):
    """The tags of the registry as they are when a test begins."""
    return registry.tags()


def test_images_arrive_and_pass_their_tests(registry, published, engine):
    assert published.keys() >= FIXED | MOVING

    pulled = f"pulled-{os.getpid()}"
    images = []
    try:
        for tag, name in ((PYTHON, PYTHON), (f"{PYTHON}-slim", f"{PYTHON}-slim")):
            reference = f"{registry.address}/paddock@{published[tag]}"
            images += [reference, f"{pulled}:{name}"]
            engine.images.pull(reference).tag(pulled, name)
        tests = ["tests/image/test_image.py", "tests/image/test_serving.py"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--config-file", "tests/pyproject.toml", "-q", *tests],
            cwd=ROOT,
            env={**os.environ, "PADDOCK_IMAGE": pulled},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert re.search(r"\d\d passed", done.stdout)
    finally:
        for image in images:
            engine.images.remove(image, force=True)


def test_a_second_run_changes_nothing(registry, published, clone):
    output = clone.run("./dev", "publish", "--registry", registry.address)

    assert registry.tags() == published
    assert output.count("(as before)") == len(FIXED | MOVING)


def test_a_version_is_never_overwritten(registry, published, clone):
    clone.change("build/paddock/__init__.py", '"""', '""" ')
    status, output = clone.attempt("./dev", "publish", "--registry", registry.address)

    assert status == 1
    assert "already published with other contents" in output
    assert all(f"paddock:{tag}" in output for tag in FIXED)
    assert registry.tags() == published


def test_a_rebuild_leaves_the_version_and_moves_the_others(registry, published, clone):
    clone.change("build/paddock/__init__.py", '"""', '"""  ')
    clone.run("./dev", "publish", "--registry", registry.address, "--rebuild")

    tags = registry.tags()
    assert {tag for tag in tags if tags[tag] != published[tag]} == MOVING


def test_a_new_version_moves_the_others(registry, published, clone):
    clone.change("build/pyproject.toml", f'version = "{VERSION}"', 'version = "9.8.7"')
    clone.run("./dev", "publish", "--registry", registry.address)

    tags = registry.tags()
    new = {"9.8.7", f"9.8.7-py{PYTHON}", f"9.8.7-py{PYTHON}-slim"}
    assert tags.keys() - published.keys() == new
    assert {tag for tag in published if tags[tag] != published[tag]} == MOVING
    assert tags["latest"] == tags["9.8.7"] == tags[PYTHON]
    assert clone.run("docker", "buildx", "imagetools", "inspect", "--raw", f"{registry.address}/paddock:latest")


@pytest.mark.parametrize("failing", ["image", "tag"])
def test_a_failed_push_moves_no_tag(registry, published, clone, denying, failing):
    clone.change("build/paddock/__init__.py", '"""', '"""   ')
    commit = clone.run("git", "rev-parse", "--short=12", "HEAD").strip()
    denied = f"sha-{commit}-py{PYTHON}-slim" if failing == "image" else f"{PYTHON}-slim"
    with denying(denied) as address:
        status, output = clone.attempt("./dev", "publish", "--registry", address, "--rebuild")

    assert status == 1
    assert "Traceback" not in output
    assert registry.tags() == published


def test_only_commits_are_published(registry, clone):
    (clone.path / "build/paddock/more.py").write_text("")
    status, output = clone.attempt("./dev", "publish", "--registry", registry.address)

    assert status == 1
    assert "there are changes that no commit has" in output


def test_a_registry_that_does_not_answer(clone):
    status, output = clone.attempt("./dev", "publish", "--registry", "127.0.0.1:9")

    assert status == 1
    assert "connection refused" in output
    assert "Traceback" not in output
