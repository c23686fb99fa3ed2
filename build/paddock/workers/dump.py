"""What a worker that crashes says of itself, kept in memory until the arbiter logs it as one record.

It is written by faulthandler, from a signal handler: raw lines, which nothing can format there.
"""

from __future__ import annotations

import os
from typing import Any

STDERR = 2


def give(worker: Any) -> None:
    """Give a worker that is about to be forked a file in memory for its dump."""
    # As a file, since it is closed with its worker where that cannot be forked.
    worker.dump = os.fdopen(os.memfd_create("paddock-dump"), "rb+", buffering=0)


def descriptor(worker: Any) -> int:
    """Return where faulthandler shall write in `worker`; under another arbiter than the image's nobody reads a file."""
    return worker.dump.fileno() if hasattr(worker, "dump") else STDERR


def take(worker: Any) -> str:
    """Return, in the arbiter, what a worker that has ended has dumped, and close the file."""
    with worker.dump as file:
        file.seek(0)
        return bytes(file.read()).decode(errors="replace")
