"""How a record looks: a line for people, or an object for machines. Neither lets a message forge another."""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

NAMES = {"gunicorn.error": "gunicorn", "uvicorn.error": "uvicorn"}
"""Loggers whose name would look like a severity."""

IMAGE = "paddock"
"""The image's own logger, for what it says on stderr whatever the servers' log is."""

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; anything else was given by the caller as `extra`."""

CONTROL = re.compile("[\x00-\x08\n-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What would end a line, move the terminal's cursor, turn the writing direction, or cannot be encoded; not the tab."""

TRACEBACK = re.compile(r"^[ +|]*(?:Exception Group )?Traceback \(most recent call last\):$", re.MULTILINE)

INDENT = "  "
"""What the lines of a traceback begin with, so that none looks like an event."""

DEEPEST = 20
"""Levels of nesting of an extra field that are written."""


def iso(seconds: float) -> str:
    """Return a time, in seconds since the epoch, as ISO 8601 with milliseconds and the local zone's offset."""
    second, zone = _second(math.floor(seconds), time.timezone)
    return f"{second}.{int(seconds % 1 * 1000):03d}{zone}"


@lru_cache(maxsize=4)
def _second(seconds: int, _zone: int) -> tuple[str, str]:
    """Return what is the same for a whole second, which to make costs more than the rest of a line."""
    text = datetime.fromtimestamp(seconds).astimezone().isoformat()
    return text[:19], text[19:]


class TextFormatter(logging.Formatter):
    """A line for people: time, level, process, logger, message; a traceback follows on indented lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        message, *blocks = parts(record)
        if record.name in (IMAGE, "py.warnings"):
            # A list, or the line of code that the warning is about.
            message, _, rest = message.partition("\n")
            blocks.insert(0, rest)
        head = f"{iso(record.created)} [{record.levelname}] [{record.process}] {name(record)}: {message}"
        return "\n".join([one_line(head), *(indented(block) for block in blocks if block)])


class ObjectFormatter(logging.Formatter):
    """A line for machines: one JSON object with time, level, logger, pid, message, and any extra fields.

    `exception` and `stack` are there when the record has them. An extra field with one of these names gets an
    underscore behind it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        message, exception, stack = parts(record)
        fields: dict[str, Any] = {
            "time": iso(record.created),
            "level": record.levelname.lower(),
            "logger": name(record),
            "pid": record.process,
            "message": message,
        }
        fields |= {"exception": exception} if exception else {}
        fields |= {"stack": stack} if stack else {}
        fields |= self.context(record)
        own = STANDARD | {"color_message"} if record.name.startswith("uvicorn") else STANDARD
        for key, value in vars(record).items():
            if key not in own:
                fields[_free(str(key), fields)] = value
        return dumps(fields)

    def context(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what is known besides, for a subclass to say: the log knows the request that is being served."""
        return {}


def name(record: logging.LogRecord) -> str:
    """Return the name of the record's logger as the log shows it."""
    return NAMES.get(record.name, record.name)


FORMATTERS: dict[str, type[logging.Formatter]] = {"text": TextFormatter, "json": ObjectFormatter}


def formatter(log_format: str) -> logging.Formatter:
    """Return the formatter for a value of LOG_FORMAT."""
    return FORMATTERS[log_format]()


def parts(record: logging.LogRecord) -> tuple[str, str, str]:
    """Return a record's message, its exception's traceback and its stack; each is empty when there is none.

    Many log a traceback as their message, among them the frameworks whose lifespan failed: it counts as an exception.
    """
    message, exception = _message(record), _exception(record)
    if match := TRACEBACK.search(message):
        found = message[match.start() :].rstrip()
        message = message[: match.start()].rstrip() or found.rpartition("\n")[2].strip(" +|-")
        exception = f"{found}\n{exception}" if exception else found
    return message, exception, record.stack_info or ""


def _message(record: logging.LogRecord) -> str:
    """Return the message; one whose arguments do not fit must not be lost, and Python would print a traceback."""
    try:
        return record.getMessage().rstrip("\n")
    except Exception as error:
        place = f"{record.pathname}:{record.lineno}"
        return f"{text_of(record.msg)} with the arguments {text_of(record.args)} ({error!r} in {place})"


def _exception(record: logging.LogRecord) -> str:
    if record.exc_info and record.exc_info[0]:
        return logging.Formatter().formatException(record.exc_info)
    # As handlers for queues leave it.
    return record.exc_text or ""


def one_line(text: str) -> str:
    r"""Return `text` with control characters spelt as Python does: `\n`, `\x1b`, `\u2028`."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def indented(block: str) -> str:
    """Return the lines of `block`, indented."""
    return "\n".join(INDENT + one_line(line) for line in block.rstrip("\n").split("\n"))


def text_of(value: object) -> str:
    """Return `str(value)`, or what it is where that fails."""
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__} without text: {type(error).__name__}>"


def dumps(fields: Mapping[str, Any]) -> str:
    """Return `fields` as one line of JSON that every parser takes, whatever is in them."""
    try:
        line = json.dumps(fields, default=plain, allow_nan=False, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        line = json.dumps(plain(fields), ensure_ascii=False)
    return line if line.isascii() else CONTROL.sub(_json_escape, line)


def _json_escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    # Half a pair is no text: many parsers refuse the escape for it, so the escape itself is the text.
    return f"\\\\u{code:04x}" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"


def plain(value: Any, depth: int = 0, above: tuple[int, ...] = ()) -> Any:
    """Return what JSON has for `value`: text for what it has nothing for, which is NaN, infinity and objects.

    `depth` is how deep it is nested, `above` the ids of what it is nested in.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        # A number of more digits than Python converts has no decimal text: https://docs.python.org/3/library/sys.html
        return int(value) if value.bit_length() < 10_000 else hex(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if id(value) in above or depth == DEEPEST:
            return "…"
        return _plain_items(value, depth + 1, (*above, id(value)))
    return text_of(value)


def _plain_items(value: Any, depth: int, above: tuple[int, ...]) -> Any:
    try:
        if isinstance(value, Mapping):
            return {text_of(key): plain(item, depth, above) for key, item in value.items()}
        return [plain(item, depth, above) for item in value]
    except Exception:
        # Mappings may be objects that fail, and others change while they are looked at.
        return text_of(value)


def _free(key: str, fields: Mapping[str, Any]) -> str:
    """Return `key`, with underscores behind it until it is none of `fields`."""
    while key in fields:
        key += "_"
    return key


def escape(text: str) -> str:
    """Return `text` so that it can neither end the line nor the quotes it stands in."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return json.dumps(text)[1:-1]
