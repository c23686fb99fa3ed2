"""Lines that are written together, and never waited for: a batch of them costs one system call."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque

from paddock.text.output import LOOK, FileHandler, OutputHandler, unblocked

MOST_WAITING = 1024 * 1024
"""Bytes that wait for a reader, before lines are lost: some seconds of a busy worker."""

LAST_PATIENCE = 1.0
"""Seconds that the last lines of a process wait for a reader."""

PIECE = {OutputHandler: select.PIPE_BUF, FileHandler: 64 * 1024}
"""Bytes that are written at once, which no other process's come into: a pipe takes so many whole
(https://man7.org/linux/man-pages/man7/pipe.7.html), and a file what is appended to it, but that should not be huge."""


class Lines:
    """Lines for a handler of the image's, from any number of threads."""

    def __init__(self, handler: OutputHandler | FileHandler) -> None:
        self.handler = handler
        self.largest = PIECE[type(handler)]
        self.fresh: list[str] = []
        """Lines since the last `flush`, each with its end: append to it."""
        self.waiting: deque[bytes] = deque()
        self.bytes_waiting = 0
        self.lost = 0
        self.torn = False
        """Whether what was written last has no end."""
        self.lock = threading.Lock()
        self.own_descriptor = unblocked(handler.descriptor) if isinstance(handler, OutputHandler) else None

    def flush(self, patience: float = 0.0) -> None:
        """Write what there is; what the output does not take within `patience` seconds waits for the next call."""
        with self.lock:
            fresh, self.fresh = self.fresh, []
            if fresh:
                self.take("".join(fresh).encode("utf-8", "backslashreplace"), len(fresh))
            deadline = time.monotonic() + patience if patience else 0.0
            try:
                while self.waiting and (self.write() or (patience and self.wait(deadline))):
                    pass
            except Exception:
                self.lost += sum(piece.count(b"\n") for piece in self.waiting)
                self.clear()
                self.handler.handleError(NOTHING)

    def take(self, data: bytes, lines: int) -> None:
        """Put lines behind those that wait, in pieces that end with a line's end."""
        if self.bytes_waiting + len(data) > MOST_WAITING:
            self.lost += lines
            return
        if self.lost:
            lost = f"paddock: {self.lost} lines of the log are lost, nobody read it"
            data = self.handler.remark(logging.WARNING, lost) + data
            self.lost = 0
        if self.torn and not self.waiting:
            # The rest of that line is lost: the disk was full.
            data = b"\n" + data
        self.bytes_waiting += len(data)
        start = 0
        while len(data) - start > self.largest:
            end = data.rfind(b"\n", start, start + self.largest) + 1 or start + self.largest
            self.waiting.append(data[start:end])
            start = end
        self.waiting.append(data[start:])

    def write(self) -> bool:
        """Write the first piece; return whether the output took it, or a part of it."""
        piece = self.waiting[0]
        handler = self.handler
        if isinstance(handler, FileHandler):
            written = os.write(handler.stream.fileno(), piece) if handler.stream else len(piece)
        elif self.own_descriptor is not None:
            if not handler.fits(len(piece)):
                # The other half is for what the application prints: that would wait for a reader.
                return False
            try:
                written = os.write(self.own_descriptor, piece)
            except BlockingIOError:
                return False
        elif handler.writable.poll(0):
            written = os.write(handler.descriptor, piece)
        else:
            return False
        self.bytes_waiting -= written
        self.torn = not piece.endswith(b"\n", 0, written)
        if written == len(piece):
            self.waiting.popleft()
        else:
            self.waiting[0] = piece[written:]
        return True

    def wait(self, deadline: float) -> bool:
        """Wait for the output until the monotonic time `deadline`; return whether it takes something."""
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK)
        return True

    def clear(self) -> None:
        """Throw away what waits."""
        self.waiting.clear()
        self.bytes_waiting = 0


NOTHING = logging.makeLogRecord({})
"""What handlers are told of an error with, which for these is about no record."""
