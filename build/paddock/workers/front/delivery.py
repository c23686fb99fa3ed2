"""Whether a client takes what is written to it: of one that is to read, nothing else tells whether it is there."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import sys
import termios
from contextlib import suppress

TCP_INFO_SIZE = 128
TCPI_BYTES_ACKED = 120
"""Where struct tcp_info has the number of bytes that the client's system has acknowledged:
https://github.com/torvalds/linux/blob/master/include/uapi/linux/tcp.h"""


def queued(transport: asyncio.Transport) -> int:
    """Return how many bytes the kernel holds that the client's system has not acknowledged.

    https://man7.org/linux/man-pages/man7/tcp.7.html, SIOCOUTQ
    """
    connection = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return 0
    return int.from_bytes(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def acknowledged(transport: asyncio.Transport) -> int:
    """Return how many bytes of a TCP connection its client's system has ever acknowledged; 0 where nobody can tell."""
    connection = transport.get_extra_info("socket")
    info = b""
    with suppress(AttributeError, OSError):
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SIZE)
    return int.from_bytes(info[TCPI_BYTES_ACKED:TCP_INFO_SIZE], sys.byteorder)


class Delivery:
    """What is left of the answers on one connection, as of the last look at it."""

    __slots__ = ("acknowledged", "left", "since")

    def __init__(self) -> None:
        self.left = 0
        """Bytes that the client has not taken."""
        self.acknowledged = 0
        self.since = 0.0
        """When it was seen to take something, or when there was nothing to take."""

    def look(self, transport: asyncio.Transport, now: float, rests: bool) -> float:
        """Return for how many seconds the client has taken nothing, though there is something to take.

        `rests` says that nothing was written since the last look: where acknowledged bytes are not counted, as on Unix
        sockets, what is left tells no more than that.
        """
        left = transport.get_write_buffer_size() + queued(transport)
        counted = acknowledged(transport)
        takes = counted != self.acknowledged if counted else left < self.left or not rests
        if takes or not self.left or not left:
            self.since = now
        self.left, self.acknowledged = left, counted
        return now - self.since
