"""What the image itself says on stderr, while there is no logger of the servers' yet."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from paddock.errors import EXIT_CONFIG, Cause, Problem
from paddock.settings.environment import Resolution, resolve, value_of
from paddock.start import log_config
from paddock.text.formats import IMAGE

SELDOM = 60.0
"""Seconds between two messages about what goes on and on."""


def begin(environ: Mapping[str, str], whole: bool) -> None:
    """Log as `environ` asks for, until the whole configuration is known; see `configuration.begin` for `whole`."""
    log_config.begin(value_of("LOG_FORMAT", environ), value_of("LOG_LEVEL", environ), whole)


def say(level: int, message: str, cause: Cause | None = None) -> None:
    """Write `message` on stderr, with the traceback of its cause. An error is said whatever LOG_LEVEL is."""
    logger = logging.getLogger(IMAGE)
    if level >= logging.ERROR or logger.isEnabledFor(level):
        logger.handle(logger.makeRecord(logger.name, level, __file__, 0, "%s", (message,), cause))


class Seldom:
    """Says something once a minute at most."""

    def __init__(self, say: Callable[..., Any]) -> None:
        """Take the method of a logger that says it."""
        self.say = say
        self.last = float("-inf")

    def __call__(self, message: str, *arguments: Any) -> None:
        """Log `message` with its `arguments`, unless something was said within the last minute."""
        now = time.monotonic()
        if now > self.last + SELDOM:
            self.last = now
            self.say(message, *arguments)


def log_stack(level: int, message: str, stack: str) -> None:
    """Log `message` in the servers' log, with `stack` as its stack."""
    logger = logging.getLogger("gunicorn.error")
    if logger.isEnabledFor(level):
        logger.handle(logger.makeRecord(logger.name, level, __file__, 0, "%s", (message,), None, sinfo=stack or None))


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
        begin(os.environ, whole=False)
        raise SystemExit(refuse(resolution.problems))
    return resolution
