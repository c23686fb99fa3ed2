"""Nothing that is built or run here takes what no lock file names: a release of tomorrow changes none of it.

Debian's packages are another matter: they are what the base image's release of Debian has on the day.
"""

from __future__ import annotations

import json
import re
import secrets

import pytest

from publish.conftest import BUILDS, PEERS, PYTHON, ROOT
from publish.future import INDEX, Future

pytestmark = [
    BUILDS,
    # Python leaves it open when the client has gone before the handshake: ssl.py, SSLSocket._create, `self.recv(1)`.
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
]

DEFAULT = PYTHON.replace(".", "-")

FLOATING = {
    "pip": ("pip install --requirement requirements.txt", "pip install itsdangerous"),
    "uv-pip": ("uv pip install --requirements requirements.txt", "uv pip install itsdangerous"),
    "src": ("uv sync --locked", "uv sync --upgrade"),
}
"""Dockerfiles of `tests/image/environments`, and what makes each of them take the newest."""


@pytest.fixture
def future(engine, tmp_path):
    """The index of the future, where containers and this machine reach it."""
    (network,) = engine.networks.get("bridge").attrs["IPAM"]["Config"]
    with Future(network["Gateway"], tmp_path) as future:
        yield future


@pytest.fixture
def environment(future):
    """Variables with which tools take the index of the future for PyPI."""
    trusted = dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"), str(future.bundle))
    proxy = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), future.url)
    return {**trusted, **proxy, "UV_DEFAULT_INDEX": INDEX, "PIP_INDEX_URL": INDEX, "PIP_NO_CACHE_DIR": "1"}


@pytest.fixture
def bake(clone, future):
    """Build targets without cache against the index of the future, and keep nothing of it: `bake("*", "default")`.

    The first argument is a pattern: of what it matches, cache mounts are empty too; other targets are built as ever.
    https://docs.docker.com/build/building/variables/#buildkit_cache_mount_ns
    """
    # The examples' own tests and bytecode ask nobody, and take longer than all else; one program of Debian's is enough.
    for file in clone.path.glob("examples/*/Dockerfile"):
        file.write_text(re.sub(r"(python -m )?\bpytest .*", "true", file.read_text()))
    tools = clone.path / "tests/tools/Dockerfile"
    text, replaced = re.subn(r"(--no-install-recommends) [^;]+?(\nSH\n)", r"\1 nginx\2", tools.read_text())
    assert replaced == 1
    tools.write_text(text)
    clone.change("Dockerfile", "UV_COMPILE_BYTECODE=1", "UV_COMPILE_BYTECODE=0")
    namespace = secrets.token_hex(8)
    arguments = {"HTTPS_PROXY": future.url, "BUILDKIT_CACHE_MOUNT_NS": namespace}

    def run(pattern, *targets):
        return clone.attempt(
            *("./dev", "bake", "--provenance=false", "--set=*.output=type=cacheonly", f"--set={pattern}.no-cache=true"),
            *(f"--set={pattern}.args.{name}={value}" for name, value in arguments.items()),
            *targets,
            COMPAT=",".join(PEERS),
            SSL_CERT_FILE=str(future.bundle),
            UV_DEFAULT_INDEX=INDEX,
            PIP_INDEX_URL=INDEX,
        )

    yield run
    clone.run("docker", "buildx", "prune", "--force", f"--filter=description~={namespace}")


ALIKE = {"sets-": f"sets-{DEFAULT}", "trusting-": "trusting"}
"""Targets that differ in their Python only, by how they begin, and one that stands for all.

The clone knows one Python alone: not every machine has the others.
"""


@pytest.fixture
def everything(clone):
    """All targets of bake, one of those that are alike."""
    listing = ["docker", "buildx", "bake", "--progress=quiet", "--list=type=targets,format=json"]
    known = json.loads(clone.run(*listing, COMPAT=",".join(PEERS)))
    names = {target["name"] for target in known if not target.get("group") and not target["name"].endswith("-check")}
    return sorted(name for name in names if ALIKE.get(re.sub("-.*", "-", name), name) == name)


def test_builds_want_nothing_that_is_not_locked(bake, future, everything):
    status, output = bake("*", *everything)

    assert future.wanted == set(), output
    assert status == 0, output
    # They did come here; and uv has its build backend within.
    assert {"uv", "pip", "gunicorn", "uvicorn-worker", "itsdangerous", "flask", "poetry", "fastapi"} <= future.looked_up
    assert "uv-build" not in future.looked_up


@pytest.mark.parametrize("name", FLOATING)
def test_a_build_that_floats_is_seen(bake, clone, future, name):
    clone.change(f"tests/image/environments/{name}.Dockerfile", *FLOATING[name])

    status, output = bake(f"environment-{name}", f"environment-{name}")

    assert future.wanted, output
    assert status != 0


def test_the_tools_of_this_machine_want_nothing_that_is_not_locked(clone, future, environment):
    clone.run("./dev", "docs", "--check", **environment)

    assert future.wanted == set()
    assert {"uv", "pytest", "ruff", "matplotlib"} <= future.looked_up


def installed():
    """What the pages of docs/ and their tests install: the arguments of each `uv pip install`."""
    files = [*ROOT.glob("docs/*.md"), *ROOT.glob("tests/docs/*.py")]
    return sorted(
        {line.strip() for file in files for line in re.findall("uv pip install ([^&`\n]+)", file.read_text())}
    )


def test_pages_take_nothing_newer_than_their_date(start, tools, future, environment):
    container = start(
        command=["sleep", "infinity"],
        image=f"{tools}:trusting",
        environment=environment | {"SSL_CERT_FILE": "/bundle.pem", "UV_NO_CACHE": "1"},
        volumes={str(future.bundle): {"bind": "/bundle.pem", "mode": "ro"}},
    )
    for packages in installed():
        container.run("sh", "-euc", f"uv pip install --dry-run {packages}")

    assert future.wanted == set()
    assert {"alembic", "zttp", "django", "prometheus-client", "whitenoise"} <= future.looked_up
