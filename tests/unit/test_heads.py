"""Heads that RFC 9112 has refused: both parsers answer alike."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from front import connected, front, turn_until

HOST = b"host: x\r\n"


def status(http: str, request: bytes, step: int) -> int:
    """Return what a request is answered with that comes in pieces of `step` bytes."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def main() -> bytes:
        _, client = connected(protocol, application)
        for start in range(0, len(request), step):
            client.send(request[start : start + step])
            await asyncio.sleep(0)
        await turn_until(lambda: client.text)
        return client.text

    with front(http) as protocol:
        return int(asyncio.run(main()).split()[1])


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("http", ["auto", "h11"])
@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        # Host: https://www.rfc-editor.org/rfc/rfc9112#section-3.2
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\naccept: */*\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nhost: x\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nhost: x\r\nhost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost:\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nhost: shop.example:8000\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nhost: my_app\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nhost: [::1]:8000\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nhost: [fe80::1%25eth0]\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nhost: [\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: user@x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x:http\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: \xc3\xa9\r\n\r\n", 400),
        # Empty lines in front of it: #section-2.2
        (b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n", 200),
        (b"\r\n\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n", 200),
        # The version: #section-2.3
        (b"GET / HTTP/0.9\r\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 400),
        (b"GET /\r\n" + HOST + b"\r\n", 400),
        # Codings: #section-6.1
        (b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: Chunked\r\n\r\n0\r\n\r\n", 200),
        (b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (
            b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        (b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: identity\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: xchunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\n", 400),
        (b"CONNECT x:1 HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    ],
)
def test_heads(http: str, request_: bytes, expected: int, step: int) -> None:
    assert status(http, request_, step) == expected
