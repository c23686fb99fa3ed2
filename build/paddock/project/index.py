"""Which wheels an index has of what requirements pin: they do not say it themselves, as lock files do."""

from __future__ import annotations

import os
import re
import subprocess
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from paddock.project.locked import Locked, tags

PYPI = "https://pypi.org/simple"

OLDEST = "3.12"
"""The Python that is asked for: old pins know no newer one."""

ANSWERING = 5.0
"""Seconds that a page may take."""

RESOLVING = 60.0
"""Seconds that uv may take."""

AT_ONCE = 16
"""How many pages are read at once."""


class Index:
    """An index of packages at `url`, by default the one that uv and pip are told of in the environment.

    Where requirements name one of their own, that one is asked: what they pin may be nobody else's business.

    https://packaging.python.org/en/latest/specifications/simple-repository-api/
    """

    def __init__(self, url: str = "") -> None:
        self.url = (url or os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or PYPI).rstrip("/")

    @property
    def host(self) -> str:
        """Where it is."""
        return urlsplit(self.url).hostname or self.url

    def locked(self, file: Path, text: str) -> list[Locked]:
        """Return what is installed by a file of requirements, all of which say `text`, with its wheels.

        Raises:
            OSError: The index does not answer.
        """
        if named := re.search(r"^(?:-i|--index-url)[ =]\s*(\S+)", text, re.MULTILINE):
            self.url = named[1].rstrip("/")
        pins = pinned(text)
        if not pins:
            return []
        self.page(next(iter(pins)))
        pins = resolved(file) or pins
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(self.wheels, pins, pins.values()))

    def page(self, name: str) -> str:
        """Return the page of a package, as HTML or JSON; nothing when there is none."""
        request = urllib.request.Request(  # noqa: S310 (the address is the user's)
            f"{self.url}/{name}/", headers={"Accept": "application/vnd.pypi.simple.v1+json, text/html;q=0.1"}
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWERING) as answer:  # noqa: S310
                return str(answer.read().decode(errors="replace"))
        except HTTPError:
            return ""

    def wheels(self, name: str, version: str) -> Locked:
        """Return a release of a package; one that the index does not know has no wheel."""
        try:
            page = self.page(name)
        except OSError:
            page = ""
        files = {file for file in re.findall(r"[\w.+!-]+\.whl\b", page) if file.split("-")[1:2] == [version]}
        return Locked(name, tags(files))


def pinned(text: str) -> dict[str, str]:
    """Return the version of each package that lines of requirements pin."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        try:
            requirement = Requirement(re.split(r"\s#|\s--|\s\\", line, maxsplit=1)[0].strip())
        except InvalidRequirement:
            continue
        exact = re.fullmatch(r"===?([^*]+)", str(requirement.specifier))
        marker = requirement.marker
        if exact and (not marker or marker.evaluate({"python_version": OLDEST, "python_full_version": f"{OLDEST}.0"})):
            found[canonicalize_name(requirement.name)] = exact[1]
    return found


def resolved(file: Path) -> dict[str, str]:
    """Return what uv would install for a file of requirements; nothing where there is no uv, or it cannot tell."""
    command = ["uv", "pip", "compile", "--quiet", "--no-cache", "--no-header", "--no-annotate"]
    try:
        done = subprocess.run(  # noqa: S603 (nothing of it is a stranger's)
            [*command, "--python-version", OLDEST, file.name],
            cwd=file.parent,
            capture_output=True,
            text=True,
            timeout=RESOLVING,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return pinned(done.stdout)
