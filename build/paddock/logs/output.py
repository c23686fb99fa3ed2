"""Where lines go: files and the container's output, neither of which may hold up a request."""

from __future__ import annotations

import logging
import os
import select
import sys
from contextlib import suppress
from typing import TextIO

OUTPUT_PATIENCE = 1.0
"""Seconds that a line of the log waits for somebody to read the output before lines are lost."""


class _Failing(logging.Handler):
    """Says once that the log cannot be written, where Python's own handlers print a traceback for each line."""

    failed = ""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say what went wrong with `record`, unless it is what went wrong with the one before."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        if self.failed != (reason := error.strerror or type(error).__name__):
            self.failed = reason
            with suppress(OSError, ValueError):
                print(
                    f"paddock: error: the log cannot be written, lines are lost: {reason}", file=sys.stderr, flush=True
                )


class FileHandler(_Failing, logging.FileHandler):
    """Appends to a file; a full disk loses lines, and nothing else."""


class OutputHandler(_Failing, logging.StreamHandler[TextIO]):
    """Writes to the container's output, and never waits for long when nobody reads that: it would hold up requests.

    Each write is of at most PIPE_BUF bytes, so that a pipe that can be written takes it whole.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.descriptor = stream.fileno()
        self.writable = select.poll()
        self.writable.register(self.descriptor, select.POLLOUT)
        self.blocked = False
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or lose it when the output takes none."""
        try:
            line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
            if self.lost and self.is_writable():
                lost, self.lost = self.lost, 0
                self.write(f"paddock: warning: {lost} lines of the log are lost, nobody read it\n".encode())
            if not self.write(line):
                self.lost += 1
        except Exception:
            self.handleError(record)

    def write(self, line: bytes) -> bool:
        """Write `line`; return whether all of it was taken."""
        for start in range(0, len(line), select.PIPE_BUF):
            if not self.is_writable():
                return False
            os.write(self.descriptor, line[start : start + select.PIPE_BUF])
        return True

    def is_writable(self) -> bool:
        """Tell whether a write would go through at once; wait a little for that, unless it was in vain before."""
        self.blocked = not self.writable.poll(0 if self.blocked else OUTPUT_PATIENCE * 1000)
        return not self.blocked


def replaced(handler: logging.Handler) -> logging.Handler:
    """Return the image's own handler in place of one of Gunicorn's; any other is returned as it is."""
    if type(handler) is logging.FileHandler:
        handler.close()
        return FileHandler(handler.baseFilename)
    if type(handler) is logging.StreamHandler:
        try:
            return OutputHandler(handler.stream)
        except (OSError, ValueError):
            return handler
    return handler
