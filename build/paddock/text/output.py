"""Where lines go: files and the container's output, neither of which may hold up a request."""

from __future__ import annotations

import fcntl
import logging
import os
import select
import stat
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO
from weakref import WeakSet

OUTPUT_PATIENCE = 1.0
"""Seconds that a line of the log waits for somebody to read the output before lines are lost."""

ROOM = 256 * 1024
"""Bytes that a pipe is made to hold, which are four times what Linux gives it: the longest line that stays whole."""

LOOK = 0.001
"""Seconds between looks at whether a pipe has room for a long line."""


class _Own(logging.Handler):
    """Writes a record once, and says once that the log cannot be written.

    Python's own handlers write a record as often as the loggers on its way have them, and applications give theirs
    the server's; they print a traceback for each line that cannot be written.
    """

    failed = ""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.passed: WeakSet[logging.LogRecord] = WeakSet()

    def handle(self, record: logging.LogRecord) -> Any:
        """Take a record, unless it has been here before."""
        if record in self.passed:
            return False
        self.passed.add(record)
        return super().handle(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Say what went wrong with `record`, unless it is what went wrong with the one before."""
        error = sys.exc_info()[1]
        reason = (isinstance(error, OSError) and error.strerror) or repr(error)
        if self.failed != reason:
            self.failed = reason
            with suppress(Exception):
                line = self.remark(logging.ERROR, f"the log cannot be written, lines are lost: {reason}")
                OutputHandler(sys.stderr).write(line)

    def remark(self, level: int, message: str) -> bytes:
        """Return a line of the image's own, in this log's format."""
        return self.line(
            logging.makeLogRecord(
                {"name": "paddock", "levelno": level, "levelname": logging.getLevelName(level), "msg": message}
            )
        )

    def line(self, record: logging.LogRecord) -> bytes:
        """Return the line for `record`."""
        return f"{self.format(record)}\n".encode("utf-8", "backslashreplace")


class FileHandler(_Own, logging.FileHandler):
    """Appends to a file; a full disk loses lines, and nothing else."""

    def __init__(self, filename: str) -> None:
        super().__init__(filename, encoding="utf-8", errors="backslashreplace")


class OutputHandler(_Own, logging.StreamHandler[TextIO]):
    """Writes to the container's output, and never waits for long when nobody reads that: it would hold up requests.

    A line that a pipe has room for is written in one piece, so that those of other processes cannot get into it.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.descriptor = stream.fileno()
        self.writable = select.poll()
        self.writable.register(self.descriptor, select.POLLOUT)
        self.is_file = stat.S_ISREG(os.fstat(self.descriptor).st_mode)
        self.capacity = capacity(self.descriptor)
        self.blocked = False
        self.torn = False
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or lose it when the output takes none."""
        try:
            line = self.line(record)
            if self.lost and self.is_writable():
                text = f"{self.lost} lines of the log are lost, nobody read it"
                self.lost *= not self.write(self.remark(logging.WARNING, text))
            if not self.write(line):
                self.lost += 1
        except Exception:
            self.handleError(record)

    def write(self, line: bytes) -> bool:
        """Write `line`; return whether all of it was taken."""
        left = b"\n" + line if self.torn else line
        if self.is_file or not select.PIPE_BUF < len(left) <= self.capacity:
            return self.write_pieces(left, len(left) if self.is_file else select.PIPE_BUF)
        with self.turn() as deadline:
            return self.write_pieces(left, len(left) if self.has_room(len(left), deadline) else select.PIPE_BUF)

    def write_pieces(self, left: bytes, at_once: int) -> bool:
        """Write what is left of a line, so many bytes at once; return whether all of it was taken."""
        while left and self.is_writable():
            try:
                left = left[os.write(self.descriptor, left[:at_once]) :]
            except BlockingIOError:
                # Somebody who shares the output has set it so.
                break
            self.torn = bool(left)
        return not left

    def is_writable(self) -> bool:
        """Tell whether a write would go through at once; wait a little for that, unless it was in vain before."""
        self.blocked = not self.writable.poll(0 if self.blocked else OUTPUT_PATIENCE * 1000)
        return not self.blocked

    @contextmanager
    def turn(self) -> Iterator[float]:
        """Keep the long lines of other processes away, in which this one would find less room than there was.

        Yields the monotonic time until which to wait for room. Nobody waits longer than that for his turn, either.
        """
        deadline = time.monotonic() + (0 if self.blocked else OUTPUT_PATIENCE)
        # Locks belong to what was opened, and processes share what they have inherited.
        own = unblocked(self.descriptor)
        if own is None:
            yield deadline
            return
        try:
            while not locked(own) and time.monotonic() < deadline:
                time.sleep(LOOK)
            yield deadline
        finally:
            os.close(own)

    def fits(self, size: int) -> bool:
        """Tell whether a pipe has room for `size` bytes now, of which its pages may waste a half."""
        return size + 2 * waiting(self.descriptor) <= self.capacity

    def has_room(self, size: int, deadline: float) -> bool:
        """Tell whether `size` bytes are taken in one piece, at the monotonic time `deadline` at the latest.

        A pipe takes up to PIPE_BUF so, and more while it has room for it: https://man7.org/linux/man-pages/man7/pipe.7.html
        """
        while not self.fits(size):
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK)
        return True


def unblocked(descriptor: int) -> int | None:
    """Return a descriptor of the same pipe that does not block, or None where there is none to be had.

    Looking first whether a write would block is not enough where several processes write. And not blocking is not a
    matter of the descriptor, but of all that were made from it: other processes' too, hence the pipe is opened anew.
    """
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        pass
    return None


def capacity(descriptor: int) -> int:
    """Return how many bytes fit into a pipe, which is made larger where the system allows it; 0 for anything else."""
    try:
        own = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
    except OSError:
        return 0
    with suppress(OSError):
        return fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, ROOM) if own < ROOM else own
    return own


def locked(descriptor: int) -> bool:
    """Lock what a descriptor is of, unless somebody else has. Returns whether it is locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def waiting(descriptor: int) -> int:
    """Return how many bytes in a pipe or a socket have not been read."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)


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
