"""What the arbiter and a worker of its share: all that the image puts on Gunicorn's worker, in one record."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from typing import Any

from paddock.metrics.slots import Slot
from paddock.workers.capacity import Capacities, Capacity

STDERR = 2

LARGEST_DUMP = 1024 * 1024
"""Bytes of a crash dump that are read: faulthandler writes at most 100 lines for each of 100 threads."""

SERVES, WANTS_REPLACEMENT, IS_DISMISSED = range(3)
"""Which byte of the marks says what; 0 is no."""

REPLACEMENT_REASONS = (
    "",
    "it served its MAX_REQUESTS",
    "it holds more than MAX_WORKER_MEMORY",
    "one of its threads hangs",
)
SERVED_ENOUGH, TOO_LARGE, STUCK = 1, 2, 3


class Shared:
    """What a worker and the arbiter tell each other, and what the arbiter notes of a worker.

    `marks` are bytes of memory that both have, not a file: the directory of the heartbeats may be full, which must keep
    no worker from serving. `dump` is a file in memory for what a worker that crashes says of itself, which the arbiter
    logs as one record: faulthandler writes it from a signal handler, raw lines that nothing can format there.
    `responder` answers until the worker serves, in `slot` the worker counts, with METRICS_BIND, and `capacity`
    says whether it has a thread to spare.
    """

    born = 0.0
    """The monotonic time of the fork."""
    obsolete: str | None = None
    """Why the worker is to be replaced."""
    leaving: float | None = None
    """The monotonic time until which it may leave, if it was told to."""
    patience = 0.0
    """The seconds that it was given for that."""
    kill_at = 0.0
    """The monotonic time from which it may be killed, if it was told to abort."""

    def __init__(self, responder: Any = None, slot: Slot | None = None, capacity: Capacity | None = None) -> None:
        self.marks = mmap.mmap(-1, mmap.PAGESIZE)
        # As a file, since it is closed with its worker where that cannot be forked.
        self.dump = os.fdopen(os.memfd_create("paddock-dump"), "rb+", buffering=0)
        self.responder = responder
        self.slot = slot
        self.capacity = capacity or Capacities().of(0)


def sharing(pre_fork: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Return Gunicorn's `pre_fork` hook, extended to give each worker what it shares with the image's arbiter."""

    def hook(arbiter: Any, worker: Any) -> None:
        worker.shared = Shared(arbiter.responder, arbiter.board.slot(), arbiter.capacities.of(worker.age))
        pre_fork(arbiter, worker)

    return hook


def leaving_the_others(post_fork: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Return Gunicorn's `post_fork` hook, extended to close a worker's copies of the files of other workers' dumps."""

    def hook(arbiter: Any, worker: Any) -> None:
        for other in arbiter.WORKERS.values():
            other.shared.dump.close()
        post_fork(arbiter, worker)

    return hook


def shared_by(worker: Any) -> Shared | None:
    """Return, in the worker, what it shares with the arbiter; None under another arbiter than the image's."""
    return getattr(worker, "shared", None)


def announce_ready(worker: Any) -> None:
    """Say, in the worker, that it serves from now on. Under another arbiter than the image's nobody asks."""
    if shared := shared_by(worker):
        if shared.responder:
            shared.responder.take_over()
        shared.marks[SERVES] = 1
        shared.capacity.open()


def capacity_of(worker: Any) -> Capacity:
    """Return, in the worker, where it says whether it has room; under another arbiter than the image's nobody asks."""
    shared = shared_by(worker)
    return shared.capacity if shared else Capacities().of(0)


def is_ready(worker: Any) -> bool:
    """Tell, in the arbiter and in the worker, whether `worker` serves; under another arbiter it never says so."""
    shared = shared_by(worker)
    return shared is not None and bool(shared.marks[SERVES])


def ask_for_replacement(worker: Any, reason: int) -> bool:
    """Ask, in the worker, to be replaced for one of REPLACEMENT_REASONS; return whether there is who does that."""
    if shared := shared_by(worker):
        shared.marks[WANTS_REPLACEMENT] = reason
    return shared is not None


def wants_replacement(worker: Any) -> str:
    """Return, in the arbiter, why `worker` wants to be replaced; nothing when it does not."""
    # A worker may write anything there.
    return dict(enumerate(REPLACEMENT_REASONS)).get(worker.shared.marks[WANTS_REPLACEMENT], "")


def dismiss(worker: Any) -> None:
    """Say, in the arbiter, that the SIGTERM that follows is for this worker alone: the container goes on serving."""
    worker.shared.marks[IS_DISMISSED] = 1


def is_dismissed(worker: Any) -> bool:
    """Tell, in the worker, whether the container goes on without it."""
    shared = shared_by(worker)
    return shared is not None and bool(shared.marks[IS_DISMISSED])


def descriptor(worker: Any) -> int:
    """Return where faulthandler shall write in `worker`; under another arbiter than the image's nobody reads a file."""
    shared = shared_by(worker)
    return shared.dump.fileno() if shared else STDERR


def take(worker: Any) -> str:
    """Return, in the arbiter, what a worker that has ended has dumped, to LARGEST_DUMP bytes, and close the file."""
    with worker.shared.dump as file:
        file.seek(0)
        return bytes(file.read(LARGEST_DUMP)).decode(errors="replace")
