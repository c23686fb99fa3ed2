"""What the image itself says on stderr, while there is no logger of the servers' yet."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from paddock.errors import EXIT_CONFIG, Cause, Problem
from paddock.settings.environment import Resolution, resolve, value_of
from paddock.settings.parsers import LEVELS
from paddock.text.formats import IMAGE, formatter, text_of
from paddock.text.output import OutputHandler

SELDOM = 60.0
"""Seconds between two messages about what goes on and on."""
PYTHON = "python"
"""The logger of what Python would print by itself: exceptions that nobody catches."""

_early: logging.Handler | None = None
"""What writes until the servers' logger is there."""


def begin(environ: Mapping[str, str], whole: bool) -> None:
    """Log as `environ` asks for, until the whole configuration is known; see `log_on_stderr` for `whole`."""
    log_on_stderr(value_of("LOG_FORMAT", environ), value_of("LOG_LEVEL", environ), whole)


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


class ServerLogger(logging.Logger):
    """A logger that cannot be disabled.

    `dictConfig` and `fileConfig` disable every logger that they do not name, unless told not to, and applications call
    them: a failed start would have no reason, and there would be neither tracebacks nor an access log.
    https://docs.python.org/3/library/logging.config.html#dictionary-schema-details
    """

    @property
    def disabled(self) -> bool:
        """Always False."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        pass


def log_on_stderr(log_format: str, level: str, whole: bool) -> None:
    """Log on stderr until the servers' logger is there.

    `whole` says whether that is for everything, with what Python would print by itself, and not for the image's own
    messages alone.
    """
    global _early
    if _early is None:
        try:
            _early = OutputHandler(sys.stderr)
        except (OSError, ValueError):
            _early = logging.NullHandler()
    for name in (IMAGE, None) if whole else (IMAGE,):
        logging.getLogger(name).addHandler(_early)
    logging.getLogger(IMAGE).propagate = False
    protect(IMAGE)
    follow(log_format, level)
    if whole:
        catch()


def follow(log_format: str, level: str) -> None:
    """Change the format and the level of what `log_on_stderr` has begun, where that has not ended."""
    if _early:
        _early.setFormatter(formatter(log_format))
        for log in (logging.getLogger(IMAGE), logging.getLogger()):
            if _early in log.handlers:
                log.setLevel(LEVELS[level])


def end(log: logging.Logger) -> None:
    """Let a logger no longer write where `log_on_stderr` said."""
    if _early:
        log.removeHandler(_early)


def protect(*names: str) -> None:
    """See to it that no configuration of the application's disables the loggers `names`."""
    for name in names:
        logging.getLogger(name).__class__ = ServerLogger


# --- What Python prints by itself ---


def catch() -> None:
    """Log what Python would print on stderr: warnings, and exceptions that nobody catches or can catch."""
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    logging.captureWarnings(True)


def _uncaught(kind: Any, error: Any, trace: Any) -> None:
    logging.getLogger(PYTHON).critical("Uncaught exception: %s", kind.__name__, exc_info=(kind, error, trace))


def _uncaught_in_thread(args: Any) -> None:
    if args.exc_type is not SystemExit:
        thread = args.thread.name if args.thread else "that has ended"
        text = f"Uncaught exception in thread {thread}: {args.exc_type.__name__}"
        logging.getLogger(PYTHON).error("%s", text, exc_info=args[:3])


def _unraisable(args: Any) -> None:
    """Log an exception that cannot be raised where it happens, such as in a destructor."""
    what = args.err_msg or "Exception ignored in"
    if args.object is not None:
        what += f": {_shown(args.object)}"
    try:
        logging.getLogger(PYTHON).warning("%s", what, exc_info=(args.exc_type, args.exc_value, args.exc_traceback))
    except Exception:
        # While the interpreter ends there may be no locks any more: gevent's need a greenlet.
        sys.__unraisablehook__(args)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return text_of(value)
