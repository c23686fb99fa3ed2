"""What the arbiter counts, in memory that the process which serves the page reads."""

from __future__ import annotations

import mmap

from paddock.metrics.slots import CELL

REASONS = ("recycled", "memory", "timeout", "signal", "exit", "reload")
RECYCLED, MEMORY, TIMEOUT, SIGNAL, EXIT, RELOAD = REASONS
"""Why workers are replaced: MAX_REQUESTS; MAX_WORKER_MEMORY, or the kernel had no memory left; TIMEOUT or BOOT_TIMEOUT;
another signal; an end of their own; a reload."""

STATES = ("booting", "serving", "stopping")

WANTED = "wanted"


class WorkerCounts:
    """The number of workers in each of STATES, of those replaced for each of REASONS, and of those WANTED."""

    def __init__(self) -> None:
        names = (*STATES, *REASONS, WANTED)
        self.places = {name: place for place, name in enumerate(names)}
        self.cells = memoryview(mmap.mmap(-1, len(names) * CELL)).cast("Q")

    def __getitem__(self, name: str) -> int:
        return self.cells[self.places[name]]

    def __setitem__(self, name: str, number: int) -> None:
        self.cells[self.places[name]] = number
