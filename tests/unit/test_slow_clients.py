"""Clients that take nothing of an answer, or send next to nothing of a body: who is cut off, and who may go on."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from typing import Any

import pytest

from front import Recorder, connected, front, turn_until
from paddock.http.limits import BODY_RATE, Limits
from paddock.http.record import Observers
from paddock.workers.front.delivery import Delivery
from paddock.workers.front.protocols import BODY, LOOKS

HTTP = pytest.mark.parametrize("http", ["auto", "h11"])

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000\r\n\r\n"

ANSWER = Limits().response_timeout
BODIES = Limits().body_timeout


class Seen:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def ended(self, record: Any) -> None:
        self.records.append(record)


class Looks:
    """A clock for one connection, which goes as fast as the test wants it to."""

    def __init__(self, made: Any) -> None:
        self.made = made
        self.now = asyncio.get_running_loop().time()

    def go(self, seconds: float) -> None:
        """Look as often as the connection's own clock would, for so many seconds."""
        end = self.now + seconds
        while (due := self.made.clock.due.pop(self.made, None)) is not None and not self.made.transport.is_closing():
            if due > end:
                self.made.clock.due[self.made] = due
                break
            self.now = max(self.now, due) + 0.001
            self.made.look(self.now)
        self.now = end


def streaming(go_on: asyncio.Event) -> Any:
    """Return an application whose answer has no end before it is told."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2000")]})
        await send({"type": "http.response.body", "body": b"a" * 1000, "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"b" * 1000})

    return application


@HTTP
def test_an_answer_that_nobody_takes(http: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    seen = Seen()

    async def main() -> None:
        made, client = connected(protocol, streaming(asyncio.Event()))
        client.send(GET)
        await turn_until(lambda: client.text.endswith(b"aaa"))
        looks = Looks(made)
        made.pause_writing()
        client.unread = 900
        looks.go(ANSWER * 0.95)
        assert not client.closed
        looks.go(ANSWER * 0.3)
        assert client.aborted
        made.connection_lost(None)
        await turn_until(lambda: seen.records)
        # What the client has taken of it, and not what the application has given.
        assert [(record.status, record.sent) for record in seen.records] == [(200, 100)]
        for task in made.tasks:
            task.cancel()

    with front(http, Observers([seen])) as protocol:
        asyncio.run(main())
    (said,) = [text for text in caplog.messages if "RESPONSE_TIMEOUT" in text]
    assert said == "Cut off 127.0.0.1:4000: it took nothing of an answer for 60 s, RESPONSE_TIMEOUT; 900 bytes are left"


@HTTP
@pytest.mark.parametrize("ends", [False, True])
def test_a_whole_answer_that_nobody_takes(http: str, ends: bool) -> None:
    """It is in the buffer, and the connection is kept alive, or waits to be closed."""

    async def main() -> None:
        go_on = asyncio.Event()
        go_on.set()
        made, client = connected(protocol, streaming(go_on), keep_alive=10_000)
        client.close = lambda: setattr(client, "ended", True)  # type: ignore[method-assign]
        client.unread = 2000
        client.send(GET[:-2] + b"connection: close\r\n\r\n" if ends else GET)
        await turn_until(lambda: client.text.endswith(b"bbb"))
        assert client.ended is ends
        looks = Looks(made)
        looks.go(ANSWER * 0.95)
        assert not client.aborted
        looks.go(ANSWER * 0.3)
        assert client.aborted

    with front(http) as protocol:
        asyncio.run(main())


@HTTP
def test_who_takes_a_little_may_take_long(http: str) -> None:
    async def main() -> None:
        go_on = asyncio.Event()
        made, client = connected(protocol, streaming(go_on))
        client.send(GET)
        await turn_until(lambda: client.text.endswith(b"aaa"))
        looks = Looks(made)
        made.pause_writing()
        client.unread = 900
        for _ in range(30):
            looks.go(ANSWER * 0.8)
            client.unread -= 1
            assert not client.closed
        # More was written meanwhile, as much as was taken.
        for _ in range(30):
            looks.go(ANSWER * 0.8)
            made.resume_writing()
            made.pause_writing()
        looks.go(ANSWER * 0.8)
        assert not client.closed
        client.unread = 0
        made.resume_writing()
        looks.go(ANSWER * 10)
        assert not client.closed
        go_on.set()
        await turn_until(lambda: client.text.endswith(b"bbb"))
        looks.go(ANSWER)
        # Nothing is left to look at.
        assert made not in made.clock.due
        client.send(GET)
        assert made in made.clock.due
        client.close()

    with front(http) as protocol:
        asyncio.run(main())


@HTTP
def test_an_answer_that_is_computed_is_not_waited_for(http: str) -> None:
    async def main() -> None:
        made, client = connected(protocol, forever)
        client.send(GET)
        Looks(made).go(ANSWER * 50)
        assert not client.closed
        await turn_until(lambda: made.tasks)
        for task in made.tasks:
            task.cancel()

    async def forever(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    with front(http) as protocol:
        asyncio.run(main())


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_what_a_client_takes(family: socket.AddressFamily) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair() if family == socket.AF_UNIX else connection()
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, ours)
        delivery = Delivery()
        assert delivery.look(transport, 1, True) == 0
        transport.write(bytes(20_000_000))
        # The client's system may take some of it for the client.
        left = -1
        async with asyncio.timeout(120):
            while left != delivery.left:
                left = delivery.left
                await asyncio.sleep(0.3)
                assert delivery.look(transport, 10, True) == 0
        assert delivery.left > 1_000_000
        assert delivery.look(transport, 15, True) == 5
        transport.write(bytes(1000))
        assert delivery.look(transport, 17, family == socket.AF_INET) == (7 if family == socket.AF_INET else 0)
        assert delivery.look(transport, 20, True) == (10 if family == socket.AF_INET else 3)
        theirs.setblocking(False)
        got = 0
        async with asyncio.timeout(120):
            while got < 5_000_000:
                with suppress(BlockingIOError):
                    got += len(theirs.recv(1_000_000))
                await asyncio.sleep(0)
        assert delivery.look(transport, 30, True) == 0
        transport.abort()
        theirs.close()

    asyncio.run(main())


def connection() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return listener.accept()[0], client


# --- Bodies ---


class Reading:
    """An application that reads a body, and answers at its end."""

    def __init__(self) -> None:
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.gone = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = {"more_body": True}
        while message.get("more_body"):
            await self.may_read.wait()
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                return
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})


def receiving(protocol: Any) -> tuple[Any, Recorder, Reading, Looks]:
    application = Reading()
    made, client = connected(protocol, application)
    client.send(POST)
    assert made.stage() is BODY
    return made, client, application, Looks(made)


async def trickle(made: Any, client: Recorder, looks: Looks, rate: float, seconds: float) -> None:
    """Send a part of a body in each second, at so many bytes a second."""
    loop = asyncio.get_running_loop()
    for second in range(int(seconds)):
        if not client.closed and not client.ended:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(made, "loop", Frozen(loop, looks.now))
                client.send(b"x" * int(rate * (second + 1) - int(rate * second)))
            await turn_until(lambda: not made.cycle.body)
            looks.go(1)


class Frozen:
    """A loop at a time that the test says."""

    def __init__(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        self.loop = loop
        self.time = lambda: now

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loop, name)


@HTTP
def test_a_body_that_trickles(http: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        made, client, application, looks = receiving(protocol)
        await trickle(made, client, looks, BODY_RATE / 2, BODIES * 0.9)
        assert not client.text
        await trickle(made, client, looks, BODY_RATE / 2, BODIES)
        assert client.text.startswith(b"HTTP/1.1 408 ")
        await turn_until(lambda: application.gone)
        made.connection_lost(None)

    with front(http) as protocol:
        asyncio.run(main())
    (said,) = [text for text in caplog.messages if "REQUEST_BODY_TIMEOUT" in text]
    assert said.startswith("Refused 127.0.0.1:4000 with 408: ")
    assert said.endswith(" in which 15000 have to come")


@HTTP
def test_a_slow_body_that_comes(http: str) -> None:
    async def main() -> None:
        made, client, _, looks = receiving(protocol)
        for _ in range(10):
            # As much as has to come at once, and then a pause.
            await trickle(made, client, looks, BODY_RATE * BODIES * 1.1, 1)
            looks.go(BODIES * 0.8)
        assert not client.text
        await trickle(made, client, looks, BODY_RATE * 6, BODIES * 8)
        assert not client.text
        looks.go(BODIES * 1.1)
        assert client.text.startswith(b"HTTP/1.1 408 ")
        made.connection_lost(None)
        await asyncio.sleep(0)

    with front(http) as protocol:
        asyncio.run(main())


@HTTP
def test_an_application_that_does_not_read_is_not_the_clients_fault(http: str) -> None:
    async def main() -> None:
        made, client, application, looks = receiving(protocol)
        await turn_until(lambda: made.tasks)
        application.may_read.clear()
        client.send(b"x" * 1000)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        client.send(b"x" * 100_000)
        assert not client.reading
        looks.go(BODIES * 5.9)
        # It reads again, just before the next look: what the client sends now cannot be there yet.
        application.may_read.set()
        await turn_until(lambda: client.reading)
        looks.go(BODIES * 0.9)
        assert not client.text
        looks.go(BODIES * 1.2)
        assert client.text.startswith(b"HTTP/1.1 408 ")
        made.connection_lost(None)
        await asyncio.sleep(0)

    with front(http) as protocol:
        asyncio.run(main())


@HTTP
def test_a_client_that_waits_to_be_asked(http: str) -> None:
    async def main() -> None:
        application = Reading()
        application.may_read.clear()
        made, client = connected(protocol, application)
        client.send(POST.replace(b"host", b"expect: 100-continue\r\nhost"))
        looks = Looks(made)
        await turn_until(lambda: made.tasks)
        looks.go(BODIES * 4.9)
        application.may_read.set()
        await turn_until(lambda: client.text)
        looks.go(BODIES * 0.9)
        assert client.text.startswith(b"HTTP/1.1 100 ")
        assert b" 408 " not in client.text
        looks.go(BODIES * 1.2)
        assert b" 408 " in client.text
        made.connection_lost(None)
        await asyncio.sleep(0)

    with front(http) as protocol:
        asyncio.run(main())


def test_without_a_limit_nothing_is_looked_at() -> None:
    async def main() -> None:
        made, client = connected(protocol, streaming(asyncio.Event()))
        made.limits = Limits(response_timeout=0, head_timeout=0, body_timeout=0)
        made.clock.due.clear()
        client.send(GET)
        assert made not in made.clock.due
        client.send(POST)
        assert made not in made.clock.due
        client.close()
        await turn_until(lambda: made.tasks)
        for task in made.tasks:
            task.cancel()

    assert LOOKS > 1
    with front() as protocol:
        asyncio.run(main())
