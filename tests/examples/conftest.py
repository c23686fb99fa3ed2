"""The examples' Compose files, started by tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from conftest import PATIENCE, Container

EXAMPLES = Path(__file__).parents[2] / "examples"

LOCKED_UP = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
"""With what a container can do as little as it can."""


class Compose:
    """A project of Docker Compose; `command` is what its every command begins with."""

    def __init__(self, engine: docker.DockerClient, name: str, files: list[Path]) -> None:
        self.engine = engine
        self.name = name
        self.command = ["docker", "compose", "--project-name", name]
        for file in files:
            self.command += ["--file", str(file)]

    def run(self, *arguments: str) -> str:
        """Run a command, such as `run("up", "--detach")`, which must succeed, and return what it prints."""
        done = subprocess.run(
            [*self.command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=3 * PATIENCE,
            check=False,
            env={**os.environ, "COMPOSE_PROGRESS": "plain"},
        )
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def service(self, name: str) -> Container:
        """Return the container of a service that has one."""
        labels = [f"com.docker.compose.project={self.name}", f"com.docker.compose.service={name}"]
        [raw] = self.engine.containers.list(all=True, filters={"label": labels}, ignore_removed=True)
        return Container(raw)


@pytest.fixture
def compose(engine: docker.DockerClient, tmp_path: Path) -> Iterator[Callable[[str, str], Compose]]:
    """Start an example's Compose file, with another one on top: `compose("celery", "services: …")`.

    Nothing is pulled or built. What is on top gives the images that no registry has here, and takes away published
    ports, which several tests at once could not share.
    """
    projects: list[Compose] = []

    def up(example: str, override: str) -> Compose:
        file = tmp_path / "override.yaml"
        file.write_text(override)
        name = f"paddock-{example}-{os.getpid()}-{len(projects)}"
        projects.append(Compose(engine, name, [EXAMPLES / example / "compose.yaml", file]))
        projects[-1].run("up", "--detach", "--no-build", "--pull", "never", "--wait")
        return projects[-1]

    yield up
    for project in projects:
        # Shown when the test has failed.
        print(project.run("logs", "--no-color"))
        project.run("down", "--volumes", "--timeout", "1")
