"""Bytes that are no HTTP, or nearly: whatever comes, the same workers go on serving, and nothing breaks in the log."""

import random
import socket
from contextlib import closing
from http.client import HTTPResponse

import pytest

from conftest import PATIENCE, wait_until
from load import Load

CASES = 1500
"""What each kind of application is fed. Each case has a seed of its own, so that one can be run again alone."""

SEED = 20240229

REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: test\r\n\r\n",
    b"GET /echo?number=1&size=10 HTTP/1.1\r\nHost: test\r\nConnection: keep-alive\r\n\r\n",
    b"POST /post HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /post HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST /post HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    b"HEAD / HTTP/1.0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n",
    b"CONNECT test:443 HTTP/1.1\r\nHost: test\r\n\r\n",
    b"GET /blink HTTP/1.1\r\nHost: test\r\n\r\n",
    b"GET http://test/echo HTTP/1.1\r\nHost: test\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\x81\x85\0\0\0\0hello",
    b"GET / HTTP/1.1\r\nHost: test\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
    b"POST /post HTTP/1.1\r\nHost: test\r\nUpgrade: foo\r\nConnection: Upgrade\r\nContent-Length: 37\r\n\r\n"
    b"GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n",
)

PIECES = (
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b":",
    b"\xff",
    b"\xc3\xa9",
    b"%",
    b"%00",
    b"%zz",
    b"?",
    b"#",
    b"[",
    b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: 99999999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Host: other\r\n",
    b"Host:\r\n",
    b"Host: [\r\n",
    b"Connection: close\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    b"X-Forwarded-For: 1.2.3.4, \xff, [::1\r\nX-Forwarded-Proto: \xff\r\n",
    b"X: " + b"a" * 20_000 + b"\r\n",
    b"X: y\r\n" * 300,
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"-1\r\n",
    b"5;a=b\r\nhello\r\n",
    b"/" + b"a" * 10_000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)


def mutated(source: random.Random) -> bytes:
    """Return a request, or two, or at times a deep pipeline, with up to six things wrong."""
    count = 3000 if source.random() < 0.01 else source.choice((1, 1, 1, 2))
    data = bytearray(b"".join(source.choices(REQUESTS, k=count)))
    for _ in range(source.randint(0, 6)):
        at = source.randrange(len(data) + 1)
        match source.randrange(6):
            case 0:
                data[at:at] = source.choice(PIECES)
            case 1:
                # Where a header begins.
                lines = data.split(b"\r\n")
                lines.insert(source.randint(0, len(lines)), source.choice(PIECES).removesuffix(b"\r\n"))
                data = bytearray(b"\r\n").join(lines)
            case 2:
                del data[at : at + source.randint(1, 30)]
            case 3 if data:
                data[at % len(data)] = source.randrange(256)
            case 4:
                data[at:at] = source.randbytes(source.randint(1, 40))
            case 5:
                del data[at:]
    return bytes(data)


def feed(address: str, data: bytes, source: random.Random) -> None:
    """Send bytes in one piece or several, then leave in one of the ways in which clients leave."""
    with socket.create_connection((address, 8000), 10) as client:
        client.settimeout(0.05)
        try:
            cut = source.randrange(len(data) + 1)
            for part in (data[:cut], data[cut:]) if source.random() < 0.3 else (data,):
                client.sendall(part)
            match source.randrange(4):
                case 0:
                    # A reset, at once.
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                case 1:
                    client.shutdown(socket.SHUT_WR)
                    client.recv(65536)
                case 2:
                    client.recv(65536)
        except OSError:
            # Refused in one of many ways: what counts is what the server is like afterwards.
            pass


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("app", "environment"),
    [
        ("echo_asgi.py", {"UVICORN_HTTP": "httptools"}),
        ("echo_asgi.py", {"UVICORN_HTTP": "h11"}),
        ("echo_wsgi.py", {}),
    ],
    ids=["httptools", "h11", "wsgi"],
)
def test_serves_on(start, app, environment):
    environment = environment | {"WORKERS": "2", "TIMEOUT": "5", "GRACEFUL_TIMEOUT": "60", "ACCESS_LOG": "none"}
    # That requests are invalid may be said; an error or a traceback is one of the server's own.
    container = start(app, environment=environment, allow=(r"\[WARNING\]",)).wait_ready()
    wait_until(lambda: len(container.children()) == 2, "two workers")
    old = container.children()

    for case in range(SEED, SEED + CASES):
        source = random.Random(case)
        data = mutated(source)
        try:
            feed(container.address, data, source)
        except OSError as error:
            pytest.fail(f"nobody accepts behind case {case}: {error}, {data!r}")

    with Load(container.address, least=500, keep_alive=2, single=2) as load:
        pass
    assert load.report.lost == 0, f"\n{load.report}"
    assert container.children() == old, f"cases {SEED} to {SEED + CASES - 1}"
    assert container.stop(60) == 0


@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_an_answer_outlives_its_worker(start, http):
    """One that is finished has left before the application goes on, which then blocks, or ends the process."""
    environment = {"UVICORN_HTTP": http, "WORKERS": "1", "TIMEOUT": "60"}
    container = start("echo_asgi.py", environment=environment, allow=("",)).wait_ready()

    for case in range(SEED, SEED + 8):
        source = random.Random(case)
        end = source.choice(("block", "os._exit", "kill"))
        size = source.choice((0, 1, 100, 50_000))
        method = source.choice(("GET", "POST"))
        wait_until(lambda: container.get("/").status_code == 200, "a worker to serve")
        with socket.create_connection((container.address, 8000), PATIENCE) as client:
            client.settimeout(PATIENCE)
            client.sendall(
                f"{method} /after/{end}?number={case - SEED}&size={size} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
            )
            with closing(HTTPResponse(client, method=method)) as answer:
                answer.begin()
                assert (answer.status, len(answer.read())) == (200, size), f"case {case}: {method} {end} {size}"
        container.run("touch", f"/tmp/go-on-{case - SEED}")
