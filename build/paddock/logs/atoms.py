"""ACCESS_LOG_FORMAT: Gunicorn's atoms, compiled once into a function from a record to its line.

https://gunicorn.org/reference/settings/#access_log_format
"""

from __future__ import annotations

import base64
import binascii
import os
import time
from collections.abc import Callable
from typing import Any

from paddock.http.record import Record
from paddock.settings.log_line import HEADER_ATOM, taken_apart
from paddock.text.formats import escape

AtomFunction = Callable[["Record"], Any]


def local_time(_: Record) -> str:
    """Return the time as Apache writes it."""
    now = int(time.time())
    if now != clock.second:
        clock.second, clock.text = now, time.strftime("[%d/%b/%Y:%H:%M:%S %z]", time.localtime(now))
    return clock.text


class WallClock:
    """The time of the last line: making it anew for each would cost more than the rest of the line."""

    second = 0
    text = ""


clock = WallClock()


def readable(value: str) -> str:
    """Return what a client has sent, of which each character is a byte, as text: it nearly always is UTF-8."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        # The application's own, in a header or a variable.
        return value.encode("utf-8", "backslashreplace").decode()


def text(value: str | None) -> str:
    """Return what a client has sent as it stands in a line: `-` for nothing, else without what could forge a line."""
    return escape(readable(value)) if value else "-"


def user(record: Record) -> str:
    """Return the user's name in basic authentication; a space in it would shift the fields that follow."""
    scheme, _, credentials = (record.field("authorization") or "").partition(" ")
    if scheme.lower() != "basic":
        return "-"
    try:
        name, colon, _ = base64.b64decode(credentials.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return "-"
    return text(name.decode("latin-1")).replace(" ", "\\u0020") if colon else "-"


def request_line(record: Record) -> str:
    """Return the request line, as the client has sent it; `-` for what was none."""
    return text(f"{record.method} {record.target} {record.protocol}") if record.method else "-"


ATOMS: dict[str, AtomFunction] = {
    "h": lambda record: text(record.client),
    "l": lambda record: "-",
    "u": user,
    "t": local_time,
    "r": request_line,
    "s": lambda record: record.status,
    "m": lambda record: text(record.method),
    "U": lambda record: text(record.path),
    "q": lambda record: escape(readable(record.query)),
    "H": lambda record: text(record.protocol),
    "b": lambda record: record.sent or "-",
    "B": lambda record: record.sent,
    "f": lambda record: text(record.field("referer")),
    "a": lambda record: text(record.field("user-agent")),
    "T": lambda record: int(record.seconds),
    "D": lambda record: int(record.seconds * 1_000_000),
    "M": lambda record: int(record.seconds * 1000),
    "L": lambda record: f"{record.seconds:.6f}",
    "p": lambda record: f"<{os.getpid()}>",
}


def function_of(atom: str) -> AtomFunction | None:
    """Return the function for the atom of a name; None if there is no such atom."""
    if found := ATOMS.get(atom):
        return found
    if not (match := HEADER_ATOM.fullmatch(atom)):
        return None
    name = match["name"]
    lower = name.lower()
    match match["of"]:
        case "i":
            return lambda record: text(record.field(lower))
        case "o":
            return lambda record: text(record.answered(lower))
    upper = name.upper()

    def variable(record: Record) -> str:
        environ = record.environ()
        value = environ.get(name, environ.get(upper))
        return "-" if value is None else escape(readable(str(value)))

    return variable


def compiled(line: str) -> tuple[str, tuple[AtomFunction, ...]]:
    """Return a template for Python's `%`, without names, and the functions for its values.

    Raises:
        ValueError: with what is wrong with `line`.
    """
    template, atoms = taken_apart(line)
    return template, tuple(function for atom in atoms if (function := function_of(atom)))
