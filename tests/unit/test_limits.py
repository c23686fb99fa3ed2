"""The limits, on servers of their own: both parsers of Uvicorn's, and the threads."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paddock.http.limits import Limits, answer
from paddock.settings import table
from paddock.workers.front.http1 import HttpProtocol
from paddock.workers.front.implementations import protocol_class, records

TLS = Path(__file__).parent / "tls"

ASGI = """
import asyncio
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    print("called", scope["path"], flush=True)
    if scope["path"] in ("/parts", "/events"):
        await send({"type": "http.response.start", "status": 200})
        size, number, pause = (65536, 320, 0) if scope["path"] == "/parts" else (1000, 2000, 0.005)
        for _ in range(number):
            await send({"type": "http.response.body", "body": b"p" * size, "more_body": True})
            await asyncio.sleep(pause)
        await send({"type": "http.response.body"})
        print("done", scope["path"], flush=True)
        return
    body, kind = b"", "http.request"
    if scope["path"] == "/whole":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"20971520")]})
        await send({"type": "http.response.body", "body": bytes(20971520)})
        return
    if scope["path"] == "/early":
        body = b"early"
    elif scope["path"] == "/late":
        await asyncio.sleep(2.6)
    if scope["path"] != "/early":
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                print("disconnected", scope["path"], flush=True)
                return
            body += message["body"]
            more = message["more_body"]
    body = b"%d bytes " % len(body) + body[:20]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""

WSGI = """
import time
def app(environ, start_response):
    print("called", environ["PATH_INFO"], flush=True)
    if environ["PATH_INFO"] == "/early":
        body = b"early"
    elif environ["PATH_INFO"] == "/late":
        time.sleep(2.6)
    if environ["PATH_INFO"] != "/early":
        body = environ["wsgi.input"].read()
    body = b"%d bytes " % len(body) + body[:20]
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


class Server:
    """A server with one worker."""

    def __init__(self, directory: Path, source: str, **environment: str) -> None:
        (directory / "main.py").write_text(source)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.asgi = source is ASGI
        self.tls = "CERTFILE" in environment
        self.output = directory / "output"
        # PADDOCK_IMAGE, by which ./dev test names the image, would be taken for a setting.
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PADDOCK_", "PYTEST_"))
        }
        environ |= {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "BIND": f"127.0.0.1:{self.port}",
            "WORKERS": "1",
            "THREADS": "16",
            # Far more than a test waits, unless it is about them.
            "REQUEST_HEAD_TIMEOUT": "3600",
            "REQUEST_BODY_TIMEOUT": "3600",
            "GRACEFUL_TIMEOUT": "60",
            **environment,
        }
        with self.output.open("wb") as output:
            command = [sys.executable, "-m", "paddock", "serve"]
            self.process = subprocess.Popen(command, cwd=directory, env=environ, stdout=output, stderr=output)
        deadline = time.monotonic() + 120
        while "Ready" not in self.log():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def log(self) -> str:
        return self.output.read_text()

    def connect(self) -> socket.socket:
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        if not self.tls:
            return raw
        context = ssl.create_default_context(cafile=str(TLS / "localhost.crt"))
        return context.wrap_socket(raw, server_hostname="localhost")

    def ask(self, data: bytes) -> bytes:
        """Send `data`, and return everything that comes until the server closes."""
        with self.connect() as client:
            client.sendall(data)
            return rest(client)

    def get(self, path: str = "/") -> bytes:
        return self.ask(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=120)


def rest(client: socket.socket) -> bytes:
    """Return everything until the end of the connection; nobody may wait for ever."""
    parts = []
    while data := client.recv(65536):
        parts.append(data)
    return b"".join(parts)


def one(client: socket.socket) -> bytes:
    """Return one answer of a connection that stays open."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert found
    while len(body) < int(found[1]):
        body += client.recv(65536)
    return head + b"\r\n\r\n" + body


def check_refusal(got: bytes, status: int) -> None:
    """The answer is whole, and the only one."""
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), got[:300]
    assert b"connection: close" in head.lower()
    found = re.search(rb"content-length: (\d+)", head.lower())
    assert found
    assert int(found[1]) == len(body)


CERTIFICATE = {"CERTFILE": str(TLS / "localhost.crt"), "KEYFILE": str(TLS / "localhost.key")}

KINDS: dict[str, dict[str, str]] = {
    "httptools": {"UVICORN_HTTP": "auto"},
    "h11": {"UVICORN_HTTP": "h11", "UVICORN_LOOP": "asyncio"},
    # So that an answer can come before the body.
    "gthread": {"REQUEST_BODY_BUFFER": "0"},
    "gthread-tls": CERTIFICATE | {"REQUEST_BODY_BUFFER": "0"},
}


BY_KIND = [pytest.param(kind, marks=pytest.mark.xdist_group(f"limits-{kind}")) for kind in KINDS]
WITHOUT_TLS = BY_KIND[:-1]
ASGI_ONLY = BY_KIND[:2]
TLS_ONLY = BY_KIND[-1:]


@contextmanager
def serving(directory: Path, kind: str, **environment: str) -> Iterator[Server]:
    source = WSGI if kind.startswith("gthread") else ASGI
    running = Server(directory, source, **KINDS[kind], **environment)
    try:
        yield running
    finally:
        running.stop()
    log = running.log()
    assert "Traceback" not in log, log
    assert "[ERROR]" not in log, log


@pytest.fixture(scope="module", params=BY_KIND)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp(request.param), request.param) as running:
        yield running


def head(*fields: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    return b"\r\n".join([line, b"Host: x", b"Connection: close", *fields, b"", b""])


def line_of(length: int) -> bytes:
    return b"GET /" + b"a" * (length - 14) + b" HTTP/1.1"


def field_of(length: int) -> bytes:
    return b"X-Long: " + b"b" * (length - 10)


SIZES = pytest.mark.parametrize(
    ("request_", "status"),
    [
        (head(line=line_of(4094)), 200),
        (head(line=line_of(4095)), 414),
        (head(line=line_of(1_000_000)), 414),
        (head(field_of(8190)), 200),
        (head(field_of(8191)), 431),
        (head(field_of(2_000_000)), 431),
        (head(*[b"X-A: 1"] * 98), 200),
        (head(*[b"X-A: 1"] * 99), 431),
        (head(*[b"X-A: 1"] * 5000), 431),
        (head(*[field_of(8000)] * 90), 200),
        (b"NONSENSE\r\n\r\n", 400),
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else repr(value[:20]) + str(len(value)),
)


@SIZES
def test_sizes(server: Server, request_: bytes, status: int) -> None:
    check_size(server, [request_], status)


@pytest.mark.parametrize("server", WITHOUT_TLS, indirect=True)
@SIZES
def test_sizes_in_pieces(server: Server, request_: bytes, status: int) -> None:
    step = -(-len(request_) // 7)
    check_size(server, [request_[start : start + step] for start in range(0, len(request_), step)], status)


def check_size(server: Server, pieces: list[bytes], status: int) -> None:
    with server.connect() as client:
        for piece in pieces:
            try:
                client.sendall(piece)
            except OSError:
                break
            if len(pieces) > 1:
                time.sleep(0.01)
        got = b""
        try:
            while data := client.recv(65536):
                got += data
        except ConnectionError:
            # It was still sending when the time to linger was over; what was answered before is there.
            pass
    if status == 200:
        assert got.startswith(b"HTTP/1.1 200 "), got[:200]
    else:
        check_refusal(got, status)


@pytest.mark.parametrize(
    "before", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"]
)
@pytest.mark.parametrize("large", [head(line=line_of(4095)), head(field_of(8191)), head(*[b"A: 1"] * 99)])
def test_a_pipelined_head_beyond_the_limits_does_not_spoil_the_answer_before_it(
    server: Server, before: bytes, large: bytes
) -> None:
    got = server.ask(before + large)

    assert got.startswith(b"HTTP/1.1 200 ")
    # Whether it is answered itself depends on whether the first answer was complete when it was read.
    assert got.count(b"HTTP/1.1 ") in {1, 2}
    assert b"called" not in got


def test_a_body_after_its_answer(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        assert b"5 bytes early" in one(client)
        client.sendall(b"def")
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert rest(client).startswith(b"HTTP/1.1 200 ")


def test_endless_trailers(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: ")
        sent = 0
        with suppress(OSError):
            while sent < 40_000_000:
                client.sendall(b"t" * 10_000)
                sent += 10_000
                time.sleep(0.001)
        assert sent < 40_000_000
    assert server.get().startswith(b"HTTP/1.1 200 ")


def test_connect(server: Server) -> None:
    assert re.match(
        rb"HTTP/1.1 (200|400|501) ", server.ask(b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    )


UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def test_slow_clients_take_nothing_from_others(server: Server) -> None:
    with ExitStack() as stack:
        for start in (b"", b"G", b"GET / HTTP/1.1\r\nHost:") * 20:
            client = stack.enter_context(server.connect())
            client.sendall(start)
        for _ in range(5):
            assert server.get().startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("server", WITHOUT_TLS, indirect=True)
@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_half_closed(server: Server, sent: bytes) -> None:
    with server.connect() as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        got = rest(client)
    assert got.startswith(b"HTTP/1.1 200 ") is sent.endswith(b"\r\n\r\n")


def test_a_client_that_never_closes_holds_up_nobody(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(server.connect())
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert rest(client).startswith(b"HTTP/1.1 200 ")
        assert server.get().startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("server", ASGI_ONLY, indirect=True)
def test_a_websocket_behind_a_request(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n" + UPGRADE)
        assert b"0 bytes" in one(client)


# --- Time: what takes some goes on at once, on a server whose limits are short ---

SHORT = 2.0
"""Seconds of REQUEST_HEAD_TIMEOUT and REQUEST_BODY_TIMEOUT; `/late` takes longer than that."""

PAUSE = 0.7
"""What a slow client may let pass: well below."""


def a_head_that_does_not_end(server: Server) -> None:
    with server.connect() as client, lasting(SHORT):
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        check_refusal(rest(client), 408)


def a_trickle(server: Server, begin: bytes) -> None:
    """Begin a request, and send a byte at a time from there on."""
    with server.connect() as client, lasting(SHORT):
        client.settimeout(0.1)
        client.sendall(begin)
        got, data = b"", b"-"
        while data:
            try:
                got += (data := client.recv(65536))
            except TimeoutError:
                client.sendall(b"y")
        check_refusal(got, 408)


def a_head_that_trickles(server: Server) -> None:
    a_trickle(server, b"GET / HTTP/1.1\r\nX: ")


def a_connection_that_says_nothing(server: Server) -> None:
    with lasting(SHORT), socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        assert rest(client) == b""


def a_handshake_of_a_byte(server: Server) -> None:
    with lasting(SHORT), socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(b"\x16")
        assert rest(client) == b""


def half_a_handshake(server: Server) -> None:
    with lasting(SHORT), socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert rest(client) == b""


def a_later_head_has_its_own_time(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n")
        one(client)
        # Longer than either timeout: an idle connection is the matter of KEEP_ALIVE.
        time.sleep(SHORT + 0.6)
        client.sendall(b"GET /2 HTTP/1.1\r\nHo")
        time.sleep(PAUSE)
        client.sendall(b"st: x\r\n\r\n")
        assert b" 200 " in one(client)
        with lasting(SHORT):
            client.sendall(b"GET /3 HTTP/1.1\r\nHo")
            check_refusal(rest(client), 408)


def a_slow_body_may_last(server: Server) -> None:
    with server.connect() as client, lasting(SHORT):
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\nConnection: close\r\n\r\n")
        for _ in range(4):
            time.sleep(PAUSE)
            client.sendall(b"z" * 1000)
        assert rest(client).endswith(b"4000 bytes zzzzzzzzzzzzzzzzzzzz")


def a_body_that_stalls(server: Server) -> None:
    stalls(server, b"/stalled", b"Content-Length: 10\r\n\r\nabc")


def a_chunked_body_that_stalls(server: Server) -> None:
    stalls(server, b"/stalled-chunked", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")


def stalls(server: Server, path: bytes, body: bytes) -> None:
    with server.connect() as client, lasting(SHORT):
        client.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + body)
        got = rest(client)
    check_refusal(got, 408)
    if server.asgi:
        deadline = time.monotonic() + 60
        while f"disconnected {path.decode()}" not in server.log():
            assert time.monotonic() < deadline, "the application is not told"
            time.sleep(0.02)


def a_slow_application_is_not_the_clients_fault(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"0 bytes" in one(client)
        # The body is asked for late: the client waits for "100 Continue" until then.
        client.sendall(b"POST /late HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"abc")
        assert b"3 bytes abc" in one(client)


def a_websocket_is_left_alone(server: Server) -> None:
    with server.connect() as client:
        client.sendall(UPGRADE)
        assert client.recv(65536).startswith(b"HTTP/1.1 101 ")
        time.sleep(SHORT + 0.6)
        client.sendall(b"\x81\x82\x00\x00\x00\x00hi")
        assert client.recv(65536) == b"\x81\x02hi"


def who_leaves_before_pipelined_answers(server: Server) -> None:
    for after in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0"):
        with server.connect() as client:
            client.sendall(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n" + after)
            time.sleep(0.1)
    # What went wrong would be in the log, which the fixture looks at.
    time.sleep(SHORT + 0.8)


def a_body_that_trickles(server: Server) -> None:
    a_trickle(server, b"POST /trickled HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n")


def an_answer_that_nobody_takes(server: Server) -> None:
    for path, fields in ((b"/parts", b""), (b"/whole", b""), (b"/whole", b"Connection: close\r\n"), (b"/events", b"")):
        with small(server) as client, lasting(SHORT):
            client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
            is_cut_off(server, client)


def is_cut_off(server: Server, client: socket.socket) -> None:
    port, deadline = client.getsockname()[1], time.monotonic() + 60
    said = f"Cut off 127.0.0.1:{port}: it took nothing of an answer for {SHORT:g} s, RESPONSE_TIMEOUT"
    while said not in server.log():
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.05)


def an_answer_that_is_taken_slowly(server: Server) -> None:
    with small(server) as client, lasting(2 * SHORT):
        client.sendall(b"GET /parts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        got, slow_until = 0, time.monotonic() + 2 * SHORT
        while data := client.recv(16384):
            got += len(data)
            if time.monotonic() < slow_until:
                time.sleep(0.05)
        assert got > 320 * 65536


def small(server: Server) -> socket.socket:
    """Return a client whose system takes no more for it than it has to."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(60)
    client.connect(("127.0.0.1", server.port))
    return client


@contextmanager
def lasting(seconds: float) -> Iterator[None]:
    """Whatever ends here does not end earlier. Nobody knows how much later on a busy machine."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began > seconds - 0.1


Scenario = Callable[[Server], None]

SCENARIOS: list[Scenario] = [
    a_head_that_does_not_end,
    a_head_that_trickles,
    a_connection_that_says_nothing,
    a_later_head_has_its_own_time,
    a_slow_body_may_last,
    a_body_that_stalls,
    a_chunked_body_that_stalls,
    a_slow_application_is_not_the_clients_fault,
    who_leaves_before_pipelined_answers,
]
OF_ASGI: list[Scenario] = [
    a_websocket_is_left_alone,
    a_body_that_trickles,
    an_answer_that_nobody_takes,
    an_answer_that_is_taken_slowly,
]
OF_TLS: list[Scenario] = [a_handshake_of_a_byte, half_a_handshake]


@pytest.fixture(scope="module", params=BY_KIND)
def timed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Scenario, Future[None]]]:
    """All scenarios of a kind of server, at once, so that they wait together."""
    short = dict.fromkeys(("REQUEST_HEAD_TIMEOUT", "REQUEST_BODY_TIMEOUT", "RESPONSE_TIMEOUT"), f"{SHORT:g}")
    with serving(tmp_path_factory.mktemp(f"{request.param}-timed"), request.param, **short) as running:
        scenarios = SCENARIOS + OF_ASGI * running.asgi + OF_TLS * running.tls
        with ThreadPoolExecutor(len(scenarios)) as pool:
            yield {scenario: pool.submit(scenario, running) for scenario in scenarios}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_time(timed: dict[Scenario, Future[None]], scenario: Scenario) -> None:
    timed[scenario].result()


@pytest.mark.parametrize("timed", ASGI_ONLY, indirect=True)
@pytest.mark.parametrize("scenario", OF_ASGI)
def test_time_of_asgi(timed: dict[Scenario, Future[None]], scenario: Scenario) -> None:
    timed[scenario].result()


@pytest.mark.parametrize("timed", TLS_ONLY, indirect=True)
@pytest.mark.parametrize("scenario", OF_TLS)
def test_time_of_tls(timed: dict[Scenario, Future[None]], scenario: Scenario) -> None:
    timed[scenario].result()


def test_stalled_bodies_free_their_threads(tmp_path: Path) -> None:
    with serving(tmp_path, "gthread", THREADS="4", REQUEST_BODY_TIMEOUT="1") as server, ExitStack() as stack:
        for _ in range(12):
            client = stack.enter_context(server.connect())
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        assert server.get().startswith(b"HTTP/1.1 200 ")


def test_tls_of_uvicorn(tmp_path: Path) -> None:
    short = {"REQUEST_HEAD_TIMEOUT": "1", "REQUEST_BODY_TIMEOUT": "1", "RESPONSE_TIMEOUT": f"{SHORT:g}"}
    server = Server(tmp_path, ASGI, **CERTIFICATE, **short)
    try:
        for start in (b"", b"\x16"):
            with lasting(1), socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
                client.sendall(start)
                assert rest(client) == b""
        check_refusal(server.ask(head()[:-1]), 408)
        check_refusal(server.ask(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"), 408)
        for path in (b"/parts", b"/whole"):
            with server.connect() as client, lasting(SHORT):
                client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                is_cut_off(server, client)
    finally:
        server.stop()
    assert "Traceback" not in server.log()


def test_tls_of_uvicorn_has_the_other_limits(tmp_path: Path) -> None:
    server = Server(tmp_path, ASGI, **CERTIFICATE)
    try:
        assert server.get().startswith(b"HTTP/1.1 200 ")
        check_refusal(server.ask(head(line=line_of(4095))), 414)
    finally:
        server.stop()


@pytest.mark.parametrize("kind", ["httptools", "h11"])
def test_silent_connections_make_room(tmp_path: Path, kind: str) -> None:
    with serving(tmp_path, kind, GUNICORN_WORKER_CONNECTIONS="50") as server, ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(server.connect())
        for _ in range(5):
            assert server.get().startswith(b"HTTP/1.1 200 ")
        assert server.log().count("closing those that send no request") == 1


@pytest.mark.parametrize("kind", ["httptools", "h11"])
def test_who_makes_room(tmp_path: Path, kind: str) -> None:
    """Those that are idle, before those whose request has begun."""
    with serving(tmp_path, kind, GUNICORN_WORKER_CONNECTIONS="8") as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(8)]
        begun, idle = clients[:4], clients[4:]
        for client in begun:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        for client in idle:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            one(client)
        for _ in range(4):
            new = stack.enter_context(server.connect())
            new.sendall(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
            clients.append(new)
        for client in idle:
            with suppress(ConnectionError):
                assert client.recv(1) == b""
        for client in begun:
            client.sendall(b"\r\n")
            assert b" 200 " in one(client)
        for client in clients[8:]:
            assert b" 200 " in one(client)


@pytest.mark.parametrize("kind", ["httptools", "h11"])
def test_where_all_are_served_others_wait(tmp_path: Path, kind: str) -> None:
    with serving(tmp_path, kind, GUNICORN_WORKER_CONNECTIONS="4") as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(6)]
        for client in clients:
            client.sendall(b"GET /late HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for client in clients:
            assert rest(client).startswith(b"HTTP/1.1 200 ")


# --- Without a server ---


def config(**values: Any) -> Any:
    given = {"limit_request_line": 4094, "limit_request_fields": 100, "limit_request_field_size": 8190, **values}
    own = {
        key: SimpleNamespace(get=lambda: 7.0)
        for key in ("request_head_timeout", "request_body_timeout", "response_timeout")
    }
    return SimpleNamespace(settings=own, **given)


def test_the_limits_are_those_of_gunicorns_parser() -> None:
    assert Limits.of(config()) == Limits(4094, 100, 8190, 7.0, 7.0, 7.0)
    assert Limits.of(config(limit_request_line=0)).line == 0
    assert Limits.of(config(limit_request_line=9999)).line == 8190
    none = Limits.of(config(limit_request_line=-1, limit_request_fields=0, limit_request_field_size=0))
    assert (none.line, none.fields, none.field_size) == (8190, 32768, 8190)


def test_the_defaults_are_those_of_the_table() -> None:
    defaults = [
        table.BY_NAME[name].default
        for name in (
            "LIMIT_REQUEST_LINE",
            "LIMIT_REQUEST_FIELDS",
            "LIMIT_REQUEST_FIELD_SIZE",
            "REQUEST_HEAD_TIMEOUT",
            "REQUEST_BODY_TIMEOUT",
            "RESPONSE_TIMEOUT",
        )
    ]
    limits = Limits()
    sizes, times = (limits.line, limits.fields, limits.field_size), (limits.head_timeout, limits.body_timeout)
    shown = (*sizes, *times, limits.response_timeout)
    assert defaults == [f"{value:g}" for value in shown]


def test_a_line_without_limit() -> None:
    assert Limits(line=0).refusal(10**9, []) is None


def test_protocol_classes() -> None:
    limits = Limits(line=1)
    for name in ("auto", "httptools", "h11"):
        found = protocol_class(name, limits, records())
        assert isinstance(found, type)
        assert found.limits is limits  # type: ignore[attr-defined]
    assert issubclass(protocol_class("auto", limits, records()), HttpProtocol)  # type: ignore[arg-type]
    assert protocol_class("zttp", limits, records()) == "zttp"


def test_an_answer_is_whole() -> None:
    assert answer(414, [(b"date", b"today"), (b"connection", b"close")]) == (
        b"HTTP/1.1 414 URI Too Long\r\ndate: today\r\ncontent-type: text/plain; charset=utf-8\r\n"
        b"content-length: 12\r\nconnection: close\r\n\r\nURI Too Long"
    )
