"""Which workers have room for a request, so that one whose threads are all busy leaves new connections to the others.

They accept from the same sockets, and the kernel wakes whoever waits, however much it has to do.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from threading import RLock
from time import perf_counter

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
        self.is_full = False
        self.filled = 0.0
        self.writing = RLock()
        """Held by who writes: the event loop, the threads, and perhaps a signal handler in the midst of that."""
        self.last_begun: Callable[[], float] = lambda: 0.0
        """Returns when a thread last began a request, by `perf_counter`."""

    def open(self) -> None:
        """Say, in the worker, that it serves from now on."""
        self.is_open = True
        self.write()

    def close(self) -> None:
        """Say, in the worker that stops or in the arbiter that has seen its end, that it serves no more."""
        self.is_open = False
        self.write()

    def tell(self, full: bool) -> None:
        """Say, from any thread of the worker, whether all of its threads are busy from now on."""
        if full:
            self.filled = perf_counter()
        self.is_full = full
        self.write()

    def write(self) -> int:
        """Let the others see how it is, and return that."""
        with self.writing:
            if not self.is_open:
                state = SHUT
            elif not self.is_full:
                state = FREE
            else:
                begun = max(self.filled, self.last_begun())
                state = BUSY if perf_counter() < begun + STUCK_AFTER else SHUT
            self.bytes[self.place] = state
        return state

    def is_better_elsewhere(self) -> bool:
        """Tell whether a new connection is better off with another worker."""
        own = self.write()
        if own == FREE:
            return False
        return self.bytes.find(bytes([FREE])) >= 0 or (own == SHUT and self.bytes.find(bytes([BUSY])) >= 0)
