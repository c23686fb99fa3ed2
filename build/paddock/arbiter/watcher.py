"""RELOAD: a process that watches the source, and tells the arbiter which files have changed.

The kernel's events say when to look, and comparing with the last look says what has changed. So an event that gets
lost, as some file systems of desktops lose them, costs two seconds; a burst of events is one change; and directories
that are left out are not watched at all, however large they are.
"""

from __future__ import annotations

import fnmatch
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from paddock.processes import fork
from paddock.text.formats import escape

QUIET = 0.2
"""Seconds without an event after which a change is taken to be complete: a checkout writes many files."""

LOOK = 2.0
"""Seconds after which it is looked without an event, too."""

NAMED = 3
"""Changed files that are named one by one."""

LONGEST = 1024
"""Characters of a message, so that it is written to the pipe in one piece."""

UNWATCHED = ("__pycache__", "node_modules")
"""Directories that hold no source, beside hidden ones and virtual environments."""

ALWAYS = ("*.py",)


@dataclass(frozen=True)
class Sources:
    """The files that matter: what is below `directories`, matches `ALWAYS` or `includes`, and none of `excludes`.

    A pattern is for the end of a path, from a slash on: `*.html`, `templates/*`. Names that start with a dot are
    matched by patterns that do, as in a shell. A directory that matches one of `excludes` is left out with its files.
    """

    directories: tuple[str, ...]
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()

    @classmethod
    def of(cls, cfg: Any) -> Sources:
        """Return those that Gunicorn's configuration `cfg` names."""
        return cls(
            tuple(cfg.reload_dirs or [cfg.chdir]), tuple(cfg.reload_includes or ()), tuple(cfg.reload_excludes or ())
        )

    def scan(self) -> Scan:
        """Look at everything. What cannot be read, or goes away meanwhile, is not there."""
        scan = Scan({}, {})
        wanted = _Names((*ALWAYS, *self.includes))
        unwanted = _pattern(self.excludes)
        pending = [(path, _inode(path)) for path in self.directories]
        while pending:
            directory, inode = pending.pop()
            entries = _entries(directory)
            if "pyvenv.cfg" in entries and directory not in self.directories:
                continue
            scan.directories[directory] = inode
            for name, entry in entries.items():
                with suppress(OSError):
                    if unwanted.fullmatch(entry.path):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if not name.startswith(".") and name not in UNWATCHED:
                            pending.append((entry.path, entry.inode()))
                    elif wanted.match(entry):
                        state = entry.stat()
                        scan.files[entry.path] = (state.st_mtime_ns, state.st_size)
        return scan


@dataclass(frozen=True)
class Scan:
    """What was there: each file with its time and size, each directory with its inode."""

    files: dict[str, tuple[int, int]]
    directories: dict[str, int]

    def changed_since(self, before: Scan) -> list[str]:
        """Return the files that are new, other or gone."""
        return sorted({path for path, _ in self.files.items() ^ before.files.items()})


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
    # Only here, because it is slow to import and the arbiter can do without.
    import watchfiles

    # It logs the number of events as information.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    try:
        # Not what is below them: that would be node_modules, too.
        yield from watchfiles.watch(
            *directories,
            recursive=False,
            watch_filter=None,
            step=int(QUIET * 1000),
            rust_timeout=int(LOOK * 1000),
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
    except (OSError, RuntimeError):
        # One of them is gone already, or the kernel's limit of watches is reached.
        time.sleep(LOOK)
        yield None


def named(changed: list[str]) -> str:
    """Return a line that names the files `changed`, as seen from the working directory."""
    here = os.path.join(os.getcwd(), "")
    names = [escape(path.removeprefix(here)) for path in changed]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])[:LONGEST]}{more}\n"


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


class _Names:
    """Matches the entries of directories."""

    def __init__(self, patterns: Iterable[str]) -> None:
        hidden = [pattern for pattern in patterns if os.path.basename(pattern).startswith(".")]
        self.hidden = _pattern(hidden)
        self.visible = _pattern([pattern for pattern in patterns if pattern not in hidden])

    def match(self, entry: os.DirEntry[str]) -> bool:
        pattern = self.hidden if entry.name.startswith(".") else self.visible
        return bool(pattern.fullmatch(entry.path))


def _pattern(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return what matches paths that one of `patterns` is for."""
    expressions = (f"(?:.*/)?{fnmatch.translate(os.path.normpath(pattern))}" for pattern in patterns)
    return re.compile("|".join(expressions) or "(?!)")


def _entries(directory: str) -> dict[str, os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return {entry.name: entry for entry in entries}
    except OSError:
        return {}


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0
