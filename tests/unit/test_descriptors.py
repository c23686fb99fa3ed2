"""What is done where descriptors run out: how it is noticed, and that nothing turns without end."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from paddock.http import descriptors
from paddock.metrics.exporter import Exporter
from paddock.start import messages
from paddock.start.messages import Seldom
from paddock.workers.base import ResidentMemory
from paddock.workers.front.accepting import Acceptor

LOG = logging.getLogger("gunicorn.error")


def never() -> bool:
    """Nothing is better elsewhere."""
    return False


@pytest.fixture
def few() -> Iterator[int]:
    """Few descriptors, more than this process has open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(map(int, os.listdir("/proc/self/fd"))) + 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    yield most
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def held(few: int) -> Iterator[list[int]]:
    """All descriptors that there are."""
    files: list[int] = []
    with suppress(OSError):
        while True:
            files.append(os.open("/dev/null", os.O_RDONLY))
    yield files
    for file in files:
        os.close(file)


class Listener:
    """A listening socket whose `accept` fails."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked = 0
        self.socket, self.client = socket.socketpair()
        # So that there seems to be a connection to accept all the time.
        self.client.send(b"x")

    def setblocking(self, blocking: bool) -> None:
        self.socket.setblocking(blocking)

    def fileno(self) -> int:
        return self.socket.fileno()

    def accept(self) -> Any:
        self.asked += 1
        raise OSError(self.number, os.strerror(self.number))

    def close(self) -> None:
        self.socket.close()
        self.client.close()


def test_a_reserve_is_left(held: list[int]) -> None:
    assert descriptors.is_short()
    reserve = min(descriptors.RESERVE, descriptors.limit() // 8)
    for _ in range(reserve):
        os.close(held.pop())
    assert descriptors.is_short()
    os.close(held.pop())
    assert not descriptors.is_short()


def test_memory_is_read_without_a_descriptor(few: int) -> None:
    memory = ResidentMemory()
    held = []
    with suppress(OSError):
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    try:
        assert memory.read() > 1024 * 1024
    finally:
        for file in (*held, memory.file):
            os.close(file)


def test_the_limit_is_raised_as_far_as_may_be(few: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    descriptors.raise_limit()

    assert descriptors.limit() == (descriptors.CEILING if hard < 0 else min(hard, descriptors.CEILING))


def test_a_higher_limit_stays(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(descriptors, "CEILING", few - 10)

    descriptors.raise_limit()

    assert descriptors.limit() == few


def test_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    now, said = [1000.0], []
    monkeypatch.setattr(messages.time, "monotonic", lambda: now[0])
    say = Seldom(lambda *words: said.append(words))
    for now[0] in (1000.0, 1001.0, 1060.0, 1061.0, 1062.0):
        say("%d", 1)

    assert said == [("%d", 1)] * 2


@pytest.mark.parametrize("number", sorted(descriptors.SHORTAGES), ids=errno.errorcode.get)
@pytest.mark.parametrize("makes_room", [True, False])
def test_accepting_pauses_where_nothing_makes_room(
    monkeypatch: pytest.MonkeyPatch, number: int, makes_room: bool, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(descriptors, "SHORTAGE_PAUSE", 3600.0)
    listener = Listener(number)

    async def turns() -> None:
        acceptor = Acceptor([listener], connect, lambda: makes_room, never, LOG)  # type: ignore[list-item]
        acceptor.start()
        for _ in range(20):
            await asyncio.sleep(0.001)
        acceptor.stop()

    async def connect(connection: socket.socket) -> None:
        raise AssertionError

    asyncio.run(turns())

    assert (listener.asked == 1) is not makes_room
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "ulimit" in caplog.text


def test_accepting_goes_on_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "SHORTAGE_PAUSE", 0.01)
    listener, enough = Listener(errno.EMFILE), asyncio.Event()

    def make_room() -> bool:
        if listener.asked == 3:
            enough.set()
        return False

    async def turns() -> None:
        acceptor = Acceptor([listener], lambda _: asyncio.sleep(0), make_room, never, LOG)  # type: ignore[list-item]
        acceptor.start()
        await enough.wait()
        acceptor.stop()

    asyncio.run(turns())


@pytest.mark.parametrize("number", sorted(descriptors.SHORTAGES), ids=errno.errorcode.get)
def test_the_metrics_exporter_pauses(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(descriptors, "SHORTAGE_PAUSE", 3600.0)
    listener = Listener(number)

    async def turns() -> None:
        exporter = Exporter(listener, lambda openmetrics: b"")  # type: ignore[arg-type]
        exporter.listen()
        for _ in range(20):
            await asyncio.sleep(0.001)

    asyncio.run(turns())
    listener.close()

    assert listener.asked == 1
