"""What a worker and the arbiter tell each other: bytes in the heartbeat file, which both have open.

The first says that the worker serves, the second that it wants to be replaced and why, the third that it shall go.
"""

from __future__ import annotations

import os
from typing import Any

SERVES = b"r"
WANTS_REPLACEMENT = {b"n": "it served its MAX_REQUESTS", b"m": "it holds more than MAX_WORKER_MEMORY"}


def announce_ready(worker: Any) -> None:
    """Say, in the worker, that it serves from now on."""
    os.pwrite(worker.tmp.fileno(), SERVES, 0)


def is_ready(worker: Any) -> bool:
    """Tell, in the arbiter, whether `worker` serves."""
    return os.pread(worker.tmp.fileno(), 1, 0) == SERVES


def ask_for_replacement(worker: Any, mark: bytes) -> None:
    """Ask, in the worker, to be replaced; `mark` is one of WANTS_REPLACEMENT."""
    os.pwrite(worker.tmp.fileno(), mark, 1)


def wants_replacement(worker: Any) -> str | None:
    """Return, in the arbiter, why `worker` wants to be replaced; None when it does not."""
    return WANTS_REPLACEMENT.get(os.pread(worker.tmp.fileno(), 1, 1))


def dismiss(worker: Any) -> None:
    """Say, in the arbiter, that the SIGTERM that follows is for this worker alone: the container goes on serving."""
    os.pwrite(worker.tmp.fileno(), b"d", 2)


def is_dismissed(worker: Any) -> bool:
    """Tell, in the worker, whether the container goes on without it."""
    return os.pread(worker.tmp.fileno(), 1, 2) == b"d"
