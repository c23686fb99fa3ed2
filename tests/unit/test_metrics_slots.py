"""The memory in which workers count: exact with processes, and with those that are killed."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from paddock.metrics.slots import BUCKETS, METHODS, SLOTS_AT_ONCE, STATUSES, Counter, Slot, Slots
from paddock.metrics.tally import REASONS, STATES, WANTED, WorkerCounts


def record(method: str = "GET", status: int = 200, seconds: float = 0.003, **more: Any) -> Any:
    """A request and its answer, as a worker tells of it."""
    told = {"method": method, "status": status, "seconds": seconds, "received": 0, "sent": 10, "is_own": False}
    return SimpleNamespace(**told | more)


def count(counter: Counter, one: Any, times: int = 1) -> None:
    """Let a worker tell of a record so many times."""
    for _ in range(times):
        counter.begun(one)
        counter.ended(one)


def child(run: Callable[[], None]) -> int:
    """Fork a process that calls `run` and then waits to be killed; return its pid when it waits."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            run()
            os.write(writer, b"done")
            signal.pause()
        finally:
            os._exit(1)
    os.close(writer)
    assert os.read(reader, 4) == b"done"
    os.close(reader)
    return pid


def kill(pid: int) -> None:
    """Kill a process and reap it."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


# --- What is counted ---


@pytest.mark.parametrize(
    ("status", "name"),
    [(100, "1xx"), (200, "2xx"), (299, "2xx"), (404, "4xx"), (500, "5xx"), (599, "5xx"), (0, "other"), (999, "other")],
)
def test_statuses(status: int, name: str) -> None:
    slots = Slots()

    count(Counter(slots.take()), record("PUT", status))

    assert slots.total().statuses("PUT") == dict.fromkeys(STATUSES, 0) | {name: 1}


@pytest.mark.parametrize("method", ["BREW", "get", "", "G" * 10_000])
def test_an_unknown_method_is_other(method: str) -> None:
    slots = Slots()

    count(Counter(slots.take()), record(method))

    assert {name: slots.total().statuses(name)["2xx"] for name in METHODS} == dict.fromkeys(METHODS, 0) | {"other": 1}


@pytest.mark.parametrize("place", range(len(BUCKETS)))
def test_a_bound_belongs_to_its_bucket(place: int) -> None:
    slots = Slots()
    counter = Counter(slots.take())

    count(counter, record(seconds=BUCKETS[place]))
    count(counter, record(seconds=BUCKETS[place] + 1e-9))

    expected = [0] * (len(BUCKETS) + 1)
    expected[place] = expected[place + 1] = 1
    assert slots.total().durations("GET") == expected


def test_bytes_and_seconds() -> None:
    slots = Slots()
    counter = Counter(slots.take())

    count(counter, record("POST", seconds=0.25, received=7, sent=2**40), 3)

    total = slots.total()
    assert (total.received, total.sent, total.seconds["POST"]) == (21, 3 * 2**40, 0.75)


def test_in_flight() -> None:
    slots = Slots()
    counter = Counter(slots.take())
    counter.begun(record())
    counter.begun(record())
    counter.ended(record())

    assert slots.total().in_flight == 1


def test_what_the_image_answers_or_asks_itself_is_not_counted() -> None:
    slots = Slots()

    count(Counter(slots.take()), record(is_own=True))

    total = slots.total()
    assert not any(total.statuses("GET").values())
    assert not any(total.durations("GET"))
    assert total.in_flight == 0


def test_how_long_a_websocket_was_open_is_no_duration() -> None:
    slots = Slots()

    count(Counter(slots.take()), record(status=101, seconds=3600))

    assert slots.total().statuses("GET")["1xx"] == 1
    assert not any(slots.total().durations("GET"))
    assert slots.total().seconds["GET"] == 0


# --- Exactness ---


def test_processes_that_are_killed() -> None:
    """What they have counted stays, what they had in flight goes, and their successors go on in their slots."""
    slots, random_ = Slots(), random.Random(1)
    workers: list[tuple[int, Slot]] = []
    expected = 0

    def work(slot: Slot, number: int) -> None:
        counter = Counter(slot)
        count(counter, record(), number)
        for _ in range(3):
            counter.begun(record())

    for generation in range(6):
        for _ in range(4):
            slot, number = slots.take(), random_.randrange(1, 500)
            pid = child(lambda slot=slot, number=number: work(slot, number))
            slot.occupy(pid, float(generation))
            workers.append((pid, slot))
            expected += number
        assert slots.total().in_flight == 12
        assert {slot.pid for slot in slots.all} - {0} == {pid for pid, _ in workers}
        while workers:
            pid, slot = workers.pop()
            kill(pid)
            slots.give_back(slot)

    total = slots.total()
    assert total.statuses("GET")["2xx"] == expected
    assert sum(total.durations("GET")) == expected
    assert total.in_flight == 0
    assert sum(any(slot.cells) for slot in slots.all) == 4, "slots are used again"


def test_a_reader_never_sees_less_than_before() -> None:
    slots = Slots()
    slot = slots.take()
    pid = os.fork()
    if not pid:
        counter = Counter(slot)
        while True:
            count(counter, record(seconds=1.5, sent=2**33 + 1))
    try:
        before = (0, 0, 0.0)
        while before[0] < 20_000:
            total = slots.total()
            now = (total.statuses("GET")["2xx"], total.sent, total.seconds["GET"])
            assert all(new >= old for new, old in zip(now, before, strict=True)), "it went back"
            assert now[1] % (2**33 + 1) == 0
            assert now[2] % 1.5 == 0
            assert total.in_flight in range(2)
            before = now
    finally:
        kill(pid)


# --- Slots ---


def test_more_workers_than_slots() -> None:
    slots = Slots()
    taken = [slots.take() for _ in range(2 * SLOTS_AT_ONCE + 1)]

    assert [slot.number for slot in taken] == list(range(2 * SLOTS_AT_ONCE + 1))
    for slot in taken:
        count(Counter(slot), record())
    for slot in taken:
        slots.give_back(slot)
    assert slots.take().number == 0
    assert slots.total().statuses("GET")["2xx"] == 2 * SLOTS_AT_ONCE + 1
    assert len(slots.all) == 3 * SLOTS_AT_ONCE


def test_who_is_in_a_slot() -> None:
    slots = Slots()
    slot = slots.take()
    slot.occupy(4711, 12.5)
    slot.threads = 4

    assert (slot.pid, slot.born, slot.threads) == (4711, 12.5, 4)
    slots.give_back(slot)
    assert (slot.pid, slot.threads) == (0, 0)


def test_numbers_of_workers() -> None:
    workers = WorkerCounts()
    for number, name in enumerate((*STATES, *REASONS, WANTED)):
        workers[name] = number

    pid = child(lambda: workers.__setitem__(WANTED, workers[WANTED] + 1))
    kill(pid)

    assert [workers[name] for name in (*STATES, *REASONS)] == list(range(len(STATES + REASONS)))
    assert workers[WANTED] == len(STATES + REASONS) + 1
