"""Many requests in one packet: they cost what they cost one by one, and no more is read than can be answered."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any
from weakref import WeakSet

import pytest

from front import connected, front, turn_until
from paddock.workers.front.protocols import FED_AT_ONCE, READ, WAITING

SHORTEST = b"GET / HTTP/1.1\r\nhost:\r\n\r\n"
MANY = {"auto": 14_000, "h11": 2_000}
"""As many as fit in what is read at once; h11 takes long for so many."""
HTTP = pytest.mark.parametrize("http", ["auto", "h11"])


def numbered(count: int) -> bytes:
    return b"".join(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % number for number in range(count))


class Application:
    """Answers with the path when it may, and after it has asked for the body, as frameworks do."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.seen = 0
        self.cycles: WeakSet[Any] = WeakSet()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen += 1
        self.cycles.add(receive.__self__)
        await receive()
        await self.may_answer.wait()
        body = scope["path"].encode() + b";"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


def answers(client: Any) -> list[bytes]:
    return [answer.rpartition(b"\n")[2].rstrip(b";") for answer in client.text.split(b"HTTP/1.1 200 ")[1:]]


@HTTP
def test_all_are_answered_in_their_order_and_nothing_is_kept(http: str) -> None:
    async def main() -> None:
        application = Application()
        application.may_answer.set()
        made, client = connected(protocol, application)
        client.send(numbered(MANY[http]))
        await turn_until(lambda: application.seen == MANY[http] and not made.tasks)
        assert answers(client) == [b"/%d" % number for number in range(MANY[http])]
        assert client.reading
        assert not client.closed
        gc.collect()
        # The last one stands for the state of its connection; asyncio keeps up to 100 timers that were cancelled, and
        # with h11 their contexts know a request each.
        assert len(application.cycles) <= {"auto": 1, "h11": 101}[http]
        client.send(numbered(1))
        await turn_until(lambda: client.text.endswith(b"/0;"))

    with front(http) as protocol:
        asyncio.run(main())


@HTTP
def test_no_more_is_read_than_can_be_answered(http: str) -> None:
    """What was read with the one that is too much is kept as bytes."""

    async def main() -> None:
        application = Application()
        made, client = connected(protocol, application)
        client.send(SHORTEST * MANY[http])
        for _ in range(20):
            await asyncio.sleep(0)
        assert application.seen == 1
        # Though the application has asked for a body.
        assert not client.reading
        assert len(made.pipeline) <= WAITING + FED_AT_ONCE // len(SHORTEST) + 1
        application.may_answer.set()
        await turn_until(lambda: application.seen > 2 * WAITING)
        application.may_answer.clear()
        assert not client.reading
        assert len(made.pipeline) <= WAITING + FED_AT_ONCE // len(SHORTEST) + 1
        application.may_answer.set()
        await turn_until(lambda: application.seen == MANY[http] and not made.tasks)
        assert client.reading

    with front(http) as protocol:
        asyncio.run(main())


def test_one_by_one() -> None:
    """A request for each packet."""

    async def main() -> None:
        application = Application()
        made, client = connected(protocol, application)
        sent = 0
        while client.reading:
            client.send(SHORTEST)
            sent += 1
            await asyncio.sleep(0)
        # Uvicorn reads on only while an application asks for a body.
        made.flow.resume_reading()
        while client.reading:
            client.send(SHORTEST)
            sent += 1
            made.flow.resume_reading()
        assert len(made.pipeline) == WAITING == sent - 1
        application.may_answer.set()
        await turn_until(lambda: len(answers(client)) == sent)
        assert client.reading

    with front() as protocol:
        asyncio.run(main())


@HTTP
@pytest.mark.parametrize("size", [0, 1, FED_AT_ONCE - 40, FED_AT_ONCE, 5 * FED_AT_ONCE + 1, READ - 100])
def test_bodies_of_many_pieces(http: str, size: int) -> None:
    bodies = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        bodies.append(body)
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async def main() -> None:
        _, client = connected(protocol, application)
        body = (bytes(range(256)) * (size // 256 + 1))[:size]
        client.send((b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size + body) * 3 + numbered(1))
        await turn_until(lambda: client.text.count(b"HTTP/1.1 204 ") == 4)
        assert bodies == [body, body, body, b""]

    with front(http) as protocol:
        asyncio.run(main())


@HTTP
def test_a_head_of_many_pieces_behind_others(http: str) -> None:
    """It is not complete when as much is there as would be enough of those that are."""

    async def main() -> None:
        application = Application()
        _, client = connected(protocol, application)
        long = b"GET /long HTTP/1.1\r\nhost: x\r\n" + b"".join(b"x-%d: %b\r\n" % (n, b"y" * 1000) for n in range(9))
        client.send(numbered(2) + long)
        await asyncio.sleep(0)
        application.may_answer.set()
        await turn_until(lambda: len(answers(client)) == 2)
        assert client.reading
        client.send(b"\r\n")
        await turn_until(lambda: answers(client)[-1] == b"/long")

    with front(http) as protocol:
        asyncio.run(main())


@HTTP
def test_who_leaves_is_noticed_by_all(http: str) -> None:
    async def main() -> None:
        application = Application()
        made, client = connected(protocol, application)
        client.send(numbered(MANY[http]))
        await turn_until(lambda: application.seen)
        made.connection_lost(None)
        application.may_answer.set()
        await turn_until(lambda: not made.tasks)
        assert application.seen == 1
        assert not made.pipeline

    with front(http) as protocol:
        asyncio.run(main())


@HTTP
def test_one_that_is_none_ends_a_pipeline(http: str) -> None:
    async def main() -> None:
        application = Application()
        application.may_answer.set()
        _, client = connected(protocol, application)
        client.send(numbered(1000) + b"NONSENSE\r\n\r\n" + numbered(1000))
        await turn_until(lambda: client.ended or client.closed)
        assert answers(client)[:900] == [b"/%d" % number for number in range(900)]
        assert application.seen <= 1000

    with front(http) as protocol:
        asyncio.run(main())


@HTTP
def test_work_grows_with_the_number_of_requests(http: str) -> None:
    """Counted in Python's instructions, not in seconds."""
    counted = [0]

    def count(frame: Any, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            counted[0] += 1
        return count

    def work(requests: int) -> int:
        async def main() -> None:
            application = Application()
            application.may_answer.set()
            _, client = connected(protocol, application)
            client.send(numbered(requests))
            while application.seen < requests:  # noqa: ASYNC110 # no timer may wait, or turns would be counted
                await asyncio.sleep(0)

        with front(http) as protocol:
            counted[0], before = 0, sys.gettrace()
            sys.settrace(count)
            try:
                asyncio.run(main())
            finally:
                sys.settrace(before)
        return counted[0]

    few, many = work(200), work(800)
    assert many < 6 * few
