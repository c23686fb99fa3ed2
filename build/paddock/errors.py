"""How the image says that it cannot start, and with which exit status."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

EXIT_FAILURE = 1
"""The application, a start hook or a worker failed."""

EXIT_NO_ROOM = 75
"""The system has no room for a thread that a worker needs before it serves: EX_TEMPFAIL of sysexits.h."""

EXIT_CONFIG = 78
"""The configuration is wrong: EX_CONFIG of sysexits.h."""


LONGEST_VALUE = 200
"""How many characters of a wrong value an error shows."""


USER_PART = re.compile(r"(?<=://)[^\s/?#'\"]*@")
"""The name and the password of a user in a URL."""

NO_THREAD = "can't start new thread"
"""https://github.com/python/cpython/blob/3.14/Modules/_threadmodule.c, do_start_new_thread"""

Cause = tuple[type[BaseException], BaseException, TracebackType | None]
"""An exception as the functions of `logging` take it."""


def without_user(text: str) -> str:
    """Return `text` with its URLs without the name and the password of a user.

    https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1
    """
    return USER_PART.sub("", text)


def is_shortage(error: BaseException) -> bool:
    """Tell whether an exception says that the system has no room for another thread."""
    return isinstance(error, RuntimeError) and str(error) == NO_THREAD


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the configuration.

    `name` is what the user has to change (a variable, a file, a flag), `message` says what is wrong with it and what
    was expected, and `value`, where it may be shown, is what it holds.
    """

    name: str
    message: str
    value: str | None = None

    def __str__(self) -> str:
        return without_user(self._text())

    def _text(self) -> str:
        # A name may be a path that somebody gave.
        name = self.name if self.name.isprintable() else repr(self.name)
        if self.value is None:
            return f"{name}: {self.message}"
        if len(self.value) <= LONGEST_VALUE:
            return f"{name}={self.value!r}: {self.message}"
        shown = self.value[:LONGEST_VALUE] + "…"
        return f"{name}={shown!r}: {self.message.replace(self.value, shown)}"


class ConfigurationError(Exception):
    """Everything that is wrong with the configuration, found in one pass. Ends the container with 78."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class StartError(Exception):
    """The configuration is fine, and the start failed all the same. Ends the container with 1.

    The text names the cause and what mends it. `cause` is the exception of the application, where that failed, with
    the application's own part of its traceback; the user sees nothing else.
    """

    def __init__(self, text: str, cause: Cause | None = None) -> None:
        self.cause = cause
        super().__init__(text)


class Interrupted(SystemExit):
    """A signal arrived before the server was there to answer it: ends the container with 128 + its number."""

    def __init__(self, number: int = 15) -> None:
        super().__init__(128 + number)


def closed(path: str, directory: str) -> str | None:
    """Return what to do about a file that this user may not open or write; None for one outside of `directory`.

    `COPY` makes root the owner of what it copies: https://docs.docker.com/reference/dockerfile/#copy---chown---chmod
    """
    if not os.path.abspath(path).startswith(directory.rstrip("/") + "/"):
        return None
    user = f"{os.getuid()}:{os.getgid()}"
    reason = "as all that COPY brings is root's"
    return f"{path} is closed to user {user}, {reason}: use COPY --chown={user} in your Dockerfile"


def where(error: BaseException, path: str) -> str:
    """Return what went wrong in the configuration file at `path`, in one line with the line's number."""
    what = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {what}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f"line {frames[-1].lineno}: {what}" if frames else what
