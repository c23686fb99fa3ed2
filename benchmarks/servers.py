"""Servers under test: each in a container of its own, all read and asked in the same way."""

from __future__ import annotations

import http.client
import json
import os
import select
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import docker

APPS = Path(__file__).parent / "apps"

PATIENCE = 60.0
"""Seconds that a server may take to start, and a log to arrive."""

UNTIL_READY = "8000/"
"""Port and path that every server answers."""


class Failed(Exception):
    """A measurement that says nothing, and why."""


@dataclass(frozen=True)
class Contender:
    """How to start a server that listens on port 8000."""

    name: str
    """What tables call it."""

    image: str
    command: tuple[str, ...]
    app: str = ""
    """File of `apps/` that is its `/app/main.py`; nothing where the image has an application."""

    environment: dict[str, str] = field(default_factory=dict)

    logs: bool = True
    """Whether it writes one line for each request to stdout, which is checked."""

    answers: tuple[str, ...] = (UNTIL_READY,)
    """Ports and paths that must answer 200 before it is measured, such as `9090/metrics`."""


@dataclass(frozen=True)
class Load:
    """What wrk saw."""

    requests: int
    seconds: float
    p50: float
    """Milliseconds in which half of the requests were answered."""

    p99: float
    """The same of 99 in a hundred."""

    cpu: float = 0.0
    """Seconds of CPU time that the server's container took meanwhile."""

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def cpu_each(self) -> float:
        """Microseconds of CPU time a request."""
        return self.cpu / self.requests * 1e6


def parse_report(output: str) -> Load:
    """Read what `peers/report.lua` printed.

    Raises:
        Failed: when there were errors, answers of 400 or more, or no requests at all.
    """
    report = json.loads(output.strip().splitlines()[-1])
    errors = {name: report[name] for name in ("connect", "read", "write", "timeout", "status") if report[name]}
    if errors or not report["requests"]:
        raise Failed(f"wrk counted {report['requests']} requests, and errors: {errors}")
    return Load(report["requests"], report["duration"] / 1e6, report["p50"] / 1e3, report["p99"] / 1e3)


class LineCounter(threading.Thread):
    """Reads a named pipe as whoever collects a container's log does, and counts the lines.

    It runs on the CPUs of the thread that makes it. Docker's own way, through two of its processes to a file, would
    take time from whichever CPU they happen to run on.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.lines = 0
        os.mkfifo(path)
        # Beyond the umask: the server runs as another user.
        path.chmod(0o666)
        self._path = path
        self._pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.start()

    def run(self) -> None:
        """Read until there is no writer any more."""
        poll = select.poll()
        poll.register(self._pipe)
        poll.poll()
        os.set_blocking(self._pipe, True)
        while part := os.read(self._pipe, 1 << 16):
            self.lines += part.count(b"\n")

    def close(self) -> None:
        """End the reading; the server must have ended."""
        # A writer that comes and goes, should the server never have been one.
        os.close(os.open(self._path, os.O_WRONLY | os.O_NONBLOCK))
        self.join()
        os.close(self._pipe)


class Server:
    """A contender that runs while the `with` block does, and is ready when that begins.

    `limits` are those of the Docker SDK: `cpuset_cpus`, `nano_cpus`, `mem_limit`.
    """

    def __init__(self, engine: docker.DockerClient, contender: Contender, **limits: Any) -> None:
        self.contender = contender
        self._engine = engine
        self._limits = limits
        self._directory = Path(tempfile.mkdtemp())
        self._directory.chmod(0o755)
        self._log = LineCounter(self._directory / "stdout")

    def __enter__(self) -> Server:
        volumes = {str(self._directory): {"bind": "/log", "mode": "rw"}}
        if self.contender.app:
            volumes[str(APPS / self.contender.app)] = {"bind": "/app/main.py", "mode": "ro"}
        self.container = self._engine.containers.run(
            self.contender.image,
            self.contender.command,
            # Only the access log goes there: what a server says of itself stays in the container's own log.
            entrypoint=["sh", "-c", 'exec "$@" >/log/stdout', "sh"],
            detach=True,
            healthcheck={"test": ["NONE"]},
            environment=self.contender.environment,
            volumes=volumes,
            **self._limits,
        )
        try:
            self._wait_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.container.remove(force=True, v=True)
        self._log.close()
        shutil.rmtree(self._directory)

    def _wait_ready(self) -> None:
        for answer in self.contender.answers:
            self.wait_for(partial(self._answers, answer), f"an answer on {answer}")

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until `condition` is true.

        Raises:
            Failed: when the container has ended, or that takes too long; it names `what`, and has the log.
        """
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.container.reload()
            if self.container.status != "running" or time.monotonic() > deadline:
                raise Failed(f"{self.contender.name}: waited in vain for {what}\n{self.log()}")
            time.sleep(0.05)

    def log(self) -> str:
        """Return what the server says of itself: all but the access log."""
        return str(self.container.logs().decode())

    def address(self) -> str:
        """Return the container's address, which it has as soon as it runs."""
        self.container.reload()
        return str(next(iter(self.container.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"])

    def cpu_time(self) -> float:
        """Return the seconds of CPU time that the container has taken so far.

        Its cgroup counts them, and the engine reads them there, from `cpuacct.usage` or `cpu.stat`: a command in the
        container would itself be counted. https://docs.docker.com/reference/api/engine/version/v1.51/#operation/ContainerStats
        """
        stats = self.container.stats(stream=False, one_shot=True)
        return float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9

    def _answers(self, answer: str) -> bool:
        port, _, path = answer.partition("/")
        connection = http.client.HTTPConnection(self.address(), int(port), timeout=5)
        try:
            connection.request("GET", f"/{path}")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def load(self, image: str, seconds: int, connections: int, path: str = "/", **limits: Any) -> Load:
        """Ask the server as fast as it answers over `connections` kept alive, with the wrk of `image`.

        wrk shares the server's network, so that nothing but the kernel's loopback is between them.

        Raises:
            Failed: when a request failed, or is not in the log, or is there though the log is off.
        """
        before, taken = self._log.lines, self.cpu_time()
        command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout"]
        command += ["10s", "--script", "/usr/local/share/wrk/report.lua", f"http://127.0.0.1:8000{path}"]
        network = f"container:{self.container.id}"
        output = self._engine.containers.run(image, command, network_mode=network, remove=True, **limits)
        try:
            load = parse_report(output.decode())
        except Failed as error:
            raise Failed(f"{self.contender.name}: {error}") from None
        self._check_log(before, load)
        return replace(load, cpu=self.cpu_time() - taken)

    def _check_log(self, before: int, load: Load) -> None:
        wanted = load.requests if self.contender.logs else 0
        deadline = time.monotonic() + PATIENCE
        while self._log.lines - before < wanted and time.monotonic() < deadline:
            time.sleep(0.05)
        lines = self._log.lines - before
        # wrk leaves while some requests are on their way: they are in the log, and not in its count.
        if lines < wanted or (lines and not self.contender.logs):
            raise Failed(f"{self.contender.name} wrote {lines} lines for {load.requests} requests")

    def run(self, *command: str) -> str:
        """Run a command in the container, and return what it prints.

        Raises:
            Failed: when it ends with another status than 0.
        """
        status, output = self.container.exec_run(list(command))
        if status:
            raise Failed(f"{' '.join(command)} ended with {status}: {output.decode()}")
        return str(output.decode())
