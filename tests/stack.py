"""An application of several containers, made by an orchestrator as one of examples/ tells it to.

The example is copied, and used by the commands that its README shows. In the copy the proxy's image is Debian's HAProxy
in place of the official one, and the application's has a name of its own, so that a test can bring out a new version.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import httpx
from docker.models.images import Image

from conftest import PATIENCE, Container, http_client, wait_until
from load import Readers

EXAMPLES = Path(__file__).parents[1] / "examples"

SHOP = "paddock-example:fastapi-uv"
PROXY = "haproxy:3.2-alpine"
KEY = "open sesame"


class Stack:
    """The example `example` in `directory`, with the services `app` and `proxy`.

    `label` is what the orchestrator labels a service's containers with; `{name}` and `{service}` stand in it.
    """

    label = ""

    def __init__(self, engine: docker.DockerClient, tools: str, directory: Path, example: str, file: str) -> None:
        self.engine = engine
        self.name = f"paddock-{example}-{uuid4().hex[:8]}"
        self.directory = shutil.copytree(EXAMPLES / example, directory / example)
        self.file = self.directory / file
        self.readme = (self.directory / "README.md").read_text()
        self.environment = {"HTTP_PORT": "0"}
        self.images: list[Image] = []
        self.use(PROXY, f"{tools}:haproxy")
        self.version = SHOP
        self.release("1")

    def use(self, old: str, new: str) -> None:
        """Write another image into the example's file."""
        text = self.file.read_text()
        assert f"image: {old}\n" in text
        self.file.write_text(text.replace(f"image: {old}\n", f"image: {new}\n"))

    def release(self, tag: str, **environment: str) -> None:
        """Make a version of the application, the example's with another environment, and write it into the file."""
        container = self.engine.containers.create(SHOP)
        try:
            changes = "".join(f"ENV {name}={json.dumps(value)}\n" for name, value in environment.items())
            self.images.append(container.commit(self.name, tag, changes=changes or None))
        finally:
            container.remove()
        self.use(self.version, f"{self.name}:{tag}")
        self.version = f"{self.name}:{tag}"

    def run(self, command: str, status: int = 0) -> str:
        """Run a command of the README, and return its output."""
        assert f"`{command}`" in self.readme
        result = subprocess.run(
            self.adapt(command),
            shell=True,
            cwd=self.directory,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=5 * PATIENCE,
            check=False,
        )
        assert result.returncode == status, result.stdout
        return result.stdout

    def adapt(self, command: str) -> str:
        """Return the command as it has to be for this copy of the example."""
        return command

    def containers(self, service: str) -> list[Container]:
        """Return the running containers of a service."""
        label = [part.format(name=self.name, service=service) for part in self.label.split()]
        return [Container(raw) for raw in self.engine.containers.list(filters={"label": label}, ignore_removed=True)]

    @property
    def port(self) -> int:
        """The port of this machine at which the proxy answers."""
        [proxy] = self.containers("proxy")
        return int(proxy.raw.ports["8080/tcp"][0]["HostPort"])

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask the application, through the proxy."""
        with http_client() as client:
            return client.get(f"http://127.0.0.1:{self.port}{path}", **options)

    def logged(self, text: str) -> str:
        """Wait for a line with `text` in the log of a replica, and return it."""

        def found() -> str | None:
            lines = (line for each in self.containers("app") for line in each.logs().splitlines())
            return next((line for line in lines if text in line), None)

        return str(wait_until(found, f"{text!r} in a log"))

    def readers(self) -> Readers:
        """Return clients that ask through the proxy for what the secret opens."""
        headers = {"X-API-Key": KEY}
        right = self.get("/items", headers=headers)
        assert right.status_code == 200
        return Readers(
            "127.0.0.1",
            self.port,
            paths=("/items",),
            headers=headers,
            right=right.content,
            least=2000,
            most=1_000_000,
            seconds=5 * PATIENCE,
            # A busy machine boots workers meanwhile.
            late=15,
        )

    def close(self) -> None:
        """Remove the images; the containers are gone by then."""
        for image in self.images:
            self.engine.images.remove(image.id, force=True)


@contextmanager
def ending(containers: list[Container]) -> Iterator[list[int]]:
    """Wait, at the end of the block, for the end of the containers: the list then holds their exit statuses.

    Watched from the beginning, because an orchestrator removes a container as soon as it has stopped it.
    """
    statuses: list[int] = []
    with ThreadPoolExecutor(len(containers)) as pool:
        ends = [pool.submit(container.raw.wait, timeout=5 * PATIENCE) for container in containers]
        yield statuses
        statuses += [end.result()["StatusCode"] for end in ends]
