"""What a lock file says of its packages: their wheels, and whether they come from git or a folder of the project."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

ANY = "any"
"""The platform of a wheel that has nothing compiled."""


@dataclass
class Locked:
    """A package: uv, Poetry and PDM write the same things under different names."""

    name: str
    tags: set[Tag] = field(default_factory=set)
    """Of the wheels that Linux could use."""
    git: bool = False
    local: bool = False

    def has_wheel(self, python: str) -> bool:
        """Tell whether it need not be compiled for a Python such as 3.14: it has a wheel, or has them for nobody."""
        return not self.tags or any(_fits(tag, python) for tag in self.tags)


def read(packages: Iterable[dict[str, Any]]) -> list[Locked]:
    """Return what the entries of a lock file say."""
    return [_read(each) for each in packages]


def _read(entry: dict[str, Any]) -> Locked:
    source = entry.get("source", {})
    kind = source.get("type", "")
    files = [each.get("file") or each.get("url", "") for each in [*entry.get("files", []), *entry.get("wheels", [])]]
    return Locked(
        canonicalize_name(entry["name"]),
        tags(file.rpartition("/")[2] for file in files if file.endswith(".whl")),
        git="git" in source or "git" in entry or kind == "git",
        # The project itself is editable, or virtual, at ".".
        local=kind == "directory" or any(source.get(key, ".") != "." for key in ("directory", "editable", "virtual")),
    )


def tags(wheels: Iterable[str]) -> set[Tag]:
    """Return the tags of wheels, by their names, that Linux could use."""
    return {tag for wheel in wheels for tag in _tags(wheel) if tag.platform == ANY or "manylinux" in tag.platform}


def _tags(file: str) -> Iterable[Tag]:
    try:
        return parse_wheel_filename(file.replace("%2B", "+"))[3]
    except InvalidWheelFilename:
        return ()


def _fits(tag: Tag, python: str) -> bool:
    """Tell whether a wheel with this tag is for a Python, on a machine like this one."""
    if tag.platform != ANY and not tag.platform.endswith(platform.machine()):
        return False
    minor = int(python.partition(".")[2])
    kind, own = tag.interpreter[:2], tag.interpreter[3:]
    if kind == "py":
        return tag.interpreter == "py3" or (own.isdigit() and int(own) <= minor)
    if kind != "cp" or not own.isdigit():
        return False
    return int(own) == minor if tag.abi != "abi3" else int(own) <= minor
