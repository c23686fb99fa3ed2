"""A running container as a fixture: started by the test, watched from outside, silent unless the test says otherwise.

Fixtures never build: `./dev test` bakes the images first.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from threading import Timer
from typing import Any

import docker
import httpx
import pytest
import testinfra
from docker.models.containers import Container as DockerContainer

from sources import Folder

PATIENCE = 300.0
"""Seconds that a condition may take on a busy machine."""

AT_ONCE = 24
"""How many containers are removed together."""

LEISURE = {"GRACEFUL_TIMEOUT": "100"}
"""What a server is started with: on a busy machine a worker may take longer to leave than it has by default."""

APPS = Path(__file__).parent / "image" / "apps"

UNASKED = {"test": ["NONE"]}
"""Docker's health check costs as much as a test, and writes into its log."""

UNREACHABLE = "nobody outside this container can reach it"
"""What is said of a server that listens on loopback alone, as few tests want it."""


NOISE = re.compile(r"\[(WARNING|ERROR|CRITICAL)\]|Traceback|Exception", re.IGNORECASE)
"""What a log must not hold unless the test allows it."""


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show why a test was run again: CI tries twice, and what failed once may be the server's fault all the same."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"failed once: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


def wait_until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Return the first true result of `condition`; fail the test, naming `what`, when there is none in time.

    It asks less and less often: asking takes time of the machine that what is waited for needs.
    """
    deadline = time.monotonic() + patience
    pause = 0.02
    while True:
        if result := condition():
            return result
        if time.monotonic() > deadline:
            pytest.fail(f"waited {patience:.0f} s in vain: {what}")
        time.sleep(pause)
        pause = min(1.5 * pause, 0.3)


def http_client(**options: Any) -> httpx.Client:
    """Return a client for servers without TLS; `options` are httpx's.

    To read the certificates that the machine trusts, as httpx does unless it is told, takes longer than many requests.
    """
    return httpx.Client(**{"trust_env": False, "verify": False, "timeout": PATIENCE, **options})


@dataclass(frozen=True)
class Outcome:
    """How a container ended, and what it wrote."""

    status: int
    out: str
    err: str


class Container:
    """A container, as a user sees it."""

    def __init__(self, raw: DockerContainer) -> None:
        self.raw = raw
        self.allowed: list[str] = []

    def allow(self, *patterns: str) -> Container:
        """Take lines of the log that match one of `patterns` for what the test is about."""
        self.allowed += patterns
        return self

    @property
    def host(self) -> Any:
        """testinfra's view of the inside."""
        return testinfra.get_host(f"docker://{self.raw.id}")

    @property
    def address(self) -> str:
        """The container's own address on Docker's network."""
        return self._address("IPAddress")

    @property
    def ipv6(self) -> str:
        """The container's own IPv6 address, on a network that has such."""
        return self._address("GlobalIPv6Address")

    def _address(self, kind: str) -> str:
        self.raw.reload()
        networks = self.raw.attrs["NetworkSettings"]["Networks"]
        return next(network[kind] for network in networks.values() if network[kind])

    def get(self, path: str = "/", port: int = 8000, **options: Any) -> httpx.Response:
        """Ask the application."""
        return self.request("GET", path, port, **options)

    def post(self, path: str = "/", port: int = 8000, **options: Any) -> httpx.Response:
        """Send the application something, such as `json={…}`."""
        return self.request("POST", path, port, **options)

    def request(self, method: str, path: str, port: int = 8000, **options: Any) -> httpx.Response:
        """Send a request to the application, and return its answer."""
        with http_client() as client:
            return client.request(method, f"http://{self.address}:{port}{path}", **options)

    def logs(self, **streams: bool) -> str:
        """Return what the container wrote; `stdout=False` or `stderr=False` leaves one stream out."""
        return self.raw.logs(**streams).decode()

    def wait_for_log(self, pattern: str) -> str:
        """Wait for a line of the log that matches `pattern`, and return the match."""

        def found() -> str | None:
            match = re.search(pattern, self.logs())
            return match and match[0]

        return str(wait_until(found, f"{pattern!r} in the log:\n{self.logs()}"))

    @property
    def running(self) -> bool:
        """Whether its main process runs."""
        self.raw.reload()
        return bool(self.raw.status == "running")

    def wait_ready(self) -> Container:
        """Wait until the server says that it serves, as text or JSON; fail at once when the container ends."""
        self.follow("gunicorn: Ready", '"message": "Ready"')
        return self

    def follow(self, *texts: str) -> None:
        """Read the log until it holds one of the texts; fail when the container ends before, or has nothing in time."""
        said = b""
        stream = self.raw.logs(stream=True, follow=True)
        # Nothing else would end a stream in which nothing comes.
        limit = Timer(PATIENCE, self.raw.kill)
        limit.start()
        try:
            for part in stream:
                said += part
                if any(text.encode() in said for text in texts):
                    return
        finally:
            limit.cancel()
            # The stream's own leaves the connection to the garbage collector.
            stream._response.close()
        pytest.fail(f"the container ended, or said nothing of {texts} for {PATIENCE:.0f} s:\n{self.logs()}")

    def wait_healthy(self) -> Container:
        """Wait until the container is healthy, as Docker says or who asks in its place; fail at once when it ends."""

        def healthy() -> bool:
            if not self.running:
                pytest.fail(f"the container ended:\n{self.logs()}")
            return self.health() == "healthy"

        wait_until(healthy, "a healthy container")
        return self

    def health(self) -> str:
        """Return what Docker thinks: starting, healthy or unhealthy; where it does not ask, what its check says."""
        self.raw.reload()
        if found := self.raw.attrs["State"].get("Health"):
            return str(found["Status"])
        return self.attempt("paddock", "health").out.partition(":")[0]

    def wait_exit(self) -> int:
        """Wait for the end of the main process, and return its exit status."""
        return int(self.raw.wait(timeout=PATIENCE)["StatusCode"])

    def outcome(self) -> Outcome:
        """Wait for the end of the main process, and return all there is to know."""
        return Outcome(self.wait_exit(), self.logs(stderr=False), self.logs(stdout=False))

    def stop(self, seconds: int = 90) -> int:
        """Send SIGTERM, and return the exit status."""
        self.raw.stop(timeout=seconds)
        return self.wait_exit()

    def run(self, *command: str, user: str | None = None) -> str:
        """Run a command inside, which must succeed, and return its output."""
        status, output = self.raw.exec_run(list(command), user=user or "")
        assert status == 0, output.decode()
        return str(output.decode())

    def attempt(self, *command: str, **options: Any) -> Outcome:
        """Run a command inside, and return how it ended. `options` are those of the Docker SDK's `exec_run`."""
        status, (out, err) = self.raw.exec_run(list(command), demux=True, **options)
        return Outcome(status, (out or b"").decode(), (err or b"").decode())

    def processes(self) -> list[str]:
        """Return the command lines of the container's processes: the slim image has no ps.

        Docker's health check, which comes and goes, is none of them.
        """
        rows = self.raw.top(ps_args="-eo pid,args")["Processes"]
        return [command for _, command in rows if "from paddock.health." not in command]

    def workers(self) -> int:
        """Return how many workers there are: Gunicorn's processes but for the arbiter."""
        return sum("/opt/paddock/lib/paddock" in command for command in self.processes()) - 1

    def children(self) -> set[int]:
        """Return the pids, as the host sees them, of the arbiter's children: workers, and orphans not yet reaped."""
        self.raw.reload()
        arbiter = str(self.raw.attrs["State"]["Pid"])
        rows = self.raw.top(ps_args="-eo pid,ppid")["Processes"]
        return {int(pid) for pid, parent in rows if parent == arbiter}

    def signal(self, name: str) -> None:
        """Send a signal, such as HUP, to the main process."""
        self.raw.kill(signal=name)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Freeze all processes inside.

        A version 1 cgroup refuses while one of them forks, such as a health check's:
        https://github.com/opencontainers/runc/blob/main/libcontainer/cgroups/fs/freezer.go
        """

        def frozen() -> bool:
            try:
                self.raw.pause()
            except docker.errors.APIError as error:
                if "unable to freeze" not in str(error):
                    raise
                return False
            return True

        wait_until(frozen, "a container that is frozen")
        try:
            yield
        finally:
            self.raw.unpause()

    def assert_silent(self) -> None:
        """Fail when the log holds a warning, an error or a traceback that the test did not allow."""
        noise = [
            line
            for line in self.logs().splitlines()
            if NOISE.search(line) and not any(re.search(pattern, line) for pattern in self.allowed)
        ]
        assert not noise, "unexpected in the log:\n" + "\n".join(noise) + "\n\nits end:\n" + self.logs()[-10_000:]


class Removal:
    """Removes containers that have ended, many at once.

    At each removal the engine looks through all that it has for what nobody needs any more, which costs more than
    the container's start did. All that are removed meanwhile share the next look:
    https://github.com/containerd/containerd/blob/main/docs/garbage-collection.md, "Synchronous Garbage Collection"
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self.at_once = at_once
        self.ended: list[DockerContainer] = []

    def take(self, containers: list[DockerContainer]) -> None:
        """End the containers now, and remove them with others."""
        self.ended += containers
        for container in containers:
            # It may have ended by itself.
            with suppress(docker.errors.APIError):
                container.kill()
        if len(self.ended) >= self.at_once:
            self.finish()

    def finish(self) -> None:
        """Remove what is left."""
        containers, self.ended = self.ended, []
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for _ in threads.map(lambda container: container.remove(force=True, v=True), containers):
                pass


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The Docker engine."""
    client = docker.from_env(timeout=600, max_pool_size=AT_ONCE)
    yield client
    client.close()


@pytest.fixture(scope="session")
def removal() -> Iterator[Removal]:
    """What removes containers."""
    removal = Removal()
    yield removal
    removal.finish()


@pytest.fixture(scope="session")
def image() -> str:
    """The full image under test."""
    return f"{os.environ.get('PADDOCK_IMAGE', 'paddock')}:{os.environ.get('PADDOCK_PYTHON', '3.14')}"


@pytest.fixture(scope="session")
def slim(image: str) -> str:
    """The slim image under test."""
    return f"{image}-slim"


@pytest.fixture(scope="session")
def tools(image: str) -> str:
    """The repository of what some tests start beside the image or in its place: see docker-bake.hcl, test-tools."""
    return f"{image.partition(':')[0]}-test"


@pytest.fixture
def start(engine: docker.DockerClient, slim: str, removal: Removal) -> Iterator[Callable[..., Container]]:
    """Start containers that are checked for silence, ended and soon removed when the test ends.

    `start("asgi.py", environment={…})` mounts `tests/image/apps/asgi.py` as `/app/main.py`; other keywords are those
    of the Docker SDK's `run`. `image` is the slim one unless given; `allow` takes what the log may hold. Docker does
    not look after the server's health unless `healthcheck` says so, None that it does as the image tells it.
    """
    with starting(engine, slim, removal) as run:
        yield run


@pytest.fixture(scope="module")
def start_for_all(engine: docker.DockerClient, slim: str, removal: Removal) -> Iterator[Callable[..., Container]]:
    """Start containers like `start`, for all tests of a module."""
    with starting(engine, slim, removal) as run:
        yield run


@contextmanager
def starting(engine: docker.DockerClient, slim: str, removal: Removal) -> Iterator[Callable[..., Container]]:
    """What `start` does, for as long as the context lasts."""
    containers: list[Container] = []

    def run(
        app: str | None = None, command: Any = None, *, image: str = slim, allow: tuple[str, ...] = (), **options: Any
    ):
        volumes = dict(options.pop("volumes", {}))
        if app:
            volumes[str(APPS / app)] = {"bind": "/app/main.py" if app.endswith(".py") else "/app", "mode": "ro"}
        if command is None:
            options["environment"] = LEISURE | options.get("environment", {})
        options.setdefault("healthcheck", UNASKED)
        raw = engine.containers.create(image, command, volumes=volumes, **options)
        container = Container(raw).allow(*allow)
        containers.append(container)
        raw.start()
        return container

    try:
        yield run
        for container in containers:
            container.assert_silent()
    finally:
        removal.take([container.raw for container in containers])


@pytest.fixture
def finish(start: Callable[..., Container]) -> Callable[..., Outcome]:
    """Run containers to their end: takes what `start` takes, returns the Outcome. They may say what they like."""

    def run(*args: Any, **options: Any) -> Outcome:
        return start(*args, allow=("",), **options).outcome()

    return run


@pytest.fixture
def mount(tmp_path: Path) -> Callable[..., dict[str, dict[str, str]]]:
    """Write a file that a container sees: `volumes=mount("/app/main.py", "…", 0o755)`; join several with `|`."""
    return mounting(tmp_path)


def mounting(directory: Path) -> Callable[..., dict[str, dict[str, str]]]:
    """What `mount` does, with files in a directory."""

    def write(at: str, text: str, mode: int = 0o644) -> dict[str, dict[str, str]]:
        file = directory / at.strip("/").replace("/", "-")
        file.write_text(text)
        file.chmod(mode)
        return {str(file): {"bind": at, "mode": "ro"}}

    return write


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder that the container may write to as well."""
    path = tmp_path / "app"
    path.mkdir(mode=0o777)
    path.chmod(0o777)
    return Folder(path)


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., dict[str, dict[str, str]]]:
    """Write files that a container sees as one directory: `volumes=project({"app/main.py": "…"})` mounts /app."""

    def write(files: dict[str, str], at: str = "/app") -> dict[str, dict[str, str]]:
        root = Path(mkdtemp(dir=tmp_path))
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        for path in (root, *root.rglob("*")):
            path.chmod(0o755)
        return {str(root): {"bind": at, "mode": "ro"}}

    return write
