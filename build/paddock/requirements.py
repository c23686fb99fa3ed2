"""Pins of the application that the server cannot work with.

The application's packages come first on `sys.path`, the server's last. Where both have a distribution, the
application's wins, and may be one that the server's other packages were never made for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from paddock.errors import Problem

if TYPE_CHECKING:
    from importlib.metadata import Distribution

    from paddock.versions import Requirement

ROOT = "paddock"
"""The distribution whose requirements are the ranges that the server supports."""


def conflicts(server: Path, paths: Sequence[str]) -> list[Problem]:
    """Check every requirement of the server, as far as it reaches, against the distributions that are imported.

    `server` is the directory of the server's packages, `paths` is `sys.path`. The requirements are those that the
    distributions declare themselves, from Paddock's own on, whoever installed each. Where an extra's package is not
    there, none is needed: Uvicorn uses what it finds.

    Costs a directory listing when the application has none of the server's distributions.
    """
    before = list(_before(server, paths))
    if not _names([str(server)]) & _names(before):
        return []
    return list(_Check(server, [*before, str(server)]).problems())


def _before(server: Path, paths: Iterable[str]) -> Iterator[str]:
    """The directories that come before the server's; nothing behind those can win."""
    for path in paths:
        if Path(path) == server:
            return
        yield path or "."


def _names(directories: Iterable[str]) -> set[str]:
    """The normalized names of the distributions in the directories, from the names of their metadata alone."""
    names = set()
    for directory in directories:
        try:
            entries = os.listdir(directory)
        except OSError:
            # A zip file, or a directory that is not there: both are usual on sys.path.
            continue
        names |= {_normalize(entry) for entry in entries if entry.endswith((".dist-info", ".egg-info"))}
    return names


def _normalize(metadata: str) -> str:
    """`typing_extensions-4.16.0.dist-info` as `typing-extensions`.

    https://packaging.python.org/en/latest/specifications/recording-installed-packages/#the-dist-info-directory
    """
    return re.sub(r"[-_.]+", "-", metadata.rsplit(".", 1)[0].split("-")[0]).lower()


class _Check:
    """One walk through the requirements of the server."""

    def __init__(self, server: Path, paths: list[str]) -> None:
        self._server = server
        self._paths = paths
        self._seen: set[tuple[str, str]] = set()

    def problems(self) -> Iterator[Problem]:
        # An application may be called like this project, so this one is never looked up among its packages.
        root = _find(ROOT, [str(self._server)])
        if root is not None:
            yield from self._walk(root, "")

    def _walk(self, distribution: Distribution, extra: str) -> Iterator[Problem]:
        """Check what one distribution needs for one of its extras ("" for none), and what that needs in turn."""
        key = (distribution.name, extra)
        if key in self._seen:
            return
        self._seen.add(key)
        for requirement in _requirements(distribution, extra):
            found = _find(requirement.name, self._paths)
            if found is None:
                if not extra:
                    yield Problem(requirement.name, self._missing(distribution, requirement))
            elif not _satisfies(found, requirement):
                yield Problem(f"{found.name} {found.version}", self._unfit(distribution, requirement, found))
            else:
                for needed in ("", *sorted(requirement.extras)):
                    yield from self._walk(found, needed)

    def _unfit(self, by: Distribution, requirement: Requirement, found: Distribution) -> str:
        wanted = f"{requirement.name}{requirement.specifier}"
        if self._is_server(found):
            return (
                f"part of Paddock's server; {by.name} {by.version}, installed by the application in {_where(by)}, "
                f"needs {wanted}: add that to the application's requirements, or remove its pin of {by.name}"
            )
        return (
            f"installed by the application in {_where(found)}; {self._needing(by)} needs {wanted}: "
            "pin one of those or remove the pin"
        )

    def _missing(self, by: Distribution, requirement: Requirement) -> str:
        wanted = f"{requirement.name}{requirement.specifier}"
        return f"not installed; {self._needing(by)} needs {wanted}: add that to the application's requirements"

    def _needing(self, by: Distribution) -> str:
        if not self._is_server(by):
            return f"{by.name} {by.version}, installed by the application too,"
        return "Paddock's server" if by.name == ROOT else f"{by.name} {by.version} of Paddock's server"

    def _is_server(self, distribution: Distribution) -> bool:
        return _where(distribution) == self._server


def _find(name: str, paths: list[str]) -> Distribution | None:
    """The distribution of that name that is imported: the first one on the paths whose metadata can be read."""
    from importlib.metadata import distributions

    return next((found for found in distributions(name=name, path=paths) if _is_whole(found)), None)


def _is_whole(distribution: Distribution) -> bool:
    """Whether name and version can be read: an interrupted installation leaves a directory without them."""
    try:
        return "Name" in distribution.metadata and "Version" in distribution.metadata
    except (OSError, TypeError):
        # What a missing file raises differs between versions of Python.
        return False


def _satisfies(distribution: Distribution, requirement: Requirement) -> bool:
    try:
        return requirement.allows(distribution.version)
    except ValueError:
        # A version from before PEP 440 is none that the server was made for.
        return False


def _where(distribution: Distribution) -> Path:
    return Path(str(distribution.locate_file("")))


def _requirements(distribution: Distribution, extra: str) -> Iterator[Requirement]:
    """What a distribution needs on this Python for one of its extras; for "" what it needs in any case."""
    from paddock.versions import Requirement

    for line in distribution.requires or []:
        try:
            requirement = Requirement.parse(line)
            always = requirement.applies("")
            wanted = not always and requirement.applies(extra) if extra else always
        except ValueError:
            # A requirement by address, which has no versions to check, or a syntax from before PEP 508.
            continue
        if wanted:
            yield requirement
