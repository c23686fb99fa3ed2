"""`wsgi.input` of a request whose body has not come yet: reading waits for the client."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from threading import Condition
from typing import Any


class Body(io.RawIOBase):
    """What has come of a body and was not read yet. The event loop puts in, a thread reads; see `buffered`."""

    def __init__(self, want: Callable[[Callable[..., Any]], None]) -> None:
        """Take what a thread calls for more, with a function that waits for it: for ever, or so many seconds."""
        super().__init__()
        self.want = want
        self.parts: deque[bytes | memoryview] = deque()
        self.size = 0
        """Bytes that wait for the application."""
        self.taken = 0
        """Bytes that it has read."""
        self.complete = False
        self.error: OSError | None = None
        """Why nothing more will come, where that is not the body's end."""
        self.changed = Condition()

    # On the event loop

    def put(self, data: bytes, complete: bool) -> None:
        """Add what has come."""
        with self.changed:
            if data:
                self.parts.append(data)
                self.size += len(data)
            self.complete = complete
            self.changed.notify()

    def fail(self, error: OSError) -> None:
        """Let whoever reads what is not there get an error."""
        with self.changed:
            self.error = error
            self.changed.notify()

    # In a thread

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read what there is into `buffer`, at least a byte of it; return how much, 0 at the end.

        Raises:
            OSError: when the client has gone, or was too slow.
        """
        if not self.parts and not self.complete:
            self.want(self.wait)
        with self.changed:
            if not self.parts:
                if self.complete:
                    return 0
                raise self.error  # type: ignore[misc]
            part = self.parts.popleft()
            size = min(len(buffer), len(part))
            buffer[:size] = part[:size]
            if size < len(part):
                self.parts.appendleft(memoryview(part)[size:])
            self.size -= size
            self.taken += size
        return size

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until something has come, or the end, for so many seconds at most; return whether it has."""
        with self.changed:
            return bool(self.changed.wait_for(lambda: self.parts or self.complete or self.error, seconds))


def buffered(body: Body) -> io.BufferedReader:
    """Return a body as PEP 3333 wants `wsgi.input`: https://peps.python.org/pep-3333/#input-and-error-streams"""
    return io.BufferedReader(body, 65536)
