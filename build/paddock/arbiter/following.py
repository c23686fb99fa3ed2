"""WORKERS=auto while the server runs: a container's limits change without a restart of it.

https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/,
https://docs.docker.com/reference/cli/docker/container/update/
"""

from __future__ import annotations

from collections.abc import Callable

from paddock.settings.sizing import Resources, Sizing, read_limits, size

LOOK_AT_LIMITS = 5.0
"""Seconds between two looks at the limits, which are a dozen small files of the kernel's."""


class Resizing:
    """The limits that a number of workers follows from."""

    def __init__(self, max_workers: int, read: Callable[[], Resources] = read_limits) -> None:
        """Take the most workers there may be, and what reads the limits."""
        self.max_workers = max_workers
        self.read = read
        self.workers = size(read(), max_workers).workers
        self.looked = float("-inf")

    def changed(self, now: float) -> Sizing | None:
        """Return, at the monotonic time `now`, how many workers fit, when that is not what it was; else None."""
        if now - self.looked < LOOK_AT_LIMITS:
            return None
        self.looked = now
        sizing = size(self.read(), self.max_workers)
        before, self.workers = self.workers, sizing.workers
        return sizing if sizing.workers != before else None
