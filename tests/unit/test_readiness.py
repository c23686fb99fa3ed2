from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from paddock.arbiter import responder as responder_module
from paddock.arbiter.responder import StartingResponder
from paddock.http.readiness import ALIVE, in_front, readiness
from paddock.http.record import UNLOGGED

TLS = Path(__file__).parent / "tls"

# --- In front of the application ---


def ask_front(is_ready: bool, **scope: Any) -> list[Any]:
    """What is sent for a scope; the application sends one word."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send("application")

    front = in_front(application, {"/ready": lambda: readiness(not is_ready), "/live": lambda: ALIVE})
    full = {"type": "http", "method": "GET", "path": "/ready", "root_path": "", **scope}
    asyncio.run(front(full, None, send))
    assert (UNLOGGED in full) is (sent != ["application"])
    return sent


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("root_path", ["", "/api"])
def test_ready(method: str, root_path: str) -> None:
    start, body = ask_front(True, method=method, root_path=root_path, path=f"{root_path}/ready")

    assert start["status"] == 200
    headers = dict(start["headers"])
    assert headers[b"cache-control"] == b"no-store"
    assert body == {"type": "http.response.body", "body": b"ready"}


def test_alive() -> None:
    start, body = ask_front(False, path="/live")

    assert start["status"] == 200
    assert body["body"] == b"alive"


def test_draining() -> None:
    start, body = ask_front(False)

    assert start["status"] == 503
    assert body["body"] == b"draining"


@pytest.mark.parametrize(
    "scope",
    [
        {"path": "/ready/"},
        {"path": "/readyz"},
        {"path": "/other"},
        {"method": "POST"},
        {"type": "websocket"},
        {"type": "lifespan"},
    ],
)
def test_else_is_the_applications(scope: dict[str, str]) -> None:
    assert ask_front(True, **scope) == ["application"]


# --- While the server starts ---


def listen(family: int, address: Any) -> socket.socket:
    sock = socket.socket(family)
    sock.bind(address)
    sock.setblocking(False)
    sock.listen(64)
    return sock


def connect(listener: socket.socket) -> socket.socket:
    client = socket.socket(listener.family)
    client.settimeout(10)
    client.connect(listener.getsockname())
    return client


def ask(client: socket.socket, request: bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") -> bytes:
    with client:
        client.sendall(request)
        answer = b""
        while data := client.recv(65536):
            answer += data
        return answer


@pytest.fixture
def respond() -> Iterator[Callable[..., StartingResponder]]:
    responders = []

    def start(*listeners: socket.socket, context: ssl.SSLContext | None = None, **options: Any) -> StartingResponder:
        responder = StartingResponder(listeners, context, **options)
        responders.append((responder, responder.start()))
        return responder

    yield start
    for responder, pid in responders:
        responder.stop()
        with suppress(ChildProcessError):
            assert os.waitpid(pid, 0)[1] == 0


@pytest.fixture
def tcp() -> Iterator[socket.socket]:
    with listen(socket.AF_INET, ("127.0.0.1", 0)) as sock:
        yield sock


def test_answers_on_every_listener(respond: Any, tcp: socket.socket, tmp_path: Path) -> None:
    with listen(socket.AF_UNIX, str(tmp_path / "s")) as unix:
        respond(tcp, unix)
        for listener in (tcp, unix):
            head, _, body = ask(connect(listener)).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nRetry-After: 1\r\n" in head
            assert body == b"starting"


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /live HTTP/1.1", 200),
        (b"HEAD /live HTTP/1.1", 200),
        (b"GET /live?full=1 HTTP/1.1", 200),
        (b"POST /live HTTP/1.1", 503),
        (b"GET /live/ HTTP/1.1", 503),
        (b"GET / HTTP/1.1", 503),
        (b"\xff", 503),
    ],
)
def test_it_lives(respond: Any, tcp: socket.socket, request_line: bytes, status: int) -> None:
    respond(tcp, live_path="/live")

    head, _, body = ask(connect(tcp), request_line + b"\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert (b"Retry-After" in head) is (status == 503)
    assert body == (b"" if b"HEAD" in request_line else b"alive" if status == 200 else b"starting")


def test_head_has_no_body(respond: Any, tcp: socket.socket) -> None:
    respond(tcp)

    assert ask(connect(tcp), b"HEAD / HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\n")


def test_a_body_on_its_way_does_not_cost_the_answer(respond: Any, tcp: socket.socket) -> None:
    respond(tcp)
    request = b"POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000

    assert ask(connect(tcp), request).endswith(b"starting")


def test_tls(respond: Any, tcp: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "localhost.crt", TLS / "localhost.key")
    respond(tcp, context=context)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE

    assert ask(client.wrap_socket(connect(tcp))).endswith(b"starting")


def test_slow_clients_hold_up_nobody(respond: Any, tcp: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than this test waits for an answer.
    monkeypatch.setattr(responder_module, "PATIENCE", 60.0)
    respond(tcp)
    slow = [connect(tcp) for _ in range(50)]
    for client in slow[:25]:
        client.sendall(b"GET / HT")
    assert ask(connect(tcp)).endswith(b"starting")
    for client in slow:
        client.close()


def test_slow_clients_have_their_time(respond: Any, tcp: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder_module, "PATIENCE", 0.5)
    respond(tcp)
    slow = [connect(tcp) for _ in range(50)]
    for client in slow[:25]:
        client.sendall(b"GET / HT")
    for client in slow:
        with client:
            assert client.recv(100) == b""


def test_more_than_at_once(respond: Any, tcp: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder_module, "MOST_ANSWERS", 3)
    respond(tcp)
    slow = [connect(tcp) for _ in range(10)]

    assert ask(connect(tcp)).endswith(b"starting")
    for client in slow:
        client.close()


def test_stop_finishes_what_it_has(respond: Any, tcp: socket.socket) -> None:
    responder = respond(tcp)
    client = connect(tcp)
    client.sendall(b"GET / HTTP/1.1\r\n")
    time.sleep(0.3)
    pid = responder.pid
    responder.stop()
    responder.stop()
    time.sleep(0.3)
    waiting = connect(tcp)

    assert ask(client, b"\r\n").endswith(b"starting")
    assert os.waitpid(pid, 0) == (pid, 0)
    # What it had not taken is for the workers.
    accepted, _ = tcp.accept()
    accepted.close()
    waiting.close()


def test_a_worker_takes_over(respond: Any, tcp: socket.socket) -> None:
    for _ in range(10):
        responder = respond(tcp)
        pid = responder.pid
        assert ask(connect(tcp)).endswith(b"starting")
        responder.take_over()
        # From here on nobody but this process accepts.
        with connect(tcp) as waiting:
            tcp.accept()[0].close()
            assert waiting.recv(1) == b""
        assert os.waitpid(pid, 0) == (pid, 0)
        responder.take_over()


def test_a_worker_waits_for_nobody(tcp: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder_module, "HANDOVER", 0.1)
    begun = time.monotonic()
    StartingResponder([tcp], None).take_over()

    assert 0.1 <= time.monotonic() - begun < 10


def test_stop_right_after_start(tcp: socket.socket) -> None:
    for _ in range(10):
        responder = StartingResponder([tcp], None)
        pid = responder.start()
        responder.stop()

        assert os.waitpid(pid, 0) == (pid, 0)


def test_handlers_of_the_arbiter_do_not_run_in_it(respond: Any, tcp: socket.socket, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    before = signal.signal(signal.SIGHUP, lambda *_: trace.touch())
    try:
        pid = respond(tcp).pid
        ask(connect(tcp))
        os.kill(pid, signal.SIGHUP)

        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGHUP
        assert not trace.exists()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_it_leaves_the_mask_and_the_listeners_as_they_were(respond: Any, tcp: socket.socket) -> None:
    mask, blocking = signal.pthread_sigmask(signal.SIG_BLOCK, ()), os.get_blocking(tcp.fileno())
    respond(tcp)
    ask(connect(tcp))

    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    assert os.get_blocking(tcp.fileno()) == blocking


def test_it_dies_with_the_arbiter(tcp: socket.socket) -> None:
    read, write = os.pipe()
    arbiter = os.fork()
    if not arbiter:
        os.write(write, str(StartingResponder([tcp], None).start()).encode())
        os._exit(0)
    os.waitpid(arbiter, 0)
    pid = int(os.read(read, 100))
    os.close(read)
    os.close(write)
    deadline = time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
