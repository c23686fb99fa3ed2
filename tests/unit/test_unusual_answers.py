"""What applications do that they should not, and clients that are old or have said all: with both parsers."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any

import pytest

from front import connected, front, turn_until
from paddock.http.record import Observers
from paddock.metrics.slots import Counter, Slots

HTTP = pytest.mark.parametrize("http", ["auto", "h11"])

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\n\r\n"


class Answering:
    """An application that answers as it is told, when it may."""

    def __init__(self, status: Any = 200, fields: Any = (), parts: tuple[bytes, ...] = (b"hello",)) -> None:
        self.status, self.fields, self.parts = status, fields, parts
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.heard: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.heard.append((await receive())["type"])
        await self.may_answer.wait()
        status = self.status.pop(0) if isinstance(self.status, list) else self.status
        await send({"type": "http.response.start", "status": status, "headers": list(self.fields)})
        for part in self.parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})


@HTTP
def test_a_header_field_of_any_bytes(http: str) -> None:
    async def main() -> None:
        fields = [(bytearray(b"X-Name"), bytearray(b"value")), (bytearray(b"Content-Length"), b"5")]
        _, client = connected(protocol, Answering(fields=fields))
        client.send(GET)
        await turn_until(lambda: client.text.endswith(b"\r\n\r\nhello"))
        assert client.text.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nx-name: value\r\n" in client.text.lower()

    with front(http) as protocol:
        asyncio.run(main())


@HTTP
@pytest.mark.parametrize("status", ["200", None, {}, 99, 600, 200.5, b"200"])
def test_a_status_that_is_none(http: str, status: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is the application's failure, and nobody else hears of it."""
    slots = Slots()

    async def main() -> None:
        made = [connected(protocol, Answering(status=each)) for each in (200, status, 200)]
        for _, client in made:
            client.send(GET)
        await turn_until(lambda: all(client.text.endswith((b"0\r\n\r\n", b"Error")) for _, client in made))
        assert [client.text[:13] for _, client in made] == [b"HTTP/1.1 200 ", b"HTTP/1.1 500 ", b"HTTP/1.1 200 "]

    with front(http, Observers([Counter(slots.take(0))])) as protocol:
        asyncio.run(main())
    counted = slots.total()
    assert counted.in_flight == 0
    assert (counted.statuses("GET")["2xx"], counted.statuses("GET")["5xx"]) == (2, 1)
    failures = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.message for record in failures] == ["Exception in ASGI application\n"]


@HTTP
@pytest.mark.parametrize("status", [HTTPStatus.OK, 200.0])
def test_a_status_that_is_as_good_as_one(http: str, status: Any) -> None:
    slots = Slots()

    async def main() -> None:
        _, client = connected(protocol, Answering(status=status))
        client.send(GET)
        await turn_until(lambda: client.text.endswith(b"0\r\n\r\n"))
        assert client.text.startswith(b"HTTP/1.1 200 OK\r\n")

    with front(http, Observers([Counter(slots.take(0))])) as protocol:
        asyncio.run(main())
    assert slots.total().statuses("GET")["2xx"] == 1


@HTTP
@pytest.mark.parametrize("fields", [[], [(b"transfer-encoding", b"chunked")]])
def test_an_old_client_gets_no_chunks(http: str, fields: Any) -> None:
    async def main() -> None:
        _, client = connected(protocol, Answering(fields=fields, parts=(b"one", b"", b"two")))
        client.send(OLD)
        await turn_until(lambda: client.closed)
        head, _, body = client.text.partition(b"\r\n\r\n")
        assert body == b"onetwo"
        assert b"transfer-encoding" not in head.lower()
        assert b"\r\nconnection: close" in head.lower()

    with front(http) as protocol:
        asyncio.run(main())


@HTTP
def test_an_old_client_may_know_the_length(http: str) -> None:
    async def main() -> None:
        _, client = connected(protocol, Answering(fields=[(b"content-length", b"5")]))
        client.send(OLD)
        await turn_until(lambda: client.closed)
        assert client.text.endswith(b"\r\n\r\nhello")

    with front(http) as protocol:
        asyncio.run(main())


@HTTP
def test_a_task_factory_that_fails(http: str, caplog: pytest.LogCaptureFixture) -> None:
    slots = Slots()

    def factory(loop: Any, coroutine: Any, **options: Any) -> Any:
        coroutine.close()
        raise ValueError("no more tasks")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        made, client = connected(protocol, Answering())
        loop.set_task_factory(factory)
        try:
            client.send(GET)
            await turn_until(lambda: client.text)
        finally:
            loop.set_task_factory(None)
        assert client.text.startswith(b"HTTP/1.1 500 ")
        assert b"Internal Server Error\r\n" in client.text or client.text.endswith(b"Internal Server Error")
        await turn_until(lambda: not made.tasks)
        # One that comes later finds a factory that works.
        other, client = connected(protocol, Answering())
        client.send(GET)
        await turn_until(lambda: client.text.startswith(b"HTTP/1.1 200 ") and not other.tasks)

    with front(http, Observers([Counter(slots.take(0))])) as protocol:
        asyncio.run(main())
    assert "no more tasks" in caplog.text
    assert (slots.total().statuses("GET")["5xx"], slots.total().in_flight) == (1, 0)
