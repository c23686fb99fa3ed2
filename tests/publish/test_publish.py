"""`./dev publish`, against a real registry: which tags move when. There is next to nothing in the images."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess

import pytest

from publish.conftest import BUILDS, LAYERS, PEERS, PYTHON, ROOT, Clone

# They share a registry, too.
pytestmark = BUILDS

VERSION = re.search(r'^version = "(.*)"', (ROOT / "build/pyproject.toml").read_text(), re.MULTILINE)[1]

EACH = ("", "-slim", *(f"-compat-{peer}" for peer in PEERS))
SUFFIXES = ("", "-slim", *(f"-compat-{peer}" for peer in LAYERS))

SERIES = (VERSION.rpartition(".")[0], VERSION.partition(".")[0])
"""What a patch release moves, such as 1.2 and 1."""

FIXED = {VERSION, *(f"{VERSION}-py{PYTHON}{suffix}" for suffix in SUFFIXES)}
FREE = {"latest", *(f"{PYTHON}{suffix}" for suffix in SUFFIXES)}
MOVING = FREE | {f"{series}-py{PYTHON}{suffix}" for series in SERIES for suffix in SUFFIXES}

TAGS = {
    f"{suffix.removeprefix('-') or 'full'}-{python.replace('.', '-')}": {
        f"{python}{suffix}",
        *(f"{version}-py{python}{suffix}" for version in ("1.2.0", "1.2", "1")),
        *(("1.2.0", "latest") if (python, suffix) == ("3.14", "") else ()),
    }
    for python in ("3.13", "3.14")
    for suffix in EACH
}


def targets(group, **environment):
    """What bake makes of the targets of a group."""
    plan = subprocess.run(
        ["docker", "buildx", "bake", "--print", group],
        cwd=ROOT,
        env={**os.environ, "PYTHONS": "3.13,3.14", "DEFAULT_PYTHON": "3.14", "IMAGE": "paddock", **environment},
        capture_output=True,
        check=True,
    )
    return json.loads(plan.stdout)["target"]


def planned(**environment):
    """The tags that bake gives its targets."""
    plan = targets("all", **environment)
    return {name: {tag.removeprefix("paddock:") for tag in target["tags"]} for name, target in plan.items()}


def test_layers_are_kept_for_each_target_where_ci_says_so():
    place = "type=gha,scope=x86_64-{target}"
    kept = targets("tests", CACHE_FROM=place, CACHE_TO=place, PYTHONS="3.13,3.14,3.15")

    scopes = {name: [each["scope"] for each in target.get("cache-from", [])] for name, target in kept.items()}
    cached = {name: scope for name, scope in scopes.items() if scope}
    assert {"full-3-14", "slim-3-13", "tools", "kinds", "sets-3-13"} <= set(cached)
    assert cached == {name: [f"x86_64-{name}"] for name in cached}
    assert all(target.get("cache-from") == target.get("cache-to") for target in kept.values())
    assert [name for name, target in targets("tests", PYTHONS="3.13,3.14").items() if "cache-from" in target] == []


def test_tags_of_a_version():
    assert planned(VERSION="1.2.0") == TAGS


def test_tags_without_a_version():
    assert planned() == {
        name: {tag for tag in tags if "py" not in tag and tag != "1.2.0"} for name, tags in TAGS.items()
    }


def test_tags_of_what_is_not_tested_yet():
    plan = planned(VERSION="1.2.0", STAGE="sha-1a2b3c4")

    assert plan == {
        f"{suffix.removeprefix('-') or 'full'}-{python.replace('.', '-')}": {f"sha-1a2b3c4-py{python}{suffix}"}
        for python in ("3.13", "3.14")
        for suffix in EACH
    }


@pytest.fixture(scope="module")
def first(registry, tmp_path_factory):
    """Publishes the last commit, once."""
    clone = Clone(tmp_path_factory.mktemp("first") / "clone").shrink()
    clone.run("./dev", "publish", "--registry", registry.address)


@pytest.fixture
def published(registry, first):
    """The tags of the registry as they are when a test begins."""
    return registry.tags()


def test_a_second_run_changes_nothing(registry, published, small):
    assert published.keys() >= FIXED | MOVING

    output = small.run("./dev", "publish", "--registry", registry.address)

    assert registry.tags() == published
    assert output.count("(as before)") == len(FIXED | MOVING)


def test_a_version_is_never_overwritten(registry, published, small):
    small.change("build/paddock/__init__.py", '"""', '""" ')
    status, output = small.attempt("./dev", "publish", "--registry", registry.address)

    assert status == 1
    assert "already published with other contents" in output
    assert all(f"paddock:{tag}" in output for tag in FIXED)
    assert registry.tags() == published


def test_a_rebuild_leaves_the_version_and_moves_the_others(registry, published, small):
    small.change("build/paddock/__init__.py", '"""', '"""  ')
    small.run("./dev", "publish", "--registry", registry.address, "--rebuild")

    tags = registry.tags()
    assert {tag for tag in published if tags[tag] != published[tag]} == MOVING
    # What it brought can be named for ever, too.
    new = tags.keys() - published.keys()
    assert {re.sub(r"-20\d{6}$", "", tag) for tag in new} == FIXED - {VERSION}
    assert {tags[tag] for tag in new} == {tags[f"{PYTHON}{suffix}"] for suffix in SUFFIXES}


@pytest.mark.parametrize("failing", ["image", "tag"])
def test_a_failed_push_moves_no_tag(registry, published, small, denying, failing):
    small.change("build/paddock/__init__.py", '"""', '"""   ')
    commit = small.run("git", "rev-parse", "--short=12", "HEAD").strip()
    denied = f"sha-{commit}-py{PYTHON}-slim" if failing == "image" else f"{PYTHON}-slim"
    with denying(denied) as address:
        status, output = small.attempt("./dev", "publish", "--registry", address, "--rebuild")

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


def test_a_new_version_moves_the_others(registry, published, small):
    small.change("build/pyproject.toml", f'version = "{VERSION}"', 'version = "9.8.7"')
    small.run("./dev", "publish", "--registry", registry.address)

    tags = registry.tags()
    new = {f"{version}-py{PYTHON}{suffix}" for version in ("9.8.7", "9.8", "9") for suffix in SUFFIXES}
    assert tags.keys() - published.keys() == new | {"9.8.7"}
    assert {tag for tag in published if tags[tag] != published[tag]} == FREE
    assert tags["latest"] == tags["9.8.7"] == tags[PYTHON]
    assert small.run("docker", "buildx", "imagetools", "inspect", "--raw", f"{registry.address}/paddock:latest")


@pytest.mark.parametrize(
    ("version", "moved"), [("9.9.0rc1", set()), ("9.7.99", {f"9.7-py{PYTHON}{each}" for each in SUFFIXES})]
)
def test_no_tag_goes_back_or_to_a_pre_release(registry, published, small, version, moved):
    """After the test above, which has published 9.8.7."""
    small.change("build/pyproject.toml", f'version = "{VERSION}"', f'version = "{version}"')
    output = small.run("./dev", "publish", "--registry", registry.address)

    tags = registry.tags()
    assert {tag for tag in published if tags[tag] != published[tag]} == set()
    own = {version, *(f"{version}-py{PYTHON}{suffix}" for suffix in SUFFIXES)}
    assert tags.keys() - published.keys() - own == moved
    assert ("is a pre-release" if "rc" in version else "it is at 9.8.7") in output


def inspected(clone, reference, what):
    """What the registry has of an image."""
    return json.loads(clone.run("docker", "buildx", "imagetools", "inspect", "--format", what, reference))


def test_a_platform_at_a_time(registry, small, tmp_path):
    """The other platform's image has nothing in it: nothing is emulated here."""
    other = "linux/amd64" if platform.machine() == "aarch64" else "linux/arm64"
    first, second, joined = (tmp_path / f"{name}.json" for name in ("first", "second", "joined"))
    small.run("./dev", "publish", "--registry", registry.address, "--only", "push", "--digests", str(first))
    own = json.loads(first.read_text())
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    image = f"type=image,push=true,name={registry.address}/paddock:sha-empty"
    small.run("docker", "buildx", "build", f"--platform={other}", f"--output={image}", str(tmp_path / "empty"))
    empty = inspected(small, f"{registry.address}/paddock:sha-empty", "{{json .Manifest}}")["digest"]
    second.write_text(json.dumps(dict.fromkeys(own, empty)))

    join = ["./dev", "publish", "--registry", registry.address, "--only", "join", "--digests", str(joined)]
    small.run(*join, "--parts", str(first), str(second))
    whole = json.loads(joined.read_text())
    assert whole.keys() == own.keys()
    for digest in whole.values():
        index = inspected(small, f"{registry.address}/paddock@{digest}", "{{json .Manifest}}")
        assert {"{os}/{architecture}".format(**each["platform"]) for each in index["manifests"]} >= {
            "linux/amd64",
            "linux/arm64",
        }

    second.write_text(json.dumps({name: empty for name in own if name.startswith("slim")}))
    status, output = small.attempt(*join, "--parts", str(first), str(second))
    assert status == 1
    assert "was pushed for 1 of 2 platforms" in output


def test_what_can_have_no_tag_is_known_before(registry, published, small, tmp_path):
    small.change("build/paddock/__init__.py", '"""', '"""    ')
    digests = ["--registry", registry.address, "--digests", str(tmp_path / "digests.json")]
    small.run("./dev", "publish", *digests, "--only", "push")

    status, output = small.attempt("./dev", "publish", *digests, "--only", "check")
    assert status == 1
    assert "already published with other contents" in output
    small.run("./dev", "publish", *digests, "--only", "check", "--rebuild")
    assert registry.tags() == published


def test_a_stand_in_is_for_nobody_else(clone):
    status, output = clone.attempt("./dev", "publish", "--registry", "registry.example", BASE_IMAGE="localhost/a-base")

    assert status == 1
    assert "localhost/a-base is a stand-in for a base that no registry had" in output


def test_a_base_without_a_digest_has_to_be_wanted(registry, clone):
    missing = f"{registry.address}/no-such-base"
    status, output = clone.attempt("./dev", "publish", "--registry", registry.address, BASE_IMAGE=missing)

    assert status == 1
    assert f"the base has no digest, and --unpinned was not given: {missing}: no such image" in output
