"""Which of several workers takes a new connection, by what they have said of themselves."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from paddock.workers import capacity, shared
from paddock.workers.capacity import WORKERS, Capacities, Capacity


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The monotonic clock, as a test sets it."""
    now = SimpleNamespace(time=1000.0)
    monkeypatch.setattr(capacity, "perf_counter", lambda: now.time)
    return now


def two() -> tuple[Capacity, Capacity]:
    """Two workers that serve."""
    all_of_them = Capacities()
    one, other = all_of_them.of(1), all_of_them.of(2)
    one.open()
    other.open()
    return one, other


def test_who_has_room_takes_it_whatever_others_have() -> None:
    one, other = two()
    assert not one.is_better_elsewhere()
    other.tell(full=True)
    assert not one.is_better_elsewhere()
    assert other.is_better_elsewhere()


def test_where_all_are_busy_it_is_taken_at_once() -> None:
    one, other = two()
    one.tell(full=True)
    other.tell(full=True)
    assert not one.is_better_elsewhere()
    assert not other.is_better_elsewhere()


def test_who_has_room_again_takes_it() -> None:
    one, other = two()
    one.tell(full=True)
    other.tell(full=True)
    one.tell(full=False)
    assert other.is_better_elsewhere()
    assert not one.is_better_elsewhere()


def test_who_is_stuck_leaves_it_to_who_gets_on(clock: SimpleNamespace) -> None:
    one, other = two()
    one.tell(full=True)
    clock.time += 60
    other.tell(full=True)
    assert one.is_better_elsewhere()
    assert not other.is_better_elsewhere()
    clock.time += 60
    # Now it is stuck, too, and one of them has to answer.
    assert not other.is_better_elsewhere()
    assert not one.is_better_elsewhere()


def test_who_gets_on_again_takes_it(clock: SimpleNamespace) -> None:
    one, other = two()
    one.tell(full=True)
    clock.time += 60
    other.tell(full=True)
    assert one.is_better_elsewhere()
    one.tell(full=True)
    assert not one.is_better_elsewhere()


def test_who_works_off_a_queue_gets_on(clock: SimpleNamespace) -> None:
    one, other = two()
    for worker in (one, other):
        worker.tell(full=True)
    clock.time += 60
    other.last_begun = lambda: clock.time
    assert not other.is_better_elsewhere()
    assert one.is_better_elsewhere()


def test_a_worker_alone_takes_all(clock: SimpleNamespace) -> None:
    alone = Capacities().of(1)
    assert not alone.is_better_elsewhere()
    alone.open()
    alone.tell(full=True)
    assert not alone.is_better_elsewhere()
    clock.time += 60
    assert not alone.is_better_elsewhere()


def test_who_stops_leaves_it_to_others_and_has_no_room_again() -> None:
    one, other = two()
    one.close()
    assert one.is_better_elsewhere()
    one.tell(full=False)
    other.tell(full=True)
    assert not other.is_better_elsewhere()
    one.tell(full=True)
    assert one.is_better_elsewhere()


def test_a_worker_that_does_not_serve_yet_has_no_room() -> None:
    all_of_them = Capacities()
    one, other = all_of_them.of(1), all_of_them.of(2)
    one.open()
    one.tell(full=True)
    other.tell(full=False)
    assert not one.is_better_elsewhere()


def test_after_very_many_workers_there_is_still_a_byte() -> None:
    all_of_them = Capacities()
    one, other = all_of_them.of(WORKERS - 1), all_of_them.of(WORKERS)
    one.open()
    other.open()
    one.tell(full=True)
    assert one.is_better_elsewhere()
    assert not other.is_better_elsewhere()


def test_processes_see_each_other() -> None:
    """The arbiter takes back what a worker has said that is gone."""
    all_of_them = Capacities()
    worker, other = SimpleNamespace(shared=shared.Shared(capacity=all_of_them.of(1))), all_of_them.of(2)
    other.open()
    other.tell(full=True)
    pid = os.fork()
    if not pid:
        shared.announce_ready(worker)
        os._exit(0)
    os.waitpid(pid, 0)

    assert other.is_better_elsewhere()
    worker.shared.capacity.close()
    assert not other.is_better_elsewhere()
    assert shared.take(worker) == ""
