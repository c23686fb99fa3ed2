"""Requests that ask for another protocol: whatever becomes of it, no body is lost, and none is taken for a request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from front import Recorder, connected, front, turn_until
from paddock.start.messages import Seldom
from paddock.workers.front import http1

GET = b"GET /next HTTP/1.1\r\nhost: x\r\n\r\n"
SMUGGLED = b"GET /admin HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 127.0.0.1\r\n\r\n"
KEY = b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"

LENGTH = b"content-length: %d\r\n\r\n%b" % (len(SMUGGLED), SMUGGLED)
CHUNKED = b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
TRAILERS = CHUNKED[:-2] + b"upgrade: foo\r\nconnection: upgrade\r\n\r\n"

BODIES = {"length": LENGTH, "chunked": CHUNKED, "trailers": TRAILERS}
UPGRADES = {
    "foo": b"connection: Upgrade\r\nupgrade: foo\r\n",
    "h2c": b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
    "upper case": b"CONNECTION: UPGRADE\r\nUPGRADE: FOO\r\n",
    "lists": b"connection: keep-alive , upgrade\r\nupgrade: foo/1, h2c\r\n",
    "two fields": b"connection: keep-alive\r\nconnection: upgrade\r\nupgrade: websocket\r\nupgrade: foo\r\n",
    "of many": b"connection: upgrade\r\nupgrade: websocket, foo\r\n",
    "last of two": b"upgrade: foo\r\nconnection: upgrade\r\nconnection: keep-alive\r\n",
    "empty": b"connection: upgrade\r\nupgrade:\r\n",
}
WEBSOCKET = b"connection: Upgrade\r\nupgrade: WebSocket\r\n" + KEY

Seen = list[tuple[str, bytes]]


@pytest.fixture(params=["auto", "h11"])
def http(request: pytest.FixtureRequest) -> Iterator[str]:
    """The parser."""
    return request.param  # type: ignore[no-any-return]


def asked(http: str, pieces: list[bytes], answers: int, **options: Any) -> tuple[Seen, Recorder]:
    """Return what an application sees of what a client sends piece by piece, until so many answers have come."""
    seen: Seen = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            seen.append(("WEBSOCKET " + scope["path"], b""))
            await send({"type": "websocket.accept"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        seen.append((f"{scope['method']} {scope['path']}", body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def main() -> Recorder:
        _, client = connected(protocol, application, **options)
        for piece in pieces:
            client.send(piece)
            await asyncio.sleep(0)
        await turn_until(lambda: client.text.count(b"HTTP/1.1 ") >= answers)
        # Whatever else there were to come.
        for _ in range(20):
            await asyncio.sleep(0)
        # What the protocol is told last closes it in any case.
        closed = client.closed
        client.protocol.connection_lost(None)
        client.closed = closed
        return client

    with front(http) as protocol:
        return seen, asyncio.run(main())


def ways(*parts: bytes) -> dict[str, list[bytes]]:
    """Return the ways in which a client may send something whose parts are these."""
    whole = b"".join(parts)
    return {"whole": [whole], "parts": list(parts), "bytes": [whole[at : at + 1] for at in range(len(whole))]}


def head_and_body(request: bytes) -> tuple[bytes, bytes]:
    end = request.index(b"\r\n\r\n") + 4
    return request[:end], request[end:]


@pytest.mark.parametrize("way", ["whole", "parts", "bytes"])
@pytest.mark.parametrize("framing", BODIES)
@pytest.mark.parametrize("upgrade", UPGRADES)
def test_the_body_of_a_request_that_is_answered_as_any_other(http: str, upgrade: str, framing: str, way: str) -> None:
    request = b"POST /upgrade HTTP/1.1\r\nhost: x\r\n" + UPGRADES[upgrade] + BODIES[framing]
    pieces = ways(GET, *head_and_body(request), *head_and_body(request), GET)[way]

    seen, client = asked(http, pieces, 4)

    assert seen == [("GET /next", b""), *[("POST /upgrade", SMUGGLED)] * 2, ("GET /next", b"")]
    assert client.text.count(b"HTTP/1.1 200 ") == 4
    assert not client.closed


@pytest.mark.parametrize("framing", BODIES)
@pytest.mark.parametrize("way", ["whole", "parts", "bytes"])
def test_a_websocket_where_there_are_none(http: str, framing: str, way: str) -> None:
    request = b"POST /upgrade HTTP/1.1\r\nhost: x\r\n" + WEBSOCKET + BODIES[framing]
    seen, client = asked(http, ways(*head_and_body(request), GET)[way], 2, ws="none")

    assert seen == [("POST /upgrade", SMUGGLED), ("GET /next", b"")]
    assert not client.closed


def test_every_split(http: str) -> None:
    """Wherever a packet ends."""
    request = b"POST /upgrade HTTP/1.1\r\nhost: x\r\n" + UPGRADES["h2c"] + LENGTH + GET
    for at in range(1, len(request)):
        seen, _ = asked(http, [request[:at], request[at:]], 2)
        assert seen == [("POST /upgrade", SMUGGLED), ("GET /next", b"")], at


def test_without_a_body(http: str) -> None:
    request = b"GET /upgrade HTTP/1.1\r\nhost: x\r\n" + UPGRADES["h2c"] + b"\r\n"
    seen, client = asked(http, [request + request + GET], 3)

    assert seen == [("GET /upgrade", b"")] * 2 + [("GET /next", b"")]
    assert not client.closed


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_the_connection_ends_where_the_client_says_so(http: str, version: bytes) -> None:
    upgrade = UPGRADES["foo"].replace(b"Upgrade", b"Upgrade, close")
    request = b"POST /upgrade HTTP/" + version + b"\r\nhost: x\r\n" + upgrade + LENGTH
    seen, client = asked(http, [request + GET], 1)

    assert seen == [("POST /upgrade", SMUGGLED)]
    assert client.closed


def test_the_application_sees_the_whole_head(http: str) -> None:
    heads = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        heads.append((scope["method"], scope["raw_path"], scope["query_string"], scope["headers"]))
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async def main() -> None:
        made, client = connected(protocol, application)
        made.data_received(
            b"PATCH /%C3%A9/upgrade?a=%20&b HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nX-Empty:\r\nConnection: upgrade\r\n"
            b"X: \xff y\r\n\r\n"
        )
        await turn_until(lambda: client.text)

    with front(http) as protocol:
        asyncio.run(main())
    [(method, path, query, fields)] = heads
    assert (method, path, query) == ("PATCH", b"/%C3%A9/upgrade", b"a=%20&b")
    assert list(fields) == [
        (b"host", b"x"),
        (b"upgrade", b"h2c"),
        (b"x-empty", b""),
        (b"connection", b"upgrade"),
        (b"x", b"\xff y"),
    ]


@pytest.mark.parametrize("way", ["whole", "parts", "bytes"])
@pytest.mark.parametrize(
    "request_",
    [
        b"GET /ws HTTP/1.1\r\nhost: x\r\n" + WEBSOCKET + LENGTH,
        b"GET /ws HTTP/1.1\r\nhost: x\r\n" + WEBSOCKET + CHUNKED,
        b"POST /ws HTTP/1.1\r\nhost: x\r\n" + WEBSOCKET + LENGTH,
        b"POST /ws HTTP/1.1\r\nhost: x\r\n" + WEBSOCKET + b"\r\n",
        b"HEAD /ws HTTP/1.1\r\nhost: x\r\n" + WEBSOCKET + b"\r\n",
    ],
    ids=["length", "chunked", "post", "post without a body", "head"],
)
def test_a_handshake_that_is_none(http: str, request_: bytes, way: str) -> None:
    seen, client = asked(http, ways(*head_and_body(request_), GET)[way], 1)

    assert seen == []
    assert client.text.startswith(b"HTTP/1.1 400 ")
    assert client.text.count(b"HTTP/1.1 ") == 1
    assert client.ended


def test_a_handshake_that_is_none_behind_a_request(http: str) -> None:
    seen, client = asked(http, [GET + b"POST /ws HTTP/1.1\r\nhost: x\r\n" + WEBSOCKET + LENGTH + GET], 1)

    assert seen == [("GET /next", b"")]
    assert client.text.startswith(b"HTTP/1.1 200 ")
    assert client.ended or client.closed


@pytest.mark.parametrize("length", [b"", b"content-length: 0\r\n"])
def test_a_handshake(http: str, length: bytes) -> None:
    seen, client = asked(http, [b"GET /ws HTTP/1.1\r\nhost: x\r\n" + WEBSOCKET + length + b"\r\n"], 1)

    assert seen == [("WEBSOCKET /ws", b"")]
    assert client.text.startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("field", KEY.splitlines(keepends=True))
def test_an_incomplete_handshake_ends_the_connection(http: str, field: bytes) -> None:
    request = b"GET /ws HTTP/1.1\r\nhost: x\r\n" + WEBSOCKET.replace(field, b"") + b"\r\n"
    seen, client = asked(http, [request, SMUGGLED], 1)

    assert seen == []
    assert client.text.startswith(b"HTTP/1.1 4")
    assert client.closed


@pytest.mark.parametrize("way", ["whole", "parts", "bytes"])
def test_connect(http: str, way: str) -> None:
    request = b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n" + LENGTH
    seen, client = asked(http, ways(GET, *head_and_body(request), GET)[way], 1)

    assert seen == [("GET /next", b"")]
    assert client.text.startswith(b"HTTP/1.1 200 ")
    assert client.ended or client.closed


def test_nothing_that_a_client_sends_is_logged(
    http: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, "uvicorn.error")
    monkeypatch.setattr(http1, "say_upgrade", Seldom(logging.getLogger("uvicorn.error").warning))
    request = b"POST /secret HTTP/1.1\r\nhost: secret\r\n" + UPGRADES["foo"].replace(b"foo", b"secret") + LENGTH
    asked(http, [request], 1)
    asked(http, [request], 1)
    asked(http, [b"POST /secret HTTP/1.1\r\nhost: secret\r\n" + WEBSOCKET + LENGTH], 1)
    asked(http, [b"CONNECT secret:443 HTTP/1.1\r\nhost: secret\r\n\r\n"], 1)

    messages = [record.getMessage() for record in caplog.records]
    assert [message for message in messages if "upgrade" in message] == [
        "Unsupported upgrade request of 127.0.0.1:4000"
    ]
    assert all(before != after for before, after in pairwise(messages))
    assert not any("secret" in message or "admin" in message for message in messages)
