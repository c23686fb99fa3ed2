"""How a process ends: what was registered with `atexit` runs once; no thread and no clean-up hold the end up."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

QUICK_TIMEOUT = 3.0
"""Seconds for processes that are to end at once: one that does not hang needs little more than one."""


class End:
    """The end of this process. Whoever comes to it first, a thread or the interpreter, does all of it."""

    def __init__(self, status: int) -> None:
        """Take the status that the process ends with."""
        self.status = status
        self.turn = threading.Lock()
        self.whose: int | None = None
        # What is registered last runs first, and so before all that the application has registered.
        atexit.register(self.finish)

    def finish(self) -> None:
        """Run what was registered with `atexit`, all of it once, and end without taking the interpreter apart.

        That is seconds for a large application, and of no use to anyone. https://docs.python.org/3/library/atexit.html
        """
        if self.whose == threading.get_ident():
            return
        if not self.turn.acquire(blocking=False):
            # Another thread is at it.
            threading.Event().wait()
        self.whose = threading.get_ident()
        atexit._run_exitfuncs()
        self.leave()

    def leave(self) -> None:
        """End now."""
        leave(self.status)


def leave(status: int) -> NoReturn:
    """End this process with `status` now, whatever its threads and the interpreter would still do."""
    for output in (sys.stdout, sys.stderr):
        with suppress(Exception):
            output.flush()
    os._exit(status)


def end_by(hooks: float, status: int, limit: float = float("inf")) -> None:
    """End the process with `status` when its threads have ended, or by itself.

    At the monotonic time `hooks` it waits for threads no longer, and what was registered with `atexit` runs; what of
    that runs at the time `limit` is cut off. The interpreter waits for threads, which may never come back, before it
    runs what was registered: https://docs.python.org/3/library/threading.html#thread-objects
    """
    end = End(status)
    at(hooks, end.finish)
    if limit != float("inf"):
        at(limit, end.leave)


def at(moment: float, call: Callable[[], None]) -> None:
    """Call `call` in a thread at a monotonic time, if the process has not ended before."""

    def wait() -> None:
        time.sleep(max(0.0, moment - time.monotonic()))
        call()

    # Where the system lets us start none, the process ends as its other threads let it.
    with suppress(RuntimeError):
        threading.Thread(target=wait, name="paddock-end", daemon=True).start()
