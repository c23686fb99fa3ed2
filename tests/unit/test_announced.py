"""Connections that begin with a header of the PROXY protocol: who the client is, what is left for TLS or HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config
from uvicorn.server import ServerState

from front import connected, front, turn_until
from paddock.http.limits import Limits
from paddock.http.proxy_protocol import BEGIN_V2, LONGEST, Client
from paddock.http.record import Observers
from paddock.workers.front.announced import Announcements, announced

LINE = b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 443\r\n"
LARGE = BEGIN_V2 + b"\x21\x11" + (LONGEST - 16).to_bytes(2, "big") + bytes([203, 0, 113, 9] + [0] * (LONGEST - 20))
FOR_ITSELF = BEGIN_V2 + b"\x20\0\0\0"
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


class Seen:
    """An observer, who keeps the statuses of what was refused, and for whom."""

    def __init__(self) -> None:
        self.refused: list[tuple[str, int]] = []

    def ended(self, record: Any) -> None:
        self.refused.append((record.client, record.status))


class Case:
    """Both ends of a connection, and what reads the header from one of them."""

    def __init__(self, patience: float = 60.0, versions: str = "auto", allowed: str = "127.0.0.1") -> None:
        cfg = Config()
        cfg.set("proxy_protocol", versions)
        cfg.set("proxy_allow_ips", allowed)
        self.seen = Seen()
        state = ServerState()
        self.reading = Announcements(cfg, Limits(head_timeout=patience), Observers([self.seen]), state)
        self.client: socket.socket
        self.server: socket.socket

    async def read(self) -> Client | None:
        """Who the client is."""
        async with asyncio.timeout(60):
            return await self.reading.read(self.server)

    async def left(self, size: int) -> bytes:
        """What TLS or HTTP would read."""
        async with asyncio.timeout(60):
            data = b""
            while len(data) < size:
                data += await asyncio.get_running_loop().sock_recv(self.server, size - len(data))
        return data

    async def received(self) -> bytes:
        """What the client receives until the end; a reset ends it too."""
        loop, data = asyncio.get_running_loop(), b""
        with suppress(ConnectionResetError):
            async with asyncio.timeout(60):
                while part := await loop.sock_recv(self.client, 65536):
                    data += part
        return data


@asynccontextmanager
async def case(family: int = socket.AF_INET, path: str = "", **options: Any) -> AsyncIterator[Case]:
    """Give a connection."""
    made = Case(**options)
    with socket.socket(family) as listener, socket.socket(family) as client:
        listener.bind(path or ("127.0.0.1", 0))
        listener.listen()
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, listener.getsockname())
        server, _ = listener.accept()
        server.setblocking(False)
        with server:
            made.client, made.server = client, server
            yield made


@pytest.mark.parametrize(
    ("header", "client"),
    [(LINE, ("203.0.113.9", 40000)), (LARGE, ("203.0.113.9", 0)), (FOR_ITSELF, None), (b"PROXY UNKNOWN\r\n", None)],
)
@pytest.mark.parametrize("versions", ["auto", "its own"])
def test_exactly_the_header_is_taken_off(header: bytes, client: Any, versions: str) -> None:
    async def check() -> None:
        async with case(versions=versions if versions == "auto" else "v1" if header[:1] == b"P" else "v2") as each:
            await asyncio.get_running_loop().sock_sendall(each.client, header + REQUEST)
            got = await each.read()
            assert got == client
            assert got is None or got.by == "127.0.0.1"
            assert await each.left(len(REQUEST)) == REQUEST

    asyncio.run(check())


@pytest.mark.parametrize("beginning", [REQUEST, b"POST / HTTP/1.1\r\n", b"\r\n\r\nGET / HTTP/1.1\r\n", b"\x16\x03\x01"])
def test_without_a_header_nothing_is_taken_off(beginning: bytes) -> None:
    async def check() -> None:
        async with case(allowed="192.0.2.1") as each:
            await asyncio.get_running_loop().sock_sendall(each.client, beginning)
            assert await each.read() is None
            assert await each.left(len(beginning)) == beginning

    asyncio.run(check())


def test_a_header_of_the_other_version_is_left_to_http() -> None:
    async def check() -> None:
        for versions, header in (("v1", FOR_ITSELF), ("v2", LINE)):
            async with case(versions=versions) as each:
                await asyncio.get_running_loop().sock_sendall(each.client, header)
                assert await each.read() is None
                assert await each.left(len(header)) == header

    asyncio.run(check())


@pytest.mark.parametrize("sent", [LINE, FOR_ITSELF, b"\r\n\r\nGET / HTTP/1.1\r\n"])
def test_byte_by_byte(sent: bytes) -> None:
    async def check() -> None:
        async with case() as each:
            each.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reading = asyncio.create_task(each.read())
            for number in range(len(sent)):
                await asyncio.get_running_loop().sock_sendall(each.client, sent[number : number + 1])
                await asyncio.sleep(0)
            assert await reading == (("203.0.113.9", 40000) if sent == LINE else None)

    asyncio.run(check())


@pytest.mark.parametrize("sent", [b"", b"P", LINE[:-1], FOR_ITSELF[:-1], LARGE[:-1]])
@pytest.mark.parametrize("patience", [0.2, 0.0])
def test_what_never_is_complete_ends_with_its_time_or_its_client(
    sent: bytes, patience: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a limit it ends when the client goes, though nothing is read that could tell so."""
    caplog.set_level("INFO")

    async def check() -> None:
        async with case(patience=patience) as each:
            await asyncio.get_running_loop().sock_sendall(each.client, sent)
            reading = asyncio.create_task(each.read())
            if not patience:
                await asyncio.sleep(0.1)
                assert not reading.done()
                each.client.shutdown(socket.SHUT_WR)
            with pytest.raises(TimeoutError if patience else ConnectionError):
                await reading
            assert each.server.fileno() < 0
            assert each.seen.refused == []

    asyncio.run(check())
    said = ["PROXY header within 0.2 s, REQUEST_HEAD_TIMEOUT"] if patience and sent else []
    assert [message[-len(said[0]) :] for message in messages(caplog)] == said


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"PROXY TCP9 1 2 3 4\r\n", "a PROXY line without"),
        (b"PROXY " + b"x" * 200, "a PROXY line of more than 107 bytes"),
        (BEGIN_V2 + b"\x21\x11\xff\xff", "a PROXY header of 65551 bytes"),
        (BEGIN_V2 + REQUEST, "a PROXY header with version"),
    ],
)
def test_what_is_malformed_is_closed_and_said(sent: bytes, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    async def check() -> None:
        async with case() as each:
            await asyncio.get_running_loop().sock_sendall(each.client, sent)
            with pytest.raises(ConnectionError):
                await each.read()
            assert each.server.fileno() < 0

    asyncio.run(check())
    [message] = messages(caplog)
    assert message.startswith("Refused 127.0.0.1:")
    assert f": {reason}" in message


@pytest.mark.parametrize("header", [LINE, FOR_ITSELF, b"PROXY ", b"PROXY nonsense\r\n"])
def test_a_peer_that_is_not_allowed_is_answered(header: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Before anything is made of what it sends: the rest of the header is not waited for."""
    caplog.set_level("INFO")

    async def check() -> None:
        async with case(allowed="192.0.2.0/24") as each:
            await asyncio.get_running_loop().sock_sendall(each.client, header + REQUEST)
            reading = asyncio.create_task(each.read())
            assert (await each.received()).startswith(b"HTTP/1.1 403 Forbidden\r\n")
            each.client.close()
            with pytest.raises(ConnectionError):
                await reading
            assert each.server.fileno() < 0
            assert each.seen.refused == [("127.0.0.1", 403)]

    asyncio.run(check())
    [message] = messages(caplog)
    assert message.endswith(" with 403: a PROXY header, and PROXY_ALLOW_IPS does not name it")


def test_it_is_closed_where_an_answer_would_be_no_tls(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    async def check() -> None:
        async with case(allowed="192.0.2.0/24") as each:
            each.reading.tls = True
            await asyncio.get_running_loop().sock_sendall(each.client, LINE)
            with pytest.raises(ConnectionError):
                await each.read()
            assert await each.received() == b""
            assert each.seen.refused == []

    asyncio.run(check())
    assert ["403" in message for message in messages(caplog)] == [False]


def test_who_may_use_a_unix_socket_is_allowed(tmp_path: Path) -> None:
    async def check() -> None:
        async with case(socket.AF_UNIX, str(tmp_path / "socket"), allowed="192.0.2.1") as each:
            await asyncio.get_running_loop().sock_sendall(each.client, LINE + REQUEST)
            client = await each.read()
            assert client == ("203.0.113.9", 40000)
            assert client.by == ""
            assert await each.left(len(REQUEST)) == REQUEST

    asyncio.run(check())


def test_a_connection_that_is_given_up_is_closed() -> None:
    async def check() -> None:
        async with case() as each:
            reading = asyncio.create_task(each.read())
            await asyncio.sleep(0.01)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert each.server.fileno() < 0

    asyncio.run(check())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("ws", ["websockets", "websockets-sansio"])
@pytest.mark.parametrize("client", [Client(("203.0.113.9", 40000)), None])
def test_applications_see_the_client(http: str, ws: str, client: Client | None) -> None:
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

    upgrade = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

    async def check() -> None:
        with front(http) as protocol:
            made = partial(announced(protocol), announced=client)
            _, peer = connected(made, application, ws=ws)
            for fields in (b"Host: x\r\n", upgrade):
                before = len(seen)
                peer.send(b"GET / HTTP/1.1\r\n" + fields + b"\r\n")
                await turn_until(lambda: len(seen) > before)  # noqa: B023

    asyncio.run(check())
    assert seen == [client or ("127.0.0.1", 4000)] * 2


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of connections."""
    return [record.getMessage() for record in caplog.records if record.name == "uvicorn.error"]
