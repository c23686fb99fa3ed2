"""What the image itself says on stderr, while there is no logger yet."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping

from paddock.environment import Resolution, resolve
from paddock.errors import EXIT_CONFIG, Problem
from paddock.logs.formats import JsonFormatter


def say(level: int, message: str, environ: Mapping[str, str] = os.environ) -> None:
    """Write `message` on stderr, in the format that LOG_FORMAT asks for."""
    if environ.get("LOG_FORMAT", "").strip().lower() == "json":
        severity = logging.getLevelName(level)
        record = logging.makeLogRecord({"name": "paddock", "msg": message, "levelno": level, "levelname": severity})
        message = JsonFormatter().format(record)
    else:
        severity = f"{logging.getLevelName(level).lower()}: " if level >= logging.WARNING else ""
        message = f"paddock: {severity}{message}"
    print(message, file=sys.stderr, flush=True)


def refuse(problems: Iterable[Problem]) -> int:
    """Say everything that is wrong with the configuration. Returns the exit status for that."""
    for problem in problems:
        say(logging.ERROR, str(problem))
    return EXIT_CONFIG


def settings_or_exit() -> Resolution:
    """Return the settings of the environment, for `gunicorn_conf.py`.

    Raises:
        SystemExit: with 78 when one is wrong, after saying which.
    """
    resolution = resolve(os.environ)
    if resolution.problems:
        raise SystemExit(refuse(resolution.problems))
    return resolution
