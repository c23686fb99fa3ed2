"""As much of Python's version specifiers and dependency markers as installed metadata uses.

The `packaging` library does all of it, and would share the interpreter with the application, whose own pin of it
could be any. https://packaging.python.org/en/latest/specifications/dependency-specifiers/
"""

from __future__ import annotations

import ast
import operator
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf

VERSION = re.compile(
    r"v?(?:(?P<epoch>\d+)!)?(?P<release>\d+(?:\.\d+)*)"
    r"(?:[-_.]?(?P<pre>a|b|c|rc|alpha|beta|pre|preview)[-_.]?(?P<pre_n>\d*))?"
    r"(?P<post>-(?P<post_m>\d+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_n>\d*))?"
    r"(?P<dev>[-_.]?dev[-_.]?(?P<dev_n>\d*))?"
    r"(?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?"
)
PRE_RELEASES = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
SPECIFIER = re.compile(r"(===|~=|==|!=|<=|>=|<|>)\s*(\S+)")
REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[(?P<extras>[^\]]*)\])?\s*\(?(?P<specifier>[^;()@]*)\)?\s*(?:;(?P<marker>.*))?"
)

Key = tuple[int, tuple[int, ...], tuple[str, float], float, float]


@dataclass(frozen=True)
class Version:
    """A version as PEP 440 orders it; a local label (`+cpu`) does not count."""

    key: Key
    release: tuple[int, ...]
    pre_release: bool
    post_release: bool

    @classmethod
    def parse(cls, text: str) -> Version:
        """Return the version that `text` spells. Raises ValueError for one from before PEP 440."""
        match = VERSION.fullmatch(text.strip().lower())
        if not match:
            raise ValueError(f"{text!r} is no version")
        release = tuple(int(part) for part in match["release"].split("."))
        pre, post, dev = match["pre"], match["post"], match["dev"]
        if pre:
            pre_key = (PRE_RELEASES.get(pre, pre), float(match["pre_n"] or 0))
        else:
            pre_key = ("", 0.0) if dev and not post else ("~", 0.0)
        post_key = float(match["post_m"] or match["post_n"] or 0) if post else -1.0
        dev_key = float(match["dev_n"] or 0) if dev else inf
        key = (int(match["epoch"] or 0), _without_zeros(release), pre_key, post_key, dev_key)
        return cls(key, release, bool(pre or dev), bool(post))


def _without_zeros(release: tuple[int, ...]) -> tuple[int, ...]:
    while release and release[-1] == 0:
        release = release[:-1]
    return release


@dataclass(frozen=True)
class Requirement:
    """A line of Requires-Dist: `uvicorn[standard] >=0.54,<1 ; python_version >= "3.11"`."""

    name: str
    extras: frozenset[str]
    specifier: str
    marker: str

    @classmethod
    def parse(cls, line: str) -> Requirement:
        """Return the requirement. Raises ValueError for a line that is none, or that names an address."""
        match = REQUIREMENT.fullmatch(line.strip())
        if not match:
            raise ValueError(f"{line!r} is no requirement")
        extras = frozenset(normalize(extra) for extra in (match["extras"] or "").split(",") if extra.strip())
        return cls(match["name"], extras, "".join(match["specifier"].split()), (match["marker"] or "").strip())

    def allows(self, version: str) -> bool:
        """Tell whether `version`, a pre-release too, is one that the requirement takes. Raises ValueError."""
        return all(_allows(version, part) for part in self.specifier.split(",") if part)

    def applies(self, extra: str) -> bool:
        """Tell whether it counts on this interpreter when `extra` ("" for none) is wanted. Raises ValueError."""
        if not self.marker:
            return True
        try:
            tree = ast.parse(self.marker, mode="eval").body
        except SyntaxError:
            raise ValueError(f"{self.marker!r} is no marker") from None
        return _holds(tree, environment() | {"extra": normalize(extra)})


def normalize(name: str) -> str:
    """Return the name of a project or an extra as it is compared."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _allows(version: str, part: str) -> bool:
    match = SPECIFIER.fullmatch(part)
    if not match:
        raise ValueError(f"{part!r} is no version specifier")
    compare, wanted = match.groups()
    if compare == "===":
        return version.lower() == wanted.lower()
    have = Version.parse(version)
    if compare in ("==", "!=") and wanted.endswith(".*"):
        return _starts_with(have, Version.parse(wanted[:-2])) == (compare == "==")
    limit = Version.parse(wanted)
    if compare == "~=":
        return have.key >= limit.key and _starts_with(have, limit, len(limit.release) - 1)
    same_release = _without_zeros(have.release) == _without_zeros(limit.release)
    if compare == "<" and same_release and have.pre_release and not limit.pre_release:
        return False
    if compare == ">" and same_release and have.post_release and not limit.post_release:
        return False
    return bool(COMPARE[compare](have.key, limit.key))


COMPARE: Mapping[str, Callable[[Key, Key], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _starts_with(version: Version, prefix: Version, length: int | None = None) -> bool:
    wanted = prefix.release[:length]
    padded = version.release + (0,) * len(wanted)
    return version.key[0] == prefix.key[0] and padded[: len(wanted)] == wanted


def environment() -> dict[str, str]:
    """Return the marker variables of this interpreter."""
    return {
        "implementation_name": sys.implementation.name,
        "implementation_version": platform.python_version(),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    }


def _holds(node: ast.expr, values: Mapping[str, str]) -> bool:
    """Evaluate a marker: it is written as a Python expression of comparisons."""
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_holds(part, values) for part in parts)
        case ast.BoolOp(op=ast.Or(), values=parts):
            return any(_holds(part, values) for part in parts)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _compare(_text(left, values), op, _text(right, values))
    raise ValueError("no marker")


def _text(node: ast.expr, values: Mapping[str, str]) -> str:
    match node:
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.Constant(value=str(value)):
            return value
    raise ValueError("no marker")


OPERATORS: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}


def _compare(left: str, op: ast.cmpop, right: str) -> bool:
    if isinstance(op, ast.In | ast.NotIn):
        return (left in right) == isinstance(op, ast.In)
    compare = OPERATORS[type(op)]
    try:
        return _allows(left, compare + right)
    except ValueError:
        return left == right if compare == "==" else compare == "!=" and left != right
