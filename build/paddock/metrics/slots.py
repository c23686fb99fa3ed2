"""The memory in which workers count: anonymous, made by the arbiter before the fork, read by the exporter.

A worker has a slot to itself, in which its event loop alone writes, so that nobody waits for a lock. What was counted
stays when the worker ends, however it ends: the next worker in the slot goes on from there. So no sum ever goes back,
and there are no more slots than there ever were workers at one time.

A cell is eight aligned bytes, and a memoryview of format Q or d writes it in one store: no reader sees half of it.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from operator import add

from paddock.http.record import Record

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "other")
"""Those of https://www.rfc-editor.org/rfc/rfc9110#section-9 and PATCH; clients may send any word, which is `other`."""

STATUSES = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds, in seconds, from a cached answer to the default of TIMEOUT."""

# What has ended comes first: who reads from the front never sees more ended than begun.
ENDED, BEGUN, RECEIVED, SENT = range(4)
FIRST_ROW = 4
# A row, one for each method: statuses, buckets (with the one above all bounds), seconds in all.
FIRST_BUCKET = len(STATUSES)
SECONDS = FIRST_BUCKET + len(BUCKETS) + 1
ROW = SECONDS + 1
ROWS = {method: FIRST_ROW + ROW * number for number, method in enumerate(METHODS)}
OTHER = ROWS["other"]

SWITCHING_PROTOCOLS = 101

CELL = 8
LINE = 64 // CELL
"""Cells of a processor's cache line: slots that shared one would slow each other down."""

CELLS = -(-(FIRST_ROW + ROW * len(METHODS)) // LINE) * LINE
"""Those of a slot, behind its header."""

PID, BORN, THREADS, AT_WORK, LAG = range(5)
SLOT_HEADER = LINE
"""The header of a slot: the worker's pid (0 for none), its monotonic time of birth, the threads that serve WSGI, how
many of them are at work, and by how many seconds the event loop was late."""

SLOTS_AT_ONCE = 32
"""Slots that are made at once: memory that nobody has written to costs nothing."""


class Slot:
    """A worker's part of the memory."""

    def __init__(self, number: int, memory: memoryview) -> None:
        """Take `memory`, as bytes."""
        self.number = number
        header, rest = memory[: SLOT_HEADER * CELL], memory[SLOT_HEADER * CELL :]
        self.whole, self.real = header.cast("Q"), header.cast("d")
        self.cells, self.reals = rest.cast("Q"), rest.cast("d")

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

    @property
    def busy(self) -> int:
        """How many of those threads were at work when the worker last looked, once a second."""
        return self.whole[AT_WORK]

    @busy.setter
    def busy(self, number: int) -> None:
        """Say it, in the worker."""
        self.whole[AT_WORK] = number

    @property
    def lag(self) -> float:
        """By how many seconds the event loop was late when the worker last looked, once a second."""
        return self.real[LAG]

    @lag.setter
    def lag(self, seconds: float) -> None:
        """Say it, in the worker."""
        self.real[LAG] = seconds

    def occupy(self, pid: int, born: float) -> None:
        """Say, in the arbiter, who is in the slot."""
        self.real[BORN] = born
        self.whole[PID] = pid

    def vacate(self) -> None:
        """Say, in the arbiter, that the worker has ended: nothing of it is in flight any more."""
        self.whole[PID] = self.whole[THREADS] = self.whole[AT_WORK] = 0
        self.real[LAG] = 0.0
        self.cells[BEGUN] = self.cells[ENDED]


class Slots:
    """All slots. The arbiter takes and gives back; a process forked later reads those made before."""

    def __init__(self) -> None:
        self.all: list[Slot] = []
        self.free: list[Slot] = []

    def take(self) -> Slot:
        """Return the first free slot; make some where there is none."""
        slot = min(self.free or self._make(), key=lambda slot: slot.number)
        self.free.remove(slot)
        return slot

    def give_back(self, slot: Slot) -> None:
        """Free the slot of a worker that has ended."""
        slot.vacate()
        self.free.append(slot)

    def _make(self) -> list[Slot]:
        size = (SLOT_HEADER + CELLS) * CELL
        memory = memoryview(mmap.mmap(-1, SLOTS_AT_ONCE * size))
        first = len(self.all)
        new = [Slot(first + n, memory[n * size : (n + 1) * size]) for n in range(SLOTS_AT_ONCE)]
        self.all += new
        self.free += new
        return new

    def total(self) -> Total:
        """Return the sum over all workers that there are or were."""
        whole, seconds = [0] * CELLS, dict.fromkeys(METHODS, 0.0)
        for slot in self.all:
            if slot.cells[BEGUN]:
                whole = list(map(add, whole, slot.cells.tolist()))
                for method, row in ROWS.items():
                    seconds[method] += slot.reals[row + SECONDS]
        return Total(whole, seconds)


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


class Counter:
    """Counts a worker's requests in its slot. Give it to the worker as an observer."""

    def __init__(self, slot: Slot) -> None:
        """Count in `slot`, from one thread."""
        self.cells, self.reals = slot.cells, slot.reals

    def begun(self, record: Record) -> None:
        """Note that a request has begun."""
        self.cells[BEGUN] += 1

    def ended(self, record: Record) -> None:
        """Count a request whose answer has ended, by whatever end, unless it is the image's own.

        How long a WebSocket was open says nothing of how fast the server is.
        """
        cells = self.cells
        cells[ENDED] += 1
        if record.is_own:
            return
        row = ROWS.get(record.method, OTHER)
        status = record.status
        cells[row + status // 100 if 100 <= status < 600 else row] += 1
        if status != SWITCHING_PROTOCOLS:
            seconds = record.seconds
            cells[row + FIRST_BUCKET + bisect_left(BUCKETS, seconds)] += 1
            self.reals[row + SECONDS] += seconds
        cells[SENT] += record.sent
        if received := record.received:
            cells[RECEIVED] += received
