"""How a record looks: a line for people, or an object for machines."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import Any

from paddock.ids import REQUEST_ID

NAMES = {"gunicorn.error": "gunicorn", "uvicorn.error": "uvicorn"}
"""Loggers whose name would look like a severity."""

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}
"""What every record has; anything else was given by the caller as `extra`."""


def iso(seconds: float) -> str:
    """Return a time, in seconds since the epoch, as ISO 8601 with milliseconds and the local zone's offset."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds")


class TextFormatter(logging.Formatter):
    """A line for people: time, level, process, logger, message; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        record.message = f"{iso(record.created)} [{record.levelname}] [{record.process}] {name(record)}: "
        text = record.message + record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        if record.stack_info:
            text += "\n" + self.formatStack(record.stack_info)
        return text


class JsonFormatter(logging.Formatter):
    """A line for machines: one JSON object with time, level, logger, pid, message, `exception` and any extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        fields: dict[str, Any] = {
            "time": iso(record.created),
            "level": record.levelname.lower(),
            "logger": name(record),
            "pid": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        if request_id := REQUEST_ID.get():
            fields["request_id"] = request_id
        fields |= {key: value for key, value in vars(record).items() if key not in STANDARD and key not in fields}
        return json.dumps(fields, default=str)


def name(record: logging.LogRecord) -> str:
    """Return the name of the record's logger as the log shows it."""
    return NAMES.get(record.name, record.name)


FORMATTERS: dict[str, type[logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}


def formatter(log_format: str) -> logging.Formatter:
    """Return the formatter for a value of LOG_FORMAT."""
    return FORMATTERS[log_format]()


def escape(text: str) -> str:
    """Return `text` so that it can neither end the line nor the quotes it stands in."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return json.dumps(text)[1:-1]
