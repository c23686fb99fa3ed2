"""The memory in which workers count: anonymous, made by the arbiter before the fork, read by the exporter.

A worker has a slot to itself, and each of its threads a lane of the slot, so that nobody waits for a lock and no two
write the same cell. What was counted stays when the worker ends, however it ends: the next worker in the slot goes on
from there. So no sum ever goes back, and there are no more slots than there ever were workers at one time.

A cell is eight aligned bytes, and a memoryview of format Q or d writes it in one store: no reader sees half of it.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from operator import add
from threading import local
from typing import Any

from paddock.http.record import Record

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "other")
"""Those of https://www.rfc-editor.org/rfc/rfc9110#section-9 and PATCH; clients may send any word, which is `other`."""

STATUSES = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds, in seconds, from a cached answer to the default of TIMEOUT."""

# A lane. What has ended comes first: who reads from the front never sees more ended than begun.
ENDED, BEGUN, RECEIVED, SENT = range(4)
FIRST_ROW = 4
# A row of a lane, one for each method: statuses, buckets (with the one above all bounds), seconds in all.
FIRST_BUCKET = len(STATUSES)
SECONDS = FIRST_BUCKET + len(BUCKETS) + 1
ROW = SECONDS + 1
ROWS = {method: FIRST_ROW + ROW * number for number, method in enumerate(METHODS)}
OTHER = ROWS["other"]

SWITCHING_PROTOCOLS = 101

CELL = 8
LINE = 64 // CELL
"""Cells of a processor's cache line: lanes that shared one would slow each other down."""

LANE = -(-(FIRST_ROW + ROW * len(METHODS)) // LINE) * LINE

PID, BORN, THREADS = range(3)
SLOT_HEADER = LINE
"""The header of a slot: the worker's pid (0 for none), its monotonic time of birth, the threads that serve WSGI."""

SPARE_LANES = 2
"""For the worker's main thread, and for any thread that there should not be."""

SLOTS_AT_ONCE = 32
"""Slots that are made at once: memory that nobody has written to costs nothing."""


class Slot:
    """A worker's part of the memory."""

    def __init__(self, number: int, memory: memoryview, lanes: int) -> None:
        """Take `memory`, as bytes, for so many `lanes`."""
        self.number = number
        self.whole = memory.cast("Q")
        self.real = memory.cast("d")
        self.lanes = [
            (
                memory[start * CELL : (start + LANE) * CELL].cast("Q"),
                memory[start * CELL : (start + LANE) * CELL].cast("d"),
            )
            for start in range(SLOT_HEADER, SLOT_HEADER + lanes * LANE, LANE)
        ]

    @property
    def pid(self) -> int:
        """The worker in the slot; 0 for none."""
        return self.whole[PID]

    @property
    def born(self) -> float:
        """The monotonic time at which that worker was forked."""
        return self.real[BORN]

    @property
    def threads(self) -> int:
        """How many threads of that worker serve WSGI requests; 0 with an event loop."""
        return self.whole[THREADS]

    @threads.setter
    def threads(self, number: int) -> None:
        """Say it, in the worker."""
        self.whole[THREADS] = number

    def occupy(self, pid: int, born: float) -> None:
        """Say, in the arbiter, who is in the slot."""
        self.real[BORN] = born
        self.whole[PID] = pid

    def vacate(self) -> None:
        """Say, in the arbiter, that the worker has ended: nothing of it is in flight any more."""
        self.whole[PID] = self.whole[THREADS] = 0
        for cells, _ in self.lanes:
            cells[BEGUN] = cells[ENDED]


class Slots:
    """All slots. The arbiter takes and gives back; a process forked later reads those made before."""

    def __init__(self) -> None:
        self.all: list[Slot] = []
        self.free: list[Slot] = []

    def take(self, threads: int) -> Slot:
        """Return the first free slot for a worker of so many `threads`; make some where there is none."""
        wanted = threads + SPARE_LANES
        fitting = [slot for slot in self.free if len(slot.lanes) >= wanted]
        if not fitting:
            fitting = self._make(wanted)
        slot = min(fitting, key=lambda slot: slot.number)
        self.free.remove(slot)
        return slot

    def give_back(self, slot: Slot) -> None:
        """Free the slot of a worker that has ended."""
        slot.vacate()
        self.free.append(slot)

    def _make(self, lanes: int) -> list[Slot]:
        size = (SLOT_HEADER + lanes * LANE) * CELL
        memory = memoryview(mmap.mmap(-1, SLOTS_AT_ONCE * size))
        first = len(self.all)
        new = [Slot(first + n, memory[n * size : (n + 1) * size], lanes) for n in range(SLOTS_AT_ONCE)]
        self.all += new
        self.free += new
        return new

    def total(self) -> Total:
        """Return the sum over all workers that there are or were."""
        whole, seconds = [0] * LANE, dict.fromkeys(METHODS, 0.0)
        for cells, reals in self._used():
            whole = list(map(add, whole, cells.tolist()))
            for method, row in ROWS.items():
                seconds[method] += reals[row + SECONDS]
        return Total(whole, seconds)

    def _used(self) -> Iterator[tuple[Any, Any]]:
        return ((cells, reals) for slot in self.all for cells, reals in slot.lanes if cells[BEGUN])


class Total:
    """What all workers have counted."""

    def __init__(self, cells: list[int], seconds: dict[str, float]) -> None:
        self.in_flight = cells[BEGUN] - cells[ENDED]
        self.received = cells[RECEIVED]
        self.sent = cells[SENT]
        self.seconds = seconds
        self._cells = cells

    def statuses(self, method: str) -> dict[str, int]:
        """Return the number of requests of a method by the class of their answer's status."""
        row = ROWS[method]
        return dict(zip(STATUSES, self._cells[row : row + FIRST_BUCKET], strict=True))

    def durations(self, method: str) -> list[int]:
        """Return the number of requests of a method in each bucket, the one above all bounds last."""
        row = ROWS[method]
        return self._cells[row + FIRST_BUCKET : row + SECONDS]


class _Lease:
    """A lane for as long as its thread lives. Threads beyond the number of lanes share one."""

    def __init__(self, free: deque[Any], shared: Any) -> None:
        self.free = free
        try:
            self.lane = free.popleft()
        except IndexError:
            self.free, self.lane = deque(), shared

    def __del__(self) -> None:
        self.free.append(self.lane)


class _ByThread(local):
    """The lane of the calling thread."""

    def __init__(self, free: deque[Any], shared: Any) -> None:
        self.lease = _Lease(free, shared)
        self.lane = self.lease.lane


class _Alone:
    """The lane of a worker that has one thread: what `_ByThread` finds out for each request is known."""

    __slots__ = ("lane",)

    def __init__(self, lane: Any) -> None:
        self.lane = lane


class Counter:
    """Counts a worker's requests in its slot. Give it to the worker as an observer."""

    def __init__(self, slot: Slot) -> None:
        """Count in `slot`, which says how many threads there are."""
        *own, shared = slot.lanes
        self.own: Any = _ByThread(deque(own), shared) if slot.threads else _Alone(shared)

    def begun(self, record: Record) -> None:
        """Note that a request has begun."""
        cells, _ = self.own.lane
        cells[BEGUN] += 1

    def ended(self, record: Record) -> None:
        """Count a request whose answer has ended, by whatever end, unless it is the image's own.

        How long a WebSocket was open says nothing of how fast the server is.
        """
        cells, reals = self.own.lane
        cells[ENDED] += 1
        if record.is_own:
            return
        row = ROWS.get(record.method, OTHER)
        status = record.status
        cells[row + status // 100 if 100 <= status < 600 else row] += 1
        if status != SWITCHING_PROTOCOLS:
            seconds = record.seconds
            cells[row + FIRST_BUCKET + bisect_left(BUCKETS, seconds)] += 1
            reals[row + SECONDS] += seconds
        cells[SENT] += record.sent
        if received := record.received:
            cells[RECEIVED] += received
