"""Which connections a worker leaves to others, and for how long."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager

import pytest

from paddock.workers.front import accepting
from paddock.workers.front.accepting import Acceptor

LOG = logging.getLogger("gunicorn.error")


class Worker:
    """An acceptor, and the connections that it has taken."""

    def __init__(self, listener: socket.socket) -> None:
        self.better = False
        self.asked = 0
        self.taken: list[socket.socket] = []
        self.acceptor = Acceptor([listener.dup()], self.connect, lambda: False, self.is_better_elsewhere, LOG)
        self.acceptor.start()

    def is_better_elsewhere(self) -> bool:
        self.asked += 1
        return self.better

    async def connect(self, connection: socket.socket) -> None:
        self.taken.append(connection)

    def end(self) -> None:
        self.acceptor.stop()
        for connection in self.taken:
            connection.close()


class Case:
    """Workers that accept from one socket, and clients that connect to it."""

    def __init__(self, listener: socket.socket, stack: ExitStack) -> None:
        self.listener = listener
        self.stack = stack

    def worker(self) -> Worker:
        """Another worker."""
        worker = Worker(self.listener)
        self.stack.callback(worker.end)
        return worker

    def connect(self) -> None:
        """Connect a client."""
        self.stack.enter_context(socket.create_connection(self.listener.getsockname()))


@asynccontextmanager
async def case() -> AsyncIterator[Case]:
    """Give the socket."""
    with ExitStack() as stack:
        yield Case(stack.enter_context(socket.create_server(("127.0.0.1", 0))), stack)


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until something is so."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 # nobody there could set an event
            await asyncio.sleep(0.001)


def run(check: Callable[[Case], Awaitable[None]]) -> None:
    async def main() -> None:
        async with case() as made:
            await check(made)

    asyncio.run(main())


def test_a_busy_worker_leaves_connections_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "LEAVE_AT_MOST", 3600.0)

    async def check(made: Case) -> None:
        busy, other = made.worker(), made.worker()
        busy.better = True
        for number in range(40):
            made.connect()
            await until(lambda: len(other.taken) > number)  # noqa: B023
        assert not busy.taken
        assert busy.asked

    run(check)


def test_it_takes_them_as_soon_as_it_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "LEAVE_AT_MOST", 3600.0)

    async def check(made: Case) -> None:
        worker = made.worker()
        worker.better = True
        made.connect()
        await until(lambda: worker.asked > 3)
        assert not worker.taken
        worker.better = False
        await until(lambda: len(worker.taken) == 1)

    run(check)


def test_what_nobody_takes_does_not_wait_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other worker looks as if it had room, and hangs."""
    monkeypatch.setattr(accepting, "TAKE_FOR", 3600.0)

    async def check(made: Case) -> None:
        worker = made.worker()
        worker.better = True
        for _ in range(10):
            made.connect()
        await until(lambda: len(worker.taken) == 10)
        before = worker.asked
        made.connect()
        await until(lambda: len(worker.taken) == 11)
        assert worker.asked == before + 1

    run(check)


def test_the_count_begins_anew_when_others_take_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "LEAVE_AT_MOST", 3600.0)

    async def check(made: Case) -> None:
        busy = made.worker()
        busy.better = True
        for _ in range(10):
            before = busy.asked
            made.connect()
            await until(lambda: busy.asked > before)  # noqa: B023
            assert busy.acceptor.left_since is not None
            made.listener.accept()[0].close()
            await until(lambda: busy.acceptor.left_since is None)
        assert not busy.taken

    run(check)


def test_a_pause_ends_with_the_acceptor() -> None:
    async def check(made: Case) -> None:
        worker = made.worker()
        worker.better = True
        made.connect()
        await until(lambda: worker.asked > 0)
        worker.acceptor.stop()
        asked = worker.asked
        await asyncio.sleep(2 * accepting.LEAVE_PAUSE)
        assert worker.asked == asked

    run(check)
