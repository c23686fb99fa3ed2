"""RELOAD: which files matter, and what of them has changed since the last look."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

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
