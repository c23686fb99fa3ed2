"""What a worker and the arbiter tell each other, in a few bytes of memory that both have.

Not a file: the directory of the heartbeats may be full, which must keep no worker from serving.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

from paddock.workers import dump

SERVES, WANTS_REPLACEMENT, IS_DISMISSED = range(3)
"""Which byte says what; 0 is no."""

REPLACEMENT_REASONS = ("", "it served its MAX_REQUESTS", "it holds more than MAX_WORKER_MEMORY")
SERVED_ENOUGH, TOO_LARGE = 1, 2


def giving_marks(pre_fork: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Return Gunicorn's `pre_fork` hook, extended to give each worker what it shares with the arbiter."""

    def hook(arbiter: Any, worker: Any) -> None:
        worker.marks = mmap.mmap(-1, mmap.PAGESIZE)
        dump.give(worker)
        worker.responder = getattr(arbiter, "responder", None)
        pre_fork(arbiter, worker)

    return hook


def leaving_the_others(post_fork: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Return Gunicorn's `post_fork` hook, extended to close a worker's copies of the files of other workers' dumps."""

    def hook(arbiter: Any, worker: Any) -> None:
        for other in arbiter.WORKERS.values():
            other.dump.close()
        post_fork(arbiter, worker)

    return hook


def announce_ready(worker: Any) -> None:
    """Say, in the worker, that it serves from now on. Under another arbiter than the image's nobody asks."""
    if hasattr(worker, "marks"):
        if worker.responder:
            worker.responder.take_over()
        worker.marks[SERVES] = 1


def is_ready(worker: Any) -> bool:
    """Tell, in the arbiter, whether `worker` serves."""
    return bool(worker.marks[SERVES])


def ask_for_replacement(worker: Any, reason: int) -> bool:
    """Ask, in the worker, to be replaced for one of REASONS; return whether there is an arbiter that does."""
    if not hasattr(worker, "marks"):
        return False
    worker.marks[WANTS_REPLACEMENT] = reason
    return True


def wants_replacement(worker: Any) -> str:
    """Return, in the arbiter, why `worker` wants to be replaced; nothing when it does not."""
    return REPLACEMENT_REASONS[worker.marks[WANTS_REPLACEMENT]]


def dismiss(worker: Any) -> None:
    """Say, in the arbiter, that the SIGTERM that follows is for this worker alone: the container goes on serving."""
    worker.marks[IS_DISMISSED] = 1


def is_dismissed(worker: Any) -> bool:
    """Tell, in the worker, whether the container goes on without it."""
    return hasattr(worker, "marks") and bool(worker.marks[IS_DISMISSED])
