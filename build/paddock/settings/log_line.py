"""ACCESS_LOG_FORMAT: the presets, and lines with Gunicorn's atoms.

https://gunicorn.org/reference/settings/#access_log_format
"""

from __future__ import annotations

import re

COMMON = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s'
COMBINED = f'{COMMON} "%(f)s" "%(a)s"'
DEFAULT_LINE = f"{COMBINED} %(L)s %({{x-request-id}}i)s"
"""The response time in seconds and the request's id, behind what every tool for access logs understands."""

JSON = "json"
PRESETS = {"default": DEFAULT_LINE, "common": COMMON, "combined": COMBINED, JSON: JSON}

EXPECTED = 'default, common, combined, json, or a line with Gunicorn\'s atoms, such as %(h)s "%(r)s" %(s)s %(L)s'

CONVERSION = re.compile(r"%(?:%|(?:\((?P<atom>[^()]*)\))?(?P<how>[-#0 +]*\d*(?:\.\d+)?[a-zA-Z]?))")
HEADER_ATOM = re.compile(r"\{(?P<name>[^{}]+)\}(?P<of>[ioe])")

ATOM_NAMES = tuple("hlutrsmUqHbBfaTDMLp")
"""What there is besides headers and variables; the functions for them are in `paddock.logs.atoms`."""

NUMBERS = frozenset("sBTDM")
"""The atoms that %d and its like can show."""


def preset(given: str) -> str:
    """Return the line that a preset's name stands for, `json` for that one, or else what was given."""
    return PRESETS.get(given.lower(), given)


def check(line: str) -> None:
    """Look at a line for ACCESS_LOG_FORMAT, or `json`.

    Raises:
        ValueError: with what is wrong.
    """
    if line != JSON:
        taken_apart(line)


def taken_apart(line: str) -> tuple[str, list[str]]:
    """Return a template for Python's `%`, without names, and the atoms for its values.

    Raises:
        ValueError: with what is wrong with `line`.
    """
    atoms: list[str] = []

    def positional(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%%"
        atom, how = match["atom"], match["how"]
        if not how or not how[-1].isalpha():
            raise ValueError(f"{match[0]!r} is not complete: a percent sign of its own is written %%")
        if atom is None:
            raise ValueError(f"{match[0]!r} names no atom, such as %(h)s; a percent sign of its own is written %%")
        if atom not in ATOM_NAMES and not HEADER_ATOM.fullmatch(atom):
            raise ValueError(
                f"there is no atom %({atom}){how[-1]}; there are {' '.join(ATOM_NAMES)}, and for headers and variables "
                "{name}i, {name}o and {name}e"
            )
        atoms.append(atom)
        try:
            ("%" + how) % (0 if atom in NUMBERS else "")
        except (ValueError, TypeError) as error:
            raise ValueError(f"{match[0]!r}: {error}") from None
        return "%" + how

    template = CONVERSION.sub(positional, line)
    if not atoms:
        raise ValueError("it holds no atom")
    return template, atoms
