"""Turn the text of an environment variable into a value, or say what was expected.

A parser is an object with `expected`, a phrase that completes "expected …", and a call that takes the stripped,
non-empty text and returns the value. It raises ValueError for text it does not take; the error's own message, if it
has one, says more than `expected` could.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

MEBIBYTE = 1024 * 1024

LEVELS = {
    **{str(number): number for number in range(1, 101)},
    # 1: at 0 a server's logger would follow the root logger's, which the application may set to another.
    "notset": 1,
    "trace": 5,
    "debug": 10,
    "info": 20,
    "warning": 30,
    "error": 40,
    "critical": 50,
}
"""The numbers of the log levels, by their names in the configuration.

https://docs.python.org/3/library/logging.html#logging-levels, and https://uvicorn.dev/settings/#logging for `trace`
"""

LEVEL_NAMES = {str(number): name for name, number in LEVELS.items() if not name.isdigit()}
LEVEL_NAMES |= {"warn": "warning", "fatal": "critical", "0": "notset"}
"""What else each of them is called."""


class Parser(Protocol):
    """What the table of settings asks of a parser."""

    @property
    def expected(self) -> str:
        """A phrase that completes "expected …" in an error and names the type in the README's table."""

    def __call__(self, text: str) -> Any:
        """Return the value that `text` spells, or raise ValueError."""


class Rejected(ValueError):
    """A ValueError whose message is worth more to the user than the parser's `expected`."""


@dataclass(frozen=True)
class Text:
    """Any text, or one that matches a pattern."""

    expected: str = "text"
    pattern: str = ".*"

    def __call__(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text, re.DOTALL):
            raise ValueError(text)
        return text


@dataclass(frozen=True)
class Integer:
    """A whole number between two bounds, both included; `unit` is for the reader only."""

    least: int = 0
    most: int | None = None
    unit: str = ""

    @property
    def expected(self) -> str:
        kind = f"a whole number of {self.unit}" if self.unit else "a whole number"
        if self.most is None:
            return f"{kind}, {self.least} or more"
        return f"{kind} from {self.least} to {self.most}"

    def __call__(self, text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            raise ValueError(text)
        value = int(text)
        if value < self.least or (self.most is not None and value > self.most):
            raise ValueError(text)
        return value


@dataclass(frozen=True)
class Seconds:
    """A duration in seconds, with a fraction if need be, up to `most`; `none` is None where `optional`."""

    most: float = 86400
    optional: bool = False

    @property
    def expected(self) -> str:
        return f"seconds from 0 to {self.most:g}{', or none' if self.optional else ''}"

    def __call__(self, text: str) -> float | None:
        if self.optional and text.lower() == "none":
            return None
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or float(text) > self.most:
            raise ValueError(text)
        return float(text)


@dataclass(frozen=True)
class Size:
    """A number of bytes, with a unit if need be: `512MiB`, `1.5 GiB`, `500MB`. The value is in bytes."""

    least: int = 1

    @property
    def expected(self) -> str:
        return f"a size such as 512MiB or 2GiB, {self.least // MEBIBYTE} MiB or more"

    def __call__(self, text: str) -> int:
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?i?b?)", text.lower())
        if not match:
            raise ValueError(text)
        number, unit = match.groups()
        factor = (1024 if "i" in unit or not unit.endswith("b") else 1000) ** " kmgt".index(unit[:1].strip("b") or " ")
        value = float(number) * factor
        if not self.least <= value < 2**60:
            raise ValueError(text)
        return int(value)


@dataclass(frozen=True)
class Boolean:
    """A switch."""

    expected: str = "true or false"

    def __call__(self, text: str) -> bool:
        match text.lower():
            case "true" | "1" | "yes" | "on":
                return True
            case "false" | "0" | "no" | "off":
                return False
        raise ValueError(text)


@dataclass(frozen=True)
class Choice:
    """One of a few words, in any case."""

    choices: tuple[str, ...]

    @property
    def expected(self) -> str:
        *others, last = self.choices
        return f"{', '.join(others)} or {last}"

    def __call__(self, text: str) -> str:
        if text.lower() not in self.choices:
            raise ValueError(text)
        return text.lower()


@dataclass(frozen=True)
class Either:
    """A word that stands for itself, or what another parser takes."""

    word: str
    otherwise: Parser

    @property
    def expected(self) -> str:
        return f"{self.word}, or {self.otherwise.expected}"

    def __call__(self, text: str) -> Any:
        return self.word if text.lower() == self.word else self.otherwise(text)


@dataclass(frozen=True)
class Items:
    """A list, separated by commas."""

    item: Parser
    expected: str

    def __call__(self, text: str) -> list[Any]:
        parts = [part.strip() for part in text.split(",")]
        if not all(parts):
            raise Rejected("an item of the list is empty")
        return [self.item(part) for part in parts]


@dataclass(frozen=True)
class LogLevel:
    """A log level: a name of Python's or Uvicorn's, or a number. The value is a key of LEVELS, a name where it has one.

    In any case of letters, as Python's `logging` and Uvicorn do not agree on it.
    """

    expected: str = "debug, info, warning, error or critical, trace, notset, or a number from 0 to 100"

    def __call__(self, text: str) -> str:
        level = text.lower()
        if re.fullmatch(r"[0-9]{1,3}", level):
            level = str(int(level))
        level = LEVEL_NAMES.get(level, level)
        if level not in LEVELS:
            raise ValueError(text)
        return level


@dataclass(frozen=True)
class LogFile:
    """Where a log goes: `-` is the container's own output, `none` is nowhere (None), else a file to append to."""

    expected: str = "-, none, or the path of a file that can be written"

    def __call__(self, text: str) -> str | None:
        if text.lower() == "none":
            return None
        if text == "-":
            return text
        directory = os.path.dirname(os.path.abspath(text))
        if os.path.isdir(text):
            raise Rejected("is a directory")
        if not os.path.isdir(directory):
            raise Rejected(f"the directory {directory!r} does not exist")
        if not os.access(text if os.path.exists(text) else directory, os.W_OK):
            read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
            raise Rejected("is on a read-only file system" if read_only else f"cannot be written by user {os.getuid()}")
        return text


@dataclass(frozen=True)
class LogConfig:
    """A file with a dictionary for `logging.config.dictConfig`. The value is its absolute path."""

    expected: str = "the path of a .json, .toml or .py file that can be read"

    def __call__(self, text: str) -> str:
        if os.path.splitext(text)[1] not in (".json", ".toml", ".py"):
            raise ValueError(text)
        return os.path.abspath(ReadableFile()(text))


@dataclass(frozen=True)
class ReadableFile:
    """A file that is there and can be read."""

    expected: str = "the path of a file that can be read"

    def __call__(self, text: str) -> str:
        if os.path.isdir(text):
            raise Rejected("is a directory (which Docker creates when the source of a bind mount is missing)")
        try:
            os.stat(text)
        except PermissionError:
            raise Rejected(f"is in a directory that is closed to user {os.getuid()}") from None
        except OSError:
            raise Rejected("does not exist") from None
        if not os.access(text, os.R_OK):
            raise Rejected(f"cannot be read by user {os.getuid()}")
        return text


@dataclass(frozen=True)
class Directory:
    """A directory that is there and can be read. The value is its absolute path."""

    expected: str = "the path of a directory"

    def __call__(self, text: str) -> str:
        if not os.path.isdir(text):
            raise Rejected(f"{text!r} {'is not a directory' if os.path.exists(text) else 'does not exist'}")
        if not os.access(text, os.R_OK | os.X_OK):
            raise Rejected(f"{text!r} cannot be read by user {os.getuid()}")
        return os.path.abspath(text)


@dataclass(frozen=True)
class WritableDirectory:
    """A directory that is there and can be written."""

    expected: str = "the path of a directory that can be written"

    def __call__(self, text: str) -> str:
        if not os.path.isdir(text):
            raise Rejected("is not a directory" if os.path.exists(text) else "does not exist")
        if not os.access(text, os.W_OK | os.X_OK):
            raise Rejected(f"cannot be written by user {os.getuid()}")
        return text


LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path: https://man7.org/linux/man-pages/man7/unix.7.html"""


@dataclass(frozen=True)
class BindAddress:
    """An address to listen on, as Gunicorn spells them."""

    expected: str = "host:port, [IPv6]:port, unix:/path or fd://number"

    def __call__(self, text: str) -> str:
        if text.startswith("fd://"):
            Integer()(text.removeprefix("fd://"))
        elif text.startswith("unix:"):
            self._check_socket(text.removeprefix("unix:").replace("//", "/", 1))
        else:
            self._check_tcp(text)
        return text

    @staticmethod
    def _check_socket(path: str) -> None:
        directory = os.path.dirname(path)
        if not path.startswith("/") or os.path.isdir(path):
            raise ValueError(path)
        if len(os.fsencode(path)) > LONGEST_SOCKET:
            raise Rejected(f"a Unix socket's path may have {LONGEST_SOCKET} bytes")
        if not os.path.isdir(directory) or not os.access(directory, os.W_OK | os.X_OK):
            raise Rejected(f"the directory {directory!r} does not exist or cannot be written by user {os.getuid()}")

    @staticmethod
    def _check_tcp(text: str) -> None:
        match = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[A-Za-z0-9._-]*)):(?P<port>[0-9]+)", text)
        if not match:
            raise ValueError(text)
        if match["v6"]:
            ipaddress.IPv6Address(match["v6"])
        elif re.fullmatch(r"[0-9.]+", match["host"]):
            ipaddress.IPv4Address(match["host"])
        elif not match["host"]:
            raise ValueError(text)
        Port()(match["port"])


@dataclass(frozen=True)
class OwnAddress(BindAddress):
    """An address to listen on that is no descriptor which somebody hands over."""

    expected: str = "host:port, [IPv6]:port or unix:/path"

    def __call__(self, text: str) -> str:
        if text.startswith("fd://"):
            raise ValueError(text)
        return super().__call__(text)


@dataclass(frozen=True)
class Port(Integer):
    """A TCP port; 0 lets the kernel choose one."""

    most: int | None = 65535


@dataclass(frozen=True)
class TrustedProxies:
    """Addresses and networks whose forwarded headers are believed, or `*` alone.

    IPv4 entries are listed once more as IPv4-mapped IPv6, because that is how a socket bound to `[::]` reports an IPv4
    peer (https://datatracker.ietf.org/doc/html/rfc4291#section-2.5.5.2). The value is text, as Gunicorn takes it.
    """

    expected: str = "addresses and networks separated by commas, or * alone"

    def __call__(self, text: str) -> str:
        entries = [entry.strip() for entry in text.split(",") if entry.strip()]
        if not entries:
            raise ValueError(text)
        if "*" in entries:
            if len(entries) > 1:
                raise Rejected("* trusts everybody and cannot be mixed with addresses")
            return "*"
        networks = [self._network(entry) for entry in entries]
        mapped = [self._mapped(n) for n in networks if isinstance(n, ipaddress.IPv4Network)]
        return ",".join(dict.fromkeys(entries + mapped))

    @staticmethod
    def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        try:
            return ipaddress.ip_network(entry)
        except ValueError as error:
            raise Rejected(str(error)) from None

    @staticmethod
    def _mapped(network: ipaddress.IPv4Network) -> str:
        return f"::ffff:{network.network_address}/{96 + network.prefixlen}"


@dataclass(frozen=True)
class Headers:
    """HTTP headers, as a JSON object."""

    expected: str = 'a JSON object of header names and values, such as {"X-Frame-Options": "DENY"}'

    def __call__(self, text: str) -> list[tuple[str, str]]:
        headers = JsonObject()(text)
        for name, value in headers.items():
            if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
                raise ValueError(text)
            if re.search(r"[\r\n\0]", value) or not value.isascii():
                raise ValueError(text)
        return list(headers.items())


@dataclass(frozen=True)
class JsonObject:
    """A JSON object."""

    expected: str = "a JSON object"

    def __call__(self, text: str) -> dict[str, Any]:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError(text)
        return value


@dataclass(frozen=True)
class Checked:
    """What a function takes that raises ValueError for the rest."""

    expected: str
    function: Callable[[str], Any]

    def __call__(self, text: str) -> Any:
        return self.function(text)


def parse(parser: Parser, text: str, show: bool = True) -> Any:
    """Return the value that `text` spells for `parser`.

    Raises:
        ValueError: with a message that completes "NAME=text: …"; it holds nothing of the text unless `show`.
    """
    try:
        return parser(text)
    except (ValueError, RecursionError) as error:
        reason = f"{error}; " if show and isinstance(error, Rejected) else ""
        raise ValueError(f"{reason}expected {parser.expected}") from None


def nearest(name: str, known: Collection[str], edits: int) -> str | None:
    """Return the member of `known` that is at most `edits` edits away from `name`, the closest first, or None."""
    distances = sorted((_distance(name, other, edits), other) for other in known if other != name)
    return distances[0][1] if distances and distances[0][0] <= edits else None


def _distance(a: str, b: str, limit: int) -> int:
    """Damerau-Levenshtein distance (a swap of neighbours is one edit), or more than `limit` when it is larger."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    previous = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
        before, previous = previous, row
    return previous[-1]
