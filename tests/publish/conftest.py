"""A registry, and a clone of the repository's last commit to publish from."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import httpx
import pytest
from docker.models.containers import Container as DockerContainer

from conftest import http_client, wait_until

ROOT = Path(__file__).parents[2]

PYTHON = os.environ.get("PADDOCK_PYTHON", "3.14")

OF_THIS_RUN = ("CA_FILE", "CACHE_FROM", "CACHE_TO", "REVISION")
"""Variables of the builds that the tests are run with: a clone is another place, and its layers are made anew."""

CONFIGURATION = """
version: 0.1
storage: {filesystem: {rootdirectory: /tmp/registry}}
http: {addr: ":5000"}
"""

DENYING = """
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend denying
    bind :5001
    http-request deny if METH_PUT { path_end /manifests/TAG }
    default_backend registry
backend registry
    server registry 127.0.0.1:5000
"""

PEERS = ("gunicorn", "inboard", "poetry", "s2i", "tiangolo", "tiangolo-fastapi")
"""What there are layers for that stand in for other images."""

LAYERS = ("gunicorn", "tiangolo")
"""Those that are published here: one is as good as another for that."""

SMALL = """
FROM {base} AS slim
COPY build/paddock/__init__.py /
{labels}
FROM slim AS full
COPY build/pyproject.toml /
"""
"""A Dockerfile with the stages of the image, and next to nothing in them."""

BUILDS = pytest.mark.xdist_group("builds")
"""One after the other: each of these builds as much as it can at once, and one without cache replaces what others have
there."""

KINDS = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"


@dataclass
class Registry:
    """A registry that is empty at first."""

    container: DockerContainer

    @property
    def address(self) -> str:
        """Where it answers: on 127.0.0.1, which Docker takes without TLS."""
        return self.published("5000/tcp")

    def published(self, port: str) -> str:
        """Return the address under which one of its ports is published."""
        self.container.reload()
        return f"127.0.0.1:{self.container.ports[port][0]['HostPort']}"

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask its API: https://distribution.github.io/distribution/spec/api/"""
        with http_client() as client:
            return client.get(f"http://{self.address}/v2/{path}", headers=headers)

    def tags(self, repository: str = "paddock") -> dict[str, str]:
        """Return the digest of each tag, but for those of commits."""
        names = self.get(f"{repository}/tags/list").json().get("tags") or []
        found = {
            name: self.get(f"{repository}/manifests/{name}", Accept=KINDS)
            for name in names
            if not name.startswith("sha-")
        }
        return {name: answer.headers["docker-content-digest"] for name, answer in found.items()}


@contextmanager
def tool(engine: docker.DockerClient, image: str, command: list[str], file: Path, **options: object) -> Iterator:
    """A container that runs with `file` as its /etc/configuration."""
    volumes = {str(file): {"bind": "/etc/configuration", "mode": "ro"}}
    container = engine.containers.create(image, [*command, "/etc/configuration"], volumes=volumes, **options)
    try:
        container.start()
        yield container
    finally:
        container.remove(force=True, v=True)


def answers(address: str) -> bool:
    """Tell whether a registry answers at an address."""
    try:
        with http_client() as client:
            return client.get(f"http://{address}/v2/").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def registry(engine: docker.DockerClient, tools: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry of the module's own."""
    file = tmp_path_factory.mktemp("registry") / "config.yml"
    file.write_text(CONFIGURATION)
    ports = {"5000/tcp": ("127.0.0.1", None), "5001/tcp": ("127.0.0.1", None)}
    with tool(engine, f"{tools}:registry", ["docker-registry", "serve"], file, ports=ports) as container:
        registry = Registry(container)
        wait_until(lambda: answers(registry.address), "the registry")
        yield registry


@pytest.fixture
def denying(engine: docker.DockerClient, tools: str, registry: Registry, tmp_path: Path) -> Callable:
    """The registry as seen where one tag cannot be set: `with denying("3.14-slim") as address`."""

    @contextmanager
    def deny(tag: str) -> Iterator[str]:
        file = tmp_path / "haproxy.cfg"
        file.write_text(DENYING.replace("TAG", tag))
        network = f"container:{registry.container.id}"
        with tool(engine, f"{tools}:haproxy", ["haproxy", "-db", "-f"], file, network_mode=network):
            address = registry.published("5001/tcp")
            wait_until(lambda: answers(address), "the proxy")
            yield address

    return deny


class Clone:
    """The last commit in a clone of its own, to change and to publish from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run("git", "clone", "--quiet", str(ROOT), str(path), cwd=ROOT)

    def run(self, *command: str, cwd: Path | None = None, **environment: str) -> str:
        """Run a command in the clone, which must succeed, and return what it prints."""
        status, output = self.attempt(*command, cwd=cwd, **environment)
        assert status == 0, output
        return output

    def attempt(self, *command: str, cwd: Path | None = None, **environment: str) -> tuple[int, str]:
        """Run a command in the clone; return its exit status and what it prints."""
        # What ./dev has found out for the repository itself does not hold here.
        inherited = {name: value for name, value in os.environ.items() if name not in OF_THIS_RUN}
        done = subprocess.run(
            command,
            cwd=cwd or self.path,
            env={**inherited, "PYTHONS": PYTHON, "DEFAULT_PYTHON": PYTHON, "COMPAT": ",".join(LAYERS), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=3600,
            check=False,
        )
        return done.returncode, done.stdout

    def change(self, path: str, old: str, new: str) -> None:
        """Change a file, and commit that."""
        file = self.path / path
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))
        self.commit(f"change {path}")

    def shrink(self, base: str = "scratch") -> Clone:
        """Leave next to nothing in the images, and commit that: they are published as the real ones are."""
        file = self.path / "Dockerfile"
        text = file.read_text()
        labels = re.search(r"^ARG BASE_IMAGE\nLABEL (.*\\\n)*.*$", text, re.MULTILINE)[0]
        file.write_text(text.partition("\nFROM ")[0] + SMALL.format(base=base, labels=labels))
        layers = [f"FROM paddock:full AS {layer}\nENV LAYER={layer}\n" for layer in LAYERS]
        (self.path / "build/compat/Dockerfile").write_text("".join(layers))
        self.commit("shrink")
        return self

    def commit(self, message: str) -> None:
        """Commit all changes."""
        identity = ["-c", "user.name=Someone", "-c", "user.email=someone@example.com"]
        date = self.run("git", "log", "-1", "--format=%cI").strip()
        # One of the same files at another time would be another commit.
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        self.run("git", *identity, "commit", "--quiet", "--all", "--message", message, **dates)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone of the last commit."""
    return Clone(tmp_path / "clone")


@pytest.fixture
def small(clone: Clone) -> Clone:
    """A clone with next to nothing in its images, for tests of how they are published."""
    return clone.shrink()
