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
from paddock.workers.front.protocols import HALF_CLOSED

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
@pytest.mark.parametrize(
    "fields",
    [
        [(b"x-name", None)],
        [(b"x-name", 5)],
        [(b"x-name", b"a\r\nb")],
        [(b"x name", b"value")],
        [(b"", b"value")],
        [(b"content-length", b"many")],
        [(b"content-length", b"-1")],
        [(b"content-length", b"5"), (b"Content-Length", b"6")],
    ],
)
def test_a_header_field_that_is_none(http: str, fields: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        _, client = connected(protocol, Answering(fields=[(b"connection", b"close"), *fields]))
        client.send(GET)
        await turn_until(lambda: client.text.endswith(b"\r\n\r\nInternal Server Error"))
        assert client.text.startswith(b"HTTP/1.1 500 ")
        assert client.text.lower().count(b"content-length: ") == 1

    with front(http) as protocol:
        asyncio.run(main())
    assert "Exception in ASGI application\n" in caplog.messages


def test_the_same_length_twice() -> None:
    async def main() -> None:
        fields = [(b"content-length", b"5"), (b"Content-Length", b" 5")]
        _, client = connected(protocol, Answering(fields=fields))
        client.send(GET)
        await turn_until(lambda: client.text.endswith(b"\r\n\r\nhello"))

    with front("auto") as protocol:
        asyncio.run(main())


@HTTP
@pytest.mark.parametrize("id_header", ["X-Request-ID", None])
def test_a_header_field_of_text(http: str, id_header: str | None) -> None:
    """As h11 takes it."""

    async def main() -> None:
        _, client = connected(protocol, Answering(fields=[("x-name", "value"), ("content-length", "5")]))
        client.send(GET)
        await turn_until(lambda: client.text.endswith(b"\r\n\r\nhello"))
        assert client.text.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nx-name: value\r\n" in client.text.lower()

    with front(http, id_header=id_header) as protocol:
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

    with front(http, Observers([Counter(slots.take())])) as protocol:
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

    with front(http, Observers([Counter(slots.take())])) as protocol:
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

    with front(http, Observers([Counter(slots.take())])) as protocol:
        asyncio.run(main())
    assert "no more tasks" in caplog.text
    assert (slots.total().statuses("GET")["5xx"], slots.total().in_flight) == (1, 0)


# --- Clients that have said all ---


def factory_of(eager: bool) -> Any:
    """Return a task factory of an application's own, which may be Python's eager one."""
    if eager:
        return getattr(asyncio, "eager_task_factory", None)
    return lambda loop, coroutine, **options: asyncio.Task(coroutine, loop=loop, **options)


@HTTP
@pytest.mark.parametrize("factory", [None, factory_of(False), factory_of(True)])
@pytest.mark.parametrize("requests", [1, 3])
def test_a_half_closed_client_gets_its_answers(http: str, factory: Any, requests: int) -> None:
    async def main() -> None:
        application = Answering(fields=[(b"content-length", b"5")])
        application.may_answer.clear()
        asyncio.get_running_loop().set_task_factory(factory)
        made, client = connected(protocol, application)
        client.send(GET * requests)
        # In the same turn, before the application is called.
        assert made.eof_received()
        for _ in range(10):
            await asyncio.sleep(0)
        assert application.heard == ["http.request"]
        assert not client.closed
        application.may_answer.set()
        await turn_until(lambda: client.closed)
        assert client.text.count(b"hello") == requests

    with front(http) as protocol:
        asyncio.run(main())


@HTTP
def test_who_has_closed_may_have_left(http: str) -> None:
    """After a while the application is told so."""

    async def main() -> None:
        application = Answering()
        application.may_answer.clear()
        made, client = connected(protocol, application)
        client.send(GET)
        await turn_until(lambda: application.heard)
        assert made.eof_received()
        now = asyncio.get_running_loop().time()
        made.look(now + HALF_CLOSED / 2)
        assert not client.closed
        made.look(now + HALF_CLOSED + 0.1)
        assert client.closed
        made.connection_lost(None)
        application.may_answer.set()
        await turn_until(lambda: not made.tasks)
        assert not client.text

    with front(http) as protocol:
        asyncio.run(main())


@HTTP
@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nab"], ids=range(3)
)
def test_half_a_request_gets_none(http: str, sent: bytes) -> None:
    async def main() -> None:
        made, client = connected(protocol, Answering())
        if sent:
            client.send(sent)
        assert not made.eof_received()
        made.connection_lost(None)
        await turn_until(lambda: not made.tasks)

    with front(http) as protocol:
        asyncio.run(main())
