"""Signatures and the SBOM, made and verified with a key: the release workflow does the same without one."""

from __future__ import annotations

import base64
import json
import subprocess
import tomllib

import pytest

from publish.conftest import PYTHON, ROOT, Clone

pytestmark = pytest.mark.xdist_group("signing")

SLIM, FULL = (f"{variant}-{PYTHON.replace('.', '-')}" for variant in ("slim", "full"))


@pytest.fixture(scope="module")
def cosign(engine, tools, registry, tmp_path_factory):
    """Run cosign beside the registry, with two keys and no transparency log; returns its exit status and output."""
    directory = tmp_path_factory.mktemp("cosign")
    container = engine.containers.run(
        f"{tools}:cosign",
        ["sleep", "infinity"],
        detach=True,
        init=True,
        user="0",
        working_dir="/work",
        environment={"COSIGN_PASSWORD": "", "HOME": "/work"},
        volumes={str(directory): {"bind": "/work", "mode": "rw"}},
        network_mode=f"container:{registry.container.id}",
    )

    def run(*arguments, **files):
        for name, text in files.items():
            (directory / name).write_text(text)
        status, (out, err) = container.exec_run(["cosign", *arguments], demux=True)
        return status, (out or b"").decode(), (err or b"").decode()

    try:
        for name in ("ours", "theirs"):
            assert run("generate-key-pair", "--output-key-prefix", name)[0] == 0
        assert run("signing-config", "create", "--out", "offline.json")[0] == 0
        yield run
    finally:
        container.remove(force=True)


@pytest.fixture(scope="module")
def pushed(registry, tmp_path_factory):
    """The images that were pushed, as cosign names them. There is next to nothing in them."""
    clone = Clone(tmp_path_factory.mktemp("signing") / "clone").shrink()
    digests = clone.path.with_name("digests.json")
    clone.run("./dev", "publish", "--registry", registry.address, "--only", "push", "--digests", str(digests))
    return {name: f"127.0.0.1:5000/paddock@{digest}" for name, digest in json.loads(digests.read_text()).items()}


@pytest.fixture(scope="module")
def sbom():
    """What `./dev sbom` prints."""
    return subprocess.run(["./dev", "sbom"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


SIGNING = ("--yes", "--key=ours.key", "--signing-config=offline.json", "--allow-http-registry")
VERIFYING = ("--insecure-ignore-tlog", "--allow-http-registry")


def test_signed_with_the_key_and_no_other(cosign, pushed):
    status, _, err = cosign("sign", *SIGNING, pushed[SLIM])
    assert status == 0, err

    status, out, err = cosign("verify", "--key=ours.pub", *VERIFYING, pushed[SLIM])
    assert status == 0, err
    assert pushed[SLIM].partition("@")[2] in out + err
    assert cosign("verify", "--key=theirs.pub", *VERIFYING, pushed[SLIM])[0] != 0
    assert cosign("verify", "--key=ours.pub", *VERIFYING, pushed[FULL])[0] != 0


def test_the_sbom_is_attested(cosign, pushed, sbom):
    status, _, err = cosign("attest", *SIGNING, "--type=cyclonedx", "--predicate=sbom", pushed[SLIM], sbom=sbom)
    assert status == 0, err

    status, out, err = cosign("verify-attestation", "--type=cyclonedx", "--key=ours.pub", *VERIFYING, pushed[SLIM])
    assert status == 0, err
    statement = json.loads(base64.b64decode(json.loads(out.splitlines()[0])["payload"]))
    assert pushed[SLIM].endswith(statement["subject"][0]["digest"]["sha256"])
    components = statement["predicate"]["components"]
    locked = tomllib.loads((ROOT / "build/uv.lock").read_text())["package"]
    assert {component["name"] for component in components} >= {"gunicorn", "uvicorn", "uvloop", "httptools"}
    assert {(component["name"], component["version"]) for component in components} <= {
        (package["name"], package["version"]) for package in locked
    }
    for component in components:
        files = component["externalReferences"]
        assert files
        assert all(each["hashes"][0]["alg"] == "SHA-256" for each in files)


def test_the_sbom_lists_what_the_image_has(start, slim, sbom):
    listed = {component["name"] for component in json.loads(sbom)["components"]}
    container = start(image=slim, command=["sleep", "infinity"])
    script = (
        "from importlib.metadata import distributions as d;"
        "print(*(i.name.lower().replace('_', '-') for i in d(path=['/opt/paddock/lib'])))"
    )

    assert set(container.run("python", "-c", script).split()) - {"paddock"} <= listed
