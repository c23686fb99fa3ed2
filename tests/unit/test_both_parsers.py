"""The same bytes, however they are cut, are the same requests and get the same answers with httptools and with h11."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from front import connected, front, turn_until

FIELDS = [
    b"Accept: */*",
    b"X-Empty:",
    b"X-Latin: \xe9",
    b"X-Spaces:  a b ",
    b"Cookie: a=b; c=d",
    b"Expect: 100-continue",
    b"Connection: keep-alive",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c",
    b"Connection: upgrade\r\nUpgrade: foo",
]


def chunked(pieces: list[bytes], trailers: list[bytes]) -> bytes:
    """Return what follows `Transfer-Encoding: chunked`."""
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    return b"".join([*chunks, b"0\r\n", *(trailer + b"\r\n" for trailer in trailers), b"\r\n"])


PIECES = st.lists(st.binary(min_size=1, max_size=40), max_size=4)
BODIES = st.one_of(
    st.just((b"", b"")),
    st.binary(max_size=60).map(lambda body: (b"Content-Length: %d\r\n" % len(body), body)),
    st.builds(
        lambda pieces, trailers: (b"Transfer-Encoding: chunked\r\n", chunked(pieces, trailers)),
        PIECES,
        st.sampled_from([[], [b"X-Forwarded-For: 192.0.2.1"]]),
    ),
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return a request."""
    method = draw(st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS"]))
    target = draw(st.sampled_from([b"/", b"/a/b?c=d&e", b"/%C3%A9?%41", b"/?", b"http://x/absolute?y=z"]))
    fields = draw(st.lists(st.sampled_from(FIELDS), max_size=4, unique=True))
    framing, body = draw(BODIES)
    line = draw(st.sampled_from([b"", b"\r\n"])) + b"%b %b HTTP/1.1\r\nHost: x\r\n" % (method, target)
    return line + b"".join(field + b"\r\n" for field in fields) + framing + b"\r\n" + body


def served(http: str, pieces: list[bytes], count: int) -> tuple[list[Any], bytes]:
    """Return what an application has seen of `count` requests, and what the client got."""
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        told = ("method", "path", "raw_path", "query_string", "http_version")
        seen.append([*(scope[key] for key in told), list(scope["headers"]), body])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def main() -> bytes:
        made, client = connected(protocol, application)
        for piece in pieces:
            client.send(piece)
            await asyncio.sleep(0)
        await turn_until(lambda: len(seen) == count and made.cycle.response_complete)
        return client.text.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")

    with front(http) as protocol:
        return seen, asyncio.run(main())


@settings(max_examples=200)
@given(st.lists(requests(), min_size=1, max_size=3), st.lists(st.integers(1, 80), min_size=1, max_size=8))
def test_both_read_the_same(asked: list[bytes], sizes: list[int]) -> None:
    text, pieces = b"".join(asked), []
    while text:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[:size])
        text = text[size:]

    with_httptools, with_h11 = (served(http, pieces, len(asked)) for http in ("httptools", "h11"))

    assert with_httptools == with_h11
    assert not any(name == b"x-forwarded-for" for request in with_h11[0] for name, _ in request[5])
