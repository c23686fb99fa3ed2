"""RELOAD: a process that watches the source, and tells the arbiter which files have changed.

The kernel's events say when to look, and comparing with the last look says what has changed. So an event that gets
lost, as some file systems of desktops lose them, costs two seconds; a burst of events is one change; and directories
that are left out are not watched at all, however large they are.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from paddock.processes import fork
from paddock.start.sources import Scan, Sources
from paddock.text.formats import escape

QUIET = 0.2
"""Seconds without an event after which a change is taken to be complete: a checkout writes many files."""

LOOK_AGAIN = 2.0
"""Seconds after which it is looked without an event, too."""

NAMED = 3
"""Changed files that are named one by one."""

LONGEST_MESSAGE = 1024
"""Characters of a message, so that it is written to the pipe in one piece."""


class Watcher:
    """The process that watches, as the arbiter sees it."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.pid = 0
        self.pipe = -1

    def start(self) -> None:
        """Fork it. Before the arbiter listens, or it would hold copies of the listening sockets."""
        arbiter = os.getpid()
        scan = self.sources.scan()
        self.pipe, pipe = os.pipe()

        def run(mask: set[Any]) -> None:
            # A terminal sends these to every process; this one ends when the arbiter says so.
            for number in (signal.SIGINT, signal.SIGQUIT):
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for changed in changes(self.sources, scan, lambda: os.getppid() == arbiter):
                os.write(pipe, named(changed).encode("utf-8", "backslashreplace"))

        self.pid = fork(run)
        os.close(pipe)
        os.set_blocking(self.pipe, False)

    def changed(self) -> str:
        """Return, in words, which files have changed since the last call; nothing where none has.

        Raises:
            EOFError: when the process has ended.
        """
        try:
            message = os.read(self.pipe, 65536)
        except BlockingIOError:
            return ""
        if not message:
            raise EOFError
        return message.decode(errors="replace").strip().replace("\n", ", ")

    def stop(self) -> None:
        """End it."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)


def changes(sources: Sources, scan: Scan, go_on: Callable[[], bool]) -> Iterator[list[str]]:
    """Yield the files that have changed since `scan`, each time that some have, until `go_on` says no."""
    while go_on():
        for _ in _times_to_look(scan.directories):
            before, scan = scan, sources.scan()
            if changed := scan.changed_since(before):
                yield changed
            if scan.directories != before.directories or not go_on():
                break


def _times_to_look(directories: Iterable[str]) -> Iterator[object]:
    """Yield after events in `directories`, and every LOOK seconds."""
    import watchfiles  # 20 ms, which the arbiter does without

    # It logs the number of events as information.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    try:
        # Not what is below them: that would be node_modules, too.
        yield from watchfiles.watch(
            *directories,
            recursive=False,
            watch_filter=None,
            step=int(QUIET * 1000),
            rust_timeout=int(LOOK_AGAIN * 1000),
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
    except (OSError, RuntimeError):
        # One of them is gone already, or the kernel's limit of watches is reached.
        time.sleep(LOOK_AGAIN)
        yield None


def named(changed: list[str]) -> str:
    """Return a line that names the files `changed`, as seen from the working directory."""
    here = os.path.join(os.getcwd(), "")
    names = [escape(path.removeprefix(here)) for path in changed]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])[:LONGEST_MESSAGE]}{more}\n"


def leaving_it_to_the_arbiter(post_fork: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Return Gunicorn's `post_fork` hook, extended to keep a worker from watching by itself.

    It writes no bytecode either: that is looked up by the second of a change, so a file that is saved twice in one
    would be the older one (https://docs.python.org/3/reference/import.html#pyc-invalidation), and what a container
    leaves in a bind mount belongs to somebody else.
    """

    def hook(arbiter: Any, worker: Any) -> None:
        if worker.cfg.reload:
            worker.cfg.set("reload", False)
            sys.dont_write_bytecode = True
        post_fork(arbiter, worker)

    return hook
