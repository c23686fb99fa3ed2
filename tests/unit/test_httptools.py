"""Answers over httptools: byte for byte Uvicorn's own, written when the application has given them. Keep-alive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http import httptools_impl

from front import Recorder, connected, front, turn_until
from paddock.http.record import Observers
from paddock.metrics.slots import Counter, Slots
from paddock.workers.front.http1 import Cork

Messages = list[dict[str, Any]]

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
REQUESTS = (GET, GET.replace(b"GET", b"HEAD"), GET.replace(b"1.1", b"1.0"), GET[:-2] + b"connection: close\r\n\r\n")


@contextmanager
def uvicorns_own() -> Iterator[type[asyncio.Protocol]]:
    yield httptools_impl.HttpToolsProtocol


def sent(protocol: type[asyncio.Protocol], request: bytes, messages: Messages) -> tuple[bytes, bool, list[str]]:
    """Return what an application's messages come to: bytes, whether the server closed, and which one was refused."""
    refused: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            try:
                await send(dict(message))
            except Exception:
                refused.append(message["type"])
                raise

    async def main() -> tuple[bytes, bool]:
        made, client = connected(protocol, application)
        made.data_received(request)
        # A turn to start the application, one to run it where it is a task, and one to write.
        for _ in range(3):
            await asyncio.sleep(0)
        assert not made.tasks
        made.connection_lost(None)
        return b"".join(client.written), client.closed

    return *asyncio.run(main()), refused


NAMES = [b"content-length", b"Content-Type", b"transfer-encoding", b"connection", b"x", b"bad name", b"bad\n"]
VALUES = [
    b"0",
    b"5",
    b"chunked",
    b"Chunked",
    b"close",
    b"a, Close",
    b"keep-alive",
    b"text/plain",
    b"\xff",
    b"a\nb",
    b"a\0",
]

LENGTHS = {(b"content-length", b"0"), (b"content-length", b"5")}
"""An answer that has both is refused here, which goes out with Uvicorn."""

FIELD = st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES))
START = st.builds(
    lambda status, headers: {"type": "http.response.start", "status": status, "headers": headers},
    st.sampled_from([200, 204, 304, 404, 599]),
    st.lists(FIELD, max_size=3).filter(lambda fields: not set(fields) >= LENGTHS),
)
BODY = st.builds(
    lambda body, more: {"type": "http.response.body", "body": body, "more_body": more},
    st.sampled_from([b"", b"abc", b"hello"]),
    st.booleans(),
)
MESSAGES = st.one_of(
    st.builds(lambda start, rest: [start, *rest], START, st.lists(BODY, max_size=3)),
    st.lists(st.one_of(START, BODY, st.just({"type": "http.response.push"})), max_size=4),
)


@settings(max_examples=300)
@given(st.sampled_from(REQUESTS), MESSAGES)
def test_as_uvicorn_writes_it(request: bytes, messages: Messages) -> None:
    with uvicorns_own() as protocol:
        expected = sent(protocol, request, messages)
    with front() as protocol:
        ours = sent(protocol, request, messages)
    if not expected[0] and expected[2] == ["http.response.start"]:
        # Uvicorn closes the connection where a header field is none.
        assert ours[0].startswith(b"HTTP/1.1 500 ")
        assert ours[1:] == expected[1:]
    elif b" HTTP/1.0" not in request or b"transfer-encoding" not in expected[0]:
        assert ours == expected


def test_an_empty_answer() -> None:
    """Headers and bodies may be left out, and headers may be made while they are read."""
    start = {"type": "http.response.start", "status": 200}
    with uvicorns_own() as protocol:
        expected = sent(protocol, GET, [start, {"type": "http.response.body"}])
    with front() as protocol:
        assert sent(protocol, GET, [start, {"type": "http.response.body"}]) == expected
        fields = (field for field in [(b"x", b"y")])
        assert b"\r\nx: y\r\n" in sent(protocol, GET, [{**start, "headers": fields}])[0]


@pytest.mark.parametrize("theirs", [None, b"theirs"])
def test_the_requests_id(theirs: bytes | None) -> None:
    fields = [(b"X-Request-ID", theirs)] if theirs else []
    with front(id_header="X-Request-ID") as protocol:
        answer, _, _ = sent(protocol, GET, [{"type": "http.response.start", "status": 200, "headers": fields}])
    assert answer.count(b"x-request-id: ") == 1
    assert (b"x-request-id: theirs\r\n" in answer) is bool(theirs)


# --- How applications are called ---


SEEN: ContextVar[int] = ContextVar("seen", default=0)


def test_each_request_has_a_context_of_its_own() -> None:
    seen = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(SEEN.get())
        SEEN.set(1)
        # From here on the task is no longer in the turn's end.
        await asyncio.sleep(0)
        await hello()(scope, receive, send)

    async def main() -> None:
        made = [connected(protocol, application)[0] for _ in range(2)]
        for _ in range(2):
            for each in made:
                each.data_received(GET + GET)
            await turn_until(lambda: all(each.cycle.response_complete and not each.pipeline for each in made))
        assert seen == [0] * 8

    with front() as protocol:
        asyncio.run(main())


def test_an_application_may_make_tasks_in_its_own_way() -> None:
    made_tasks = []

    def factory(loop: Any, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made_tasks.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        made, client = connected(protocol, hello())
        made.data_received(GET)
        await turn_until(lambda: client.written)
        assert len(made_tasks) == 1

    with front() as protocol:
        asyncio.run(main())


def test_a_pipeline_takes_its_turns() -> None:
    """One that fills a connection does not keep others waiting."""

    async def main() -> None:
        greedy, full = connected(protocol, hello())
        modest, client = connected(protocol, hello())
        greedy.data_received(GET * 100)
        modest.data_received(GET)
        while not client.written:  # noqa: ASYNC110 # turns are what is counted
            await asyncio.sleep(0)
        assert b"".join(full.written).count(b"hello") < 5
        await turn_until(lambda: b"".join(full.written).count(b"hello") == 100)

    with front() as protocol:
        asyncio.run(main())


def test_a_slow_application_delays_no_answer_but_its_own() -> None:
    written = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        written.append([len(client.written) for client in clients])
        time.sleep(0.01)  # noqa: ASYNC251
        await hello()(scope, receive, send)

    clients = []

    async def main() -> None:
        made = [connected(protocol, application) for _ in range(3)]
        clients.extend(client for _, client in made)
        for each, _ in made:
            each.data_received(GET)
        await turn_until(lambda: all(client.written for client in clients))

    with front() as protocol:
        asyncio.run(main())
    assert written == [[0, 0, 0], [1, 0, 0], [1, 1, 0]]


# --- The cork ---


def hello(waits: asyncio.Event | None = None) -> Any:
    """Return an application which answers, and may wait behind the head."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        if waits:
            await waits.wait()
        await send({"type": "http.response.body", "body": b"hello"})

    return application


def test_head_and_body_are_one_write() -> None:
    async def main() -> None:
        made, client = connected(protocol, hello())
        made.data_received(GET + GET)
        await turn_until(lambda: b"".join(client.written).count(b"hello") == 2)
        assert all(piece.startswith(b"HTTP/1.1 200") and piece.endswith(b"hello") for piece in client.written)

    with front() as protocol:
        asyncio.run(main())


def test_a_head_does_not_wait_for_the_body() -> None:
    async def main() -> None:
        go_on = asyncio.Event()
        made, client = connected(protocol, hello(go_on))
        made.data_received(GET)
        await turn_until(lambda: client.written)
        assert b"hello" not in client.written[0]
        go_on.set()
        await turn_until(lambda: client.written[1:] == [b"hello"])

    with front() as protocol:
        asyncio.run(main())


def test_what_the_cork_holds() -> None:
    async def main() -> None:
        client = Recorder()
        cork = Cork(client)
        cork.hold(b"a")
        assert client.written == []
        cork.write(b"b")
        cork.write(b"c")
        cork.write(b"")
        assert client.written == [b"ab", b"c"]
        cork.hold(b"d")
        await asyncio.sleep(0)
        assert client.written[2:] == [b"d"]
        cork.hold(b"e")
        cork.write_eof()
        assert (client.written[3:], client.ended) == ([b"e"], True)
        cork.hold(b"f")
        cork.close()
        assert (client.written[4:], client.closed) == ([b"f"], True)
        cork.hold(b"g")
        cork.write(b"h")
        assert client.written[5:] == []
        assert cork.get_extra_info("sockname") == ("127.0.0.1", 8000)

    asyncio.run(main())


@pytest.mark.parametrize("waits", [False, True])
def test_a_finished_answer_leaves_before_the_application_goes_on(waits: bool) -> None:
    """It may block, or end the process."""
    written: list[int] = []

    async def main() -> None:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            if waits:
                await asyncio.sleep(0)
            await hello()(scope, receive, send)
            written.append(client.text.count(b"hello"))

        _, client = connected(protocol, application)
        client.send(GET * 3)
        await turn_until(lambda: len(written) == 3)

    with front() as protocol:
        asyncio.run(main())
    assert written == [1, 2, 3]


@pytest.mark.parametrize("waits", [False, True])
def test_a_head_leaves_when_its_application_waits(waits: bool) -> None:
    seen: list[bytes] = []

    async def main() -> None:
        async def stream(scope: Any, receive: Any, send: Any) -> None:
            if waits:
                await asyncio.sleep(0)
            await send({"type": "http.response.start", "status": 200})
            await asyncio.sleep(0)
            seen.append(client.text)
            await send({"type": "http.response.body", "body": b"hello"})

        _, client = connected(protocol, stream)
        client.send(GET)
        await turn_until(lambda: b"hello" in client.text)

    with front() as protocol:
        asyncio.run(main())
    assert seen[0].startswith(b"HTTP/1.1 200 ")


def test_a_head_leaves_though_its_application_fails() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        raise RuntimeError

    async def main() -> None:
        _, client = connected(protocol, application)
        client.send(GET)
        await turn_until(lambda: client.closed)
        assert client.text.startswith(b"HTTP/1.1 200 ")

    with front() as protocol:
        asyncio.run(main())


def test_what_is_held_goes_before_the_end_that_a_client_sends() -> None:
    async def main() -> None:
        made, client = connected(protocol, hello())
        made.transport.hold(b"held")
        made.eof_received()
        assert client.written == [b"held"]

    with front() as protocol:
        asyncio.run(main())


@pytest.mark.parametrize("waits", [False, True])
def test_an_answer_is_counted_before_it_is_written(waits: bool) -> None:
    slots = Slots()
    counter = Counter(slots.take())
    seen = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if waits:
            await asyncio.sleep(0)
        await hello()(scope, receive, send)

    async def main() -> None:
        made = [connected(protocol, application) for _ in range(3)]
        clients = [client for _, client in made]
        for client in clients:
            write = client.write

            def look(data: Any, write: Any = write) -> None:
                write(data)
                answers = sum(b"".join(each.written).count(b"hello") for each in clients)
                seen.append((answers, slots.total().statuses("GET")["2xx"]))

            client.write = look  # type: ignore[method-assign]
        for each, _ in made:
            each.data_received(GET + GET)
        await turn_until(lambda: (6, 6) in seen)

    with front(observers=Observers([counter])) as protocol:
        asyncio.run(main())
    assert all(answers <= counted for answers, counted in seen)


# --- Keep-alive ---


def test_the_time_between_requests() -> None:
    """It counts from the last answer on, however many there were, and not while a request is served."""

    async def main() -> None:
        go_on = asyncio.Event()
        go_on.set()
        made, client = connected(protocol, hello(go_on), keep_alive=0.4)
        loop = asyncio.get_running_loop()
        for _ in range(4):
            made.data_received(GET)
            last = loop.time()
            await asyncio.sleep(0.2)
            assert not client.closed
        go_on.clear()
        made.data_received(GET)
        await asyncio.sleep(1)
        assert not client.closed
        go_on.set()
        await turn_until(lambda: made.cycle.response_complete)
        last = loop.time()
        await turn_until(lambda: client.closed)
        assert loop.time() - last > 0.3

    with front() as protocol:
        asyncio.run(main())
