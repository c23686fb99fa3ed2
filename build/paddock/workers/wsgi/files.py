"""`wsgi.file_wrapper`: a file that the kernel sends, without a copy, where nothing has to be done to its bytes.

https://peps.python.org/pep-3333/#optional-platform-specific-file-handling
"""

from __future__ import annotations

import asyncio
import io
import os
from typing import Any

from paddock.http.interface import Send

CHUNK = 1024 * 1024
"""Bytes that are sent at once at most, so that others have their turn."""

READ_SIZE = 128 * 1024
"""Bytes that are read at once where the kernel cannot send."""


class FilePart:
    """A part of a file, of which it has a descriptor of its own: the application closes its file before it is sent."""

    def __init__(self, file: io.FileIO, offset: int, count: int) -> None:
        self.file = file
        self.offset = offset
        self.count = count

    async def send(self, record: Any, send: Send) -> None:
        """Send it, for the request of `record`, by the kernel where that can be, else by ASGI's `send`."""
        try:
            if sendfile := getattr(record, "sendfile", None):
                await sendfile(self.file.fileno(), self.offset, self.count)
                return
            await self.read_and_send(send)
        finally:
            self.file.close()

    async def read_and_send(self, send: Send) -> None:
        """Send it piece by piece."""
        left, offset = self.count, self.offset
        while left and (data := os.pread(self.file.fileno(), min(READ_SIZE, left), offset)):
            left, offset = left - len(data), offset + len(data)
            await send({"type": "http.response.body", "body": data, "more_body": True})


def part_of(wrapper: Any, most: int | None) -> FilePart | None:
    """Return what is left of a wrapped file, so many bytes at most; None where it is not one of the kernel's."""
    try:
        file = wrapper.filelike.fileno()
        offset = os.lseek(file, 0, os.SEEK_CUR)
        # What Python has read ahead was not read by the application.
        offset = wrapper.filelike.tell() if hasattr(wrapper.filelike, "tell") else offset
        size = os.fstat(file).st_size - offset
        if size <= 0:
            return None
        # As an object, which is closed with what holds it when the client has gone.
        return FilePart(io.FileIO(os.dup(file)), offset, size if most is None else min(most, size))
    except (AttributeError, OSError, io.UnsupportedOperation):
        return None


async def sendfile(connection: Any, file: int, offset: int, count: int, patience: float) -> int:
    """Let the kernel send a part of a file on a socket that nobody else writes to; return how much it has sent.

    Raises:
        TimeoutError: when the client takes nothing for `patience` seconds; 0 is no limit.
        OSError: when it has gone.
    """
    # A descriptor of its own: the event loop does not let others watch that of a transport.
    out, left = os.dup(connection.fileno()), count
    try:
        while left:
            try:
                sent = os.sendfile(out, file, offset, min(left, CHUNK))
            except BlockingIOError:
                await asyncio.wait_for(_writable(out), patience or None)
                continue
            if not sent:
                break
            left, offset = left - sent, offset + sent
            await asyncio.sleep(0)
    finally:
        os.close(out)
    return count - left


async def _writable(descriptor: int) -> None:
    """Wait until a socket takes something."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(descriptor, ready.set_result, None)
    try:
        await ready
    finally:
        loop.remove_writer(descriptor)
