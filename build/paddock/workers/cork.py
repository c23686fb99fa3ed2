"""What is written in a turn of the event loop, held until its end: an answer's head and body go out by one system call.

Uvicorn writes the two one by one, and asyncio and uvloop make a system call, and often a packet, of each write.
"""

from __future__ import annotations

import asyncio
from typing import Any

MOST = 64 * 1024
"""Bytes beyond which nothing is held: the transport has to tell whether the client keeps up."""


class Corks:
    """Those of a worker that hold something, and are told when the event loop turns."""

    def __init__(self) -> None:
        self.full: list[Cork] = []

    def flush(self) -> None:
        """Write what they hold."""
        full, self.full = self.full, []
        for cork in full:
            cork.flush()


class Cork:
    """A transport that holds what is written to it until the event loop turns."""

    __slots__ = ("corks", "held", "is_closing", "loop", "size", "transport")

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop, corks: Corks) -> None:
        self.transport = transport
        self.is_closing = transport.is_closing
        self.loop = loop
        self.corks = corks
        self.held: list[bytes] = []
        self.size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        """Hold `data`, unless it is much."""
        if not data:
            return
        if not self.held:
            full = self.corks.full
            if not full:
                self.loop.call_soon(self.corks.flush)
            full.append(self)
        # A buffer may be used again by whoever has filled it.
        self.held.append(data if type(data) is bytes else bytes(data))
        self.size += len(data)
        if self.size > MOST:
            self.flush()

    def flush(self) -> None:
        """Write what is held, unless the client is gone."""
        if self.held:
            held, self.held, self.size = self.held, [], 0
            if not self.is_closing():
                self.transport.writelines(held)

    def close(self) -> None:
        """Write what is held, and close."""
        self.flush()
        self.transport.close()

    def write_eof(self) -> None:
        """Write what is held, and close for writing."""
        self.flush()
        self.transport.write_eof()
