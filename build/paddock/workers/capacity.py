"""Which workers have room for a request, so that one whose threads are all busy leaves new connections to the others.

They accept from the same sockets, and the kernel wakes whoever waits, however much it has to do.
"""

from __future__ import annotations

import mmap
import time

SHUT, BUSY, FREE = range(3)
"""What a worker's byte says: no request is served soon, all threads are busy but get on, a thread waits."""

WORKERS = 4096
"""Workers that can be told apart; a later one takes the byte of one that is long gone."""

STUCK_AFTER = 0.1
"""Seconds without a request that began, after which a worker whose threads are all busy does not get on."""


class Capacities:
    """A byte for each worker in memory that all of them have, made before the first is forked."""

    def __init__(self) -> None:
        self.bytes = mmap.mmap(-1, WORKERS)

    def of(self, age: int) -> Capacity:
        """Return that of the worker that is the arbiter's `age`th."""
        return Capacity(self.bytes, age % WORKERS)


class Capacity:
    """Whether one worker has room for a request, which the others see; before it serves it has none."""

    def __init__(self, all_of_them: mmap.mmap, place: int) -> None:
        self.bytes = all_of_them
        self.place = place
        self.is_open = False
        self.begun = 0.0
        """The monotonic time when the last request began for which there was no other thread."""

    def open(self) -> None:
        """Say, in the worker, that it serves from now on."""
        self.is_open = True
        self.free()

    def close(self) -> None:
        """Say, in the worker that stops or in the arbiter that has seen its end, that it serves no more."""
        self.is_open = False
        self.bytes[self.place] = SHUT

    def free(self) -> None:
        """Say that a thread waits for a request."""
        if self.is_open:
            self.bytes[self.place] = FREE

    def busy(self) -> None:
        """Say that a request began and left no thread that waits."""
        self.begun = time.monotonic()
        if self.is_open:
            self.bytes[self.place] = BUSY

    def is_better_elsewhere(self) -> bool:
        """Tell whether a new connection is better off with another worker."""
        own = self.bytes[self.place]
        if own == FREE:
            return False
        if own == BUSY and time.monotonic() > self.begun + STUCK_AFTER:
            own = self.bytes[self.place] = SHUT
        return self.bytes.find(bytes([FREE])) >= 0 or (own == SHUT and self.bytes.find(bytes([BUSY])) >= 0)
