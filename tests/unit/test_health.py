from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace, TracebackType

import pytest

from paddock.health import check as health
from paddock.health import state
from paddock.health.state import HEALTH_TOKEN, Address, State

TLS = Path(__file__).parent / "tls"


class Server:
    """A listener that records what each client sends and answers with fixed bytes."""

    def __init__(self, answer: bytes, listener: socket.socket, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self._answer = answer
        self._context = context
        self._listener = listener
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    @property
    def address(self) -> Address:
        return state.listeners_of([self._listener.getsockname()])[0]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        try:
            if self._context is None:
                self._answer_one(connection)
            else:
                with self._context.wrap_socket(connection, server_side=True) as secured:
                    self._answer_one(secured)
        except OSError:
            # The client gave up, as some of the tests want it to.
            return

    def _answer_one(self, connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            data = connection.recv(4096)
            if not data:
                return
            received += data
        self.requests.append(received)
        connection.sendall(self._answer)


def tcp(host: str = "127.0.0.1") -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.bind((host, 0))
    return listener


def answer(status: int) -> bytes:
    return f"HTTP/1.1 {status} Words\r\nContent-Length: 0\r\n\r\n".encode()


def tls(**settings: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "localhost.crt", TLS / "localhost.key")
    for name, value in settings.items():
        setattr(context, name, value)
    return context


Check = Callable[[], tuple[int, str]]


@pytest.fixture
def check(
    own_processes: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Check:
    """Run the check with the test's own directory, and no state and no process of the machine's."""
    monkeypatch.setattr(health, "PACKAGE", str(tmp_path / "paddock"))
    find = State.read

    def only_ours(directory: str) -> State | None:
        return find(directory) if directory == str(tmp_path) else None

    monkeypatch.setattr(State, "read", only_ours)

    def run() -> tuple[int, str]:
        status = health.main({"WORKER_TMP_DIR": str(tmp_path), "HTTP_PROXY": "http://192.0.2.1:1", "http_proxy": "x"})
        output, errors = capsys.readouterr()
        assert errors == ""
        assert output.count("\n") == 1
        return status, output.strip()

    return run


def serve(tmp_path: Path, *listeners: Address, **fields: object) -> None:
    State(os.getpid(), state.READY, listeners, **fields).write(str(tmp_path))  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [200, 204, 301, 400, 404, 405, 499])
def test_without_a_path_anything_below_500_is_healthy(check: Check, tmp_path: Path, status: int) -> None:
    with Server(answer(status), tcp()) as server:
        serve(tmp_path, server.address)
        port = server.address[1]
        assert check() == (0, f"healthy: 127.0.0.1:{port} answered GET / with {status}")


@pytest.mark.parametrize("status", [500, 503, 599])
def test_without_a_path_a_server_error_is_unhealthy(check: Check, tmp_path: Path, status: int) -> None:
    with Server(answer(status), tcp()) as server:
        serve(tmp_path, server.address)
        code, line = check()
    assert code == 1
    assert line.endswith(f"answered GET / with {status}, where anything below 500 is healthy")


@pytest.mark.parametrize(("status", "code"), [(200, 0), (204, 0), (302, 0), (401, 1), (404, 1), (500, 1), (103, 1)])
def test_with_a_path_it_must_succeed(check: Check, tmp_path: Path, status: int, code: int) -> None:
    with Server(answer(status), tcp()) as server:
        serve(tmp_path, server.address, health_path="/ready?full=1")
        assert check()[0] == code
        assert server.requests[0].startswith(b"GET /ready?full=1 HTTP/1.1\r\n")


def test_the_request(check: Check, tmp_path: Path) -> None:
    with Server(answer(200), tcp()) as server:
        serve(tmp_path, server.address)
        check()
    assert server.requests == [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: paddock-health\r\nAccept: */*\r\n"
        b"X-Paddock-Health: %b\r\nConnection: close\r\n\r\n" % HEALTH_TOKEN.encode()
    ]


def test_every_address(check: Check, tmp_path: Path) -> None:
    with Server(answer(200), tcp("0.0.0.0")) as server:
        serve(tmp_path, server.address)
        assert check()[0] == 0


def test_ipv6(check: Check, tmp_path: Path) -> None:
    try:
        listener = tcp("::")
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    with Server(answer(200), listener) as server:
        serve(tmp_path, server.address)
        assert check()[0] == 0


@pytest.mark.parametrize(
    ("listener", "addresses"),
    [
        (("0.0.0.0", 80), [("127.0.0.1", 80)]),
        (("::", 80), [("::1", 80), ("127.0.0.1", 80)]),
        (("10.1.2.3", 80), [("10.1.2.3", 80)]),
        ("/run/s", ["/run/s"]),
    ],
)
def test_reachable(listener: Address, addresses: list[Address]) -> None:
    assert health.reachable(listener) == addresses


@pytest.mark.parametrize(("seconds", "code"), [(1.0, 1), (60.0, 0)])
def test_a_check_that_stood_still_asks_once_more(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, code: int
) -> None:
    serve(tmp_path, ("127.0.0.1", 80))
    clock = SimpleNamespace(monotonic=lambda: asked * seconds)
    asked = 0

    def ask(server: State) -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise health.UnhealthyError("no answer")
        return "answered"

    monkeypatch.setattr(health, "time", clock)
    monkeypatch.setattr(health, "_ask", ask)

    assert check()[0] == code


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_unix_sockets(check: Check, tmp_path: Path, kind: str) -> None:
    name = str(tmp_path / "app.sock") if kind == "path" else f"\0paddock-test-{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)
    with Server(answer(200), listener) as server:
        serve(tmp_path, server.address)
        shown = name.replace("\0", "@")
        assert check() == (0, f"healthy: {shown} answered GET / with 200")


def test_the_first_listener_that_can_be_reached_is_asked(check: Check, tmp_path: Path) -> None:
    with Server(answer(200), tcp()) as first, Server(answer(500), tcp()) as second:
        serve(tmp_path, str(tmp_path / "not-here.sock"), first.address, second.address)
        assert check()[0] == 0
        assert (len(first.requests), len(second.requests)) == (1, 0)


def test_nobody_listens(check: Check, tmp_path: Path) -> None:
    with tcp() as closed:
        port = closed.getsockname()[1]
        serve(tmp_path, ("127.0.0.1", port), str(tmp_path / "no.sock"))
        assert check() == (
            1,
            f"unhealthy: 127.0.0.1:{port}: connection refused; {tmp_path}/no.sock: no such file or directory",
        )


def test_no_listener_at_all(check: Check, tmp_path: Path) -> None:
    serve(tmp_path)
    assert check() == (1, "unhealthy: the server has no listener that can be asked")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1\r\n\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 twohundred OK\r\n\r\n", "did not answer in HTTP"),
        (b"x" * 10_000, "did not answer in HTTP"),
        (b"\r\n", "did not answer in HTTP"),
    ],
)
def test_what_is_no_http_is_unhealthy(check: Check, tmp_path: Path, raw: bytes, reason: str) -> None:
    with Server(raw, tcp()) as server:
        serve(tmp_path, server.address)
        code, line = check()
    assert code == 1
    assert line.endswith(reason)


def test_http_1_0_without_a_reason_phrase(check: Check, tmp_path: Path) -> None:
    with Server(b"HTTP/1.0 200\r\n\r\n", tcp()) as server:
        serve(tmp_path, server.address)
        assert check()[0] == 0


def test_a_server_that_never_answers(check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIME_LIMIT", 0.05)
    with tcp() as silent:
        silent.listen()
        serve(tmp_path, silent.getsockname())
        assert check() == (1, f"unhealthy: 127.0.0.1:{silent.getsockname()[1]}: no answer within 0.05 s")


@pytest.mark.parametrize("client_certificate", [False, True])
def test_a_tls_server_that_never_answers(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client_certificate: bool
) -> None:
    monkeypatch.setattr(health, "TIME_LIMIT", 0.05)
    with tcp() as silent:
        silent.listen()
        serve(tmp_path, silent.getsockname(), tls=True, client_certificate=client_certificate)
        code, line = check()
    assert code == 1
    assert line.endswith("no answer within 0.05 s")


def test_the_time_limit_holds_for_a_trickle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte comes in time, the end of the line never does."""

    class Trickle(socket.socket):
        def recv(self, bufsize: int, flags: int = 0) -> bytes:
            return b"H"

    times = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: float(next(times)))
    with Trickle() as connection, pytest.raises(TimeoutError):
        health._first_line(connection, deadline=8.0)
    assert next(times) == 9


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_with_any_certificate(check: Check, tmp_path: Path, version: ssl.TLSVersion) -> None:
    with Server(answer(200), tcp(), tls(minimum_version=version, maximum_version=version)) as server:
        serve(tmp_path, server.address, tls=True, health_path="/health")
        assert check()[0] == 0
        assert server.requests[0].startswith(b"GET /health ")


def test_tls_with_a_server_error(check: Check, tmp_path: Path) -> None:
    with Server(answer(503), tcp(), tls()) as server:
        serve(tmp_path, server.address, tls=True)
        assert check()[0] == 1


def test_plain_text_on_a_tls_port_is_unhealthy(check: Check, tmp_path: Path) -> None:
    class Plain(Server):
        def _answer_one(self, connection: socket.socket) -> None:
            connection.sendall(self._answer)

    for client_certificate in (False, True):
        with Plain(answer(200), tcp()) as server:
            serve(tmp_path, server.address, tls=True, client_certificate=client_certificate)
            assert check()[0] == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_required_client_certificate(check: Check, tmp_path: Path, version: ssl.TLSVersion) -> None:
    context = tls(minimum_version=version, maximum_version=version, verify_mode=ssl.CERT_REQUIRED)
    with Server(answer(200), tcp(), context) as server:
        serve(tmp_path, server.address, tls=True, client_certificate=True, health_path="/health")
        code, line = check()
    assert code == 0
    assert line.endswith("requires a client certificate, so no request was made")
    assert server.requests == []


@pytest.mark.parametrize(
    ("phase", "reason"),
    [
        (state.STARTING, "unhealthy: the server is starting"),
        (state.DRAINING, "unhealthy: the server is draining: it was told to stop"),
    ],
)
def test_phases_that_are_not_asked(check: Check, tmp_path: Path, phase: str, reason: str) -> None:
    with Server(answer(200), tcp()) as server:
        State(os.getpid(), phase, [server.address]).write(str(tmp_path))
        assert check() == (1, reason)
        assert server.requests == []


def test_something_else_runs(check: Check) -> None:
    assert check() == (0, "healthy: no Paddock server runs here, and nothing else is checked")


def test_the_state_of_a_dead_server_does_not_count(check: Check, tmp_path: Path) -> None:
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()
    State(ended.pid, state.READY, [("127.0.0.1", 1)]).write(str(tmp_path))
    assert check() == (0, "healthy: no Paddock server runs here, and nothing else is checked")


@pytest.fixture
def process() -> Iterator[Callable[..., None]]:
    """Start processes that have the given arguments and wait until they are told to end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> None:
        code = "print(flush=True); input()"
        one = subprocess.Popen([sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(one)
        # Its arguments can be seen only some time after its start.
        assert one.stdout is not None
        one.stdout.readline()

    yield start
    for one in started:
        one.communicate(b"\n")


def test_a_server_without_a_state_is_starting(check: Check, process: Callable[..., None]) -> None:
    process(health.PACKAGE, "serve")
    assert check() == (1, "unhealthy: the server is starting")


@pytest.mark.parametrize("command", ["health", "check", "gunicorn", "uvicorn", "config"])
def test_other_commands_are_no_server(check: Check, process: Callable[..., None], command: str) -> None:
    process(health.PACKAGE, command, "app:app")
    assert check()[0] == 0


def test_the_servers_of_other_containers_do_not_count(
    check: Check, process: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    process(health.PACKAGE, "serve")
    monkeypatch.setattr(health, "os", Namespaces(os.path.basename))
    assert check()[0] == 0


@pytest.mark.parametrize(
    ("cgroups", "code"), [(lambda _proc, _process: b"one", 1), (lambda _proc, process: process, 0)]
)
def test_where_namespaces_are_secret_cgroups_tell(
    check: Check,
    process: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    cgroups: Callable[[str, str], object],
    code: int,
) -> None:
    def refuse(_path: str) -> str:
        raise PermissionError

    process(health.PACKAGE, "serve")
    monkeypatch.setattr(health, "os", Namespaces(refuse))
    monkeypatch.setattr(health, "_cgroups", cgroups)
    assert check()[0] == code


class Namespaces:
    """The module os, but for what a process's mount namespace is."""

    def __init__(self, namespace: Callable[[str], str]) -> None:
        self.readlink = lambda path: namespace(path.removesuffix("/ns/mnt"))

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)


@pytest.mark.parametrize(
    ("arguments", "server"),
    [
        (["python", health.PACKAGE, "serve"], True),
        (["python", health.PACKAGE, "app.main:app"], True),
        (["python", health.PACKAGE, "--workers", "4"], True),
        (["python", health.PACKAGE], False),
        (["python", health.PACKAGE, "health"], False),
        (["/bin/sh", "/opt/paddock/bin/paddock", "serve"], True),
        (["/bin/sh", "/opt/paddock/bin/paddock"], True),
        (["/bin/sh", "/opt/paddock/bin/paddock", "sleep", "9"], False),
        (["/bin/sh", "/opt/paddock/bin/paddock", "health"], False),
        (["python", "/opt/venv/bin/opentelemetry-instrument", "paddock", "serve"], True),
        (["python", "/opt/venv/bin/newrelic-admin", "run-program", "paddock", "app.main:app"], True),
        (["python", "/opt/venv/bin/ddtrace-run", "paddock", "--workers", "4"], True),
        (["python", "/opt/venv/bin/ddtrace-run", "paddock", "check"], False),
        (["celery", "-A", "paddock", "-l", "info"], False),
        (["celery", "-A", "app"], False),
        ([""], False),
        ([], False),
    ],
)
def test_is_server(arguments: list[str], server: bool) -> None:
    assert health._is_server(arguments) is server


def test_a_mistake_of_its_own_is_one_line_too(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_environ: object) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr(health, "find", broken)
    assert check() == (1, "unhealthy: the check itself failed: RuntimeError: first second")


def test_a_closed_output_does_not_change_the_verdict(monkeypatch: pytest.MonkeyPatch, check: Check) -> None:
    class Closed:
        def write(self, _text: str) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    assert health.main({}) == 0


def test_as_the_image_runs_it(tmp_path: Path) -> None:
    library = os.path.dirname(health.PACKAGE)
    code = f"import sys; sys.path.append({library!r}); from paddock.health.check import main; status = main(); "
    with Server(answer(200), tcp()) as server:
        serve(tmp_path, server.address)
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code + "print(*sys.modules); sys.exit(status)"],
            env={"WORKER_TMP_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    line, modules = done.stdout.splitlines()
    assert line.startswith("healthy: ")
    expensive = {
        "ssl",
        "re",
        "json",
        "typing",
        "dataclasses",
        "pathlib",
        "inspect",
        "email",
        "urllib",
        "encodings.idna",
    }
    assert not expensive & set(modules.split())
