"""`gunicorn.socket`: the connection itself, for applications that speak WebSocket on it.

flask-sock, simple-websocket and Flask-SocketIO read and write it as they like:
https://github.com/miguelgrinberg/simple-websocket/blob/main/src/simple_websocket/ws.py
They get one end of a pair of sockets. The event loop passes on what comes at the other, so TLS and slow clients are its
matter, as everywhere.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

from paddock.http.limits import CLOSE_LINGER
from paddock.http.record import CLIENT_GONE
from paddock.text.formats import escape
from paddock.workers.front.protocols import has_body

MOST = 256 * 1024
"""Bytes that wait for the application, or for the client, beyond which the other side waits, too."""


GOING_AWAY = b"\x88\x82" + bytes(4) + (1001).to_bytes(2, "big")
"""A close frame, as a client would send it: https://datatracker.ietf.org/doc/html/rfc6455#section-7.4.1"""


class Frames:
    """Follows a client's WebSocket frames: https://datatracker.ietf.org/doc/html/rfc6455#section-5.2"""

    def __init__(self) -> None:
        self.head = b""
        self.left = 0
        """Bytes of the payload that are still to come."""

    @property
    def is_between(self) -> bool:
        """Whether the last one is complete."""
        return not self.left and not self.head

    def feed(self, data: bytes) -> None:
        """Take what the client has sent."""
        while data:
            skipped = min(self.left, len(data))
            self.left, data = self.left - skipped, data[skipped:]
            if not data:
                return
            self.head, data = self.head + data[:1], data[1:]
            if len(self.head) < 2:
                continue
            length = self.head[1] & 127
            extended = {126: 2, 127: 8}.get(length, 0)
            masked = 4 * (self.head[1] >> 7)
            if len(self.head) == 2 + extended + masked:
                self.left = int.from_bytes(self.head[2 : 2 + extended], "big") if extended else length
                self.head = b""


class Connection:
    """What applications find as `gunicorn.socket`: a socket as soon as they use it as one."""

    def __init__(self, exchange: Any) -> None:
        self.exchange = exchange

    def __getattr__(self, name: str) -> Any:
        if name == "getpeercert":
            # Of TLS sockets alone.
            return getattr(self.exchange.record.transport.get_extra_info("ssl_object"), name)
        found = getattr(self.exchange.take_over(), name)
        setattr(self, name, found)
        return found


class Tunnel(asyncio.Protocol):
    """Passes on, on the event loop, between a client's connection and what the application has for a socket."""

    def __init__(self, exchange: Any) -> None:
        """Make the pair of sockets, in the application's thread."""
        self.exchange = exchange
        self.theirs, self.ours = socket.socketpair()
        self.ours.setblocking(False)
        self.answered = b""
        """What the application has written so far, until the head of its answer is complete."""
        self.frames = Frames()
        self.waiting = bytearray()
        """What the application has not taken yet."""
        self.writing = False

    def open(self) -> None:
        """Begin to pass on; the protocol of HTTP has done its part."""
        record = self.exchange.record
        self.loop, self.transport = asyncio.get_running_loop(), record.hand_over(self)
        self.loop.add_reader(self.ours.fileno(), self.on_written)

    # From the application

    def on_written(self) -> None:
        """Pass on what the application has written."""
        try:
            data = self.ours.recv(MOST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self.note(data)
        self.transport.write(data)

    def note(self, data: bytes) -> None:
        """Take note of the answer: its head has a status, what follows are messages."""
        record = self.exchange.record
        if record.status:
            record.sent += len(data)
            return
        self.answered += data
        head, end, rest = self.answered.partition(b"\r\n\r\n")
        if end:
            words = head.split(None, 2)
            record.status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 502
            record.sent += len(rest)
            self.answered = b""

    def pause_writing(self) -> None:
        """The client does not take it fast enough."""
        self.loop.remove_reader(self.ours.fileno())

    def resume_writing(self) -> None:
        """It does again."""
        if self.ours.fileno() >= 0:
            self.loop.add_reader(self.ours.fileno(), self.on_written)

    # From the client

    def data_received(self, data: bytes) -> None:
        """Pass on what the client has sent."""
        self.exchange.record.received += len(data)
        self.frames.feed(data)
        self.waiting += data
        self.flush()
        if len(self.waiting) > MOST:
            self.transport.pause_reading()

    def flush(self) -> None:
        """Let the application have what it takes."""
        try:
            sent = self.ours.send(self.waiting) if self.waiting else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        del self.waiting[:sent]
        if self.waiting and not self.writing:
            self.writing = True
            self.loop.add_writer(self.ours.fileno(), self.flush)
        elif self.writing and not self.waiting:
            self.writing = False
            self.loop.remove_writer(self.ours.fileno())
            self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """The client has gone: the application reads the end."""
        self.shut()

    def shutdown(self) -> None:
        """Let the application know that the server stops: it answers with a close frame, and then reads the end."""
        if self.ours.fileno() >= 0:
            if self.frames.is_between:
                self.waiting += GOING_AWAY
            self.flush()
            with suppress(OSError):
                self.ours.shutdown(socket.SHUT_WR)

    def finish(self) -> None:
        """The application has returned; a thread of its library's may be about to say goodbye."""
        self.loop.call_later(CLOSE_LINGER, self.hang_up)

    def hang_up(self) -> None:
        """Close the application's end, where it has not done so; whoever reads there reads the end."""
        with suppress(OSError):
            self.theirs.shutdown(socket.SHUT_RDWR)
        self.theirs.close()

    def close(self) -> None:
        """The application has done with it."""
        self.shut()
        self.transport.close()

    def shut(self) -> None:
        """Close this end, which is that of the record."""
        if self.ours.fileno() >= 0:
            record = self.exchange.record
            record.end(0 if record.status else CLIENT_GONE)
            record.connection.connections.discard(self)
            self.loop.remove_reader(self.ours.fileno())
            if self.writing:
                self.loop.remove_writer(self.ours.fileno())
            self.ours.close()

    def __str__(self) -> str:
        return f"WebSocket {escape(self.exchange.scope['path'])}"


def is_websocket(scope: Any) -> bool:
    """Tell whether a request asks for a WebSocket: https://datatracker.ietf.org/doc/html/rfc6455#section-4.1"""
    wanted = any(name == b"upgrade" and value.lower() == b"websocket" for name, value in scope["headers"])
    return wanted and scope["method"] == "GET" and not has_body(scope["headers"])
