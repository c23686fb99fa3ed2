"""h11 as a parser: what httptools calls of a connection, called for what h11 finds in the same bytes."""

from __future__ import annotations

from typing import Any

import h11
from httptools import HttpParserError, HttpParserUpgrade


class NoHttpError(HttpParserError):
    """The client is to be refused, with `status`."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class H11Parser:
    """In the place of `httptools.HttpRequestParser`, of which it has the methods: https://github.com/MagicStack/httptools#apis

    Each request has an h11 connection of its own: that waits, at the end of one, for an answer which it never sees.
    """

    def __init__(self, protocol: Any) -> None:
        """Take who is told of what is found."""
        self.protocol = protocol
        self.largest: int = protocol.config.h11_max_incomplete_event_size or protocol.limits.head
        self.begin(b"")

    def begin(self, data: bytes) -> None:
        """Begin anew, with what has come behind a request."""
        self.request: Any = None
        self.begun = False
        self.conn = h11.Connection(h11.SERVER, self.largest)
        self.take(data)

    def take(self, data: bytes) -> None:
        """Let h11 have what has come; empty lines in front of a request are not one's: RFC 9112, section 2.2."""
        if data := data if self.begun else data.lstrip(b"\r\n"):
            # Nothing is the connection's end.
            self.conn.receive_data(data)

    @property
    def unread(self) -> bytes:
        """What h11 holds of what has come."""
        return bytes(self.conn.trailing_data[0])

    def feed_data(self, data: bytes | memoryview) -> None:
        """Parse what has come.

        Raises:
            HttpParserError: when it is no HTTP, or the connection does not want it.
            HttpParserUpgrade: behind a head that asks for another protocol, with how much of `data` was its.
        """
        self.take(bytes(data))
        while True:
            if not self.begun:
                if not self.unread:
                    return
                self.begun = True
                self.protocol.on_message_begin()
            event = self.next_event()
            if event is h11.NEED_DATA:
                if self.request is None:
                    # So that its length is known before it is complete.
                    self.protocol.url = self.unread.partition(b"\n")[0].partition(b" ")[2]
                return
            self.tell(event, len(data))

    def next_event(self) -> Any:
        """Return what h11 has found.

        Raises:
            NoHttpError: when that is no HTTP.
        """
        try:
            return self.conn.next_event()
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            if self.request is None and b"\n" not in self.unread and status == 431:
                status = 414
            raise NoHttpError(status, str(error)) from error

    def tell(self, event: Any, size: int) -> None:
        """Tell the protocol of what is found, in the `size` bytes that came last."""
        protocol = self.protocol
        if type(event) is h11.Data:
            protocol.on_body(bytes(event.data))
        elif type(event) is h11.EndOfMessage:
            protocol.on_message_complete()
            self.begin(self.unread)
        elif type(event) is h11.Request:
            self.request, protocol.url = event, event.target
            for name, value in event.headers:
                protocol.on_header(name, value)
            try:
                protocol.on_headers_complete()
            except ValueError as error:
                raise HttpParserError(str(error)) from error
            if self.should_upgrade():
                raise HttpParserUpgrade(size - len(self.unread))

    def tokens(self) -> list[bytes]:
        """Return what the request says of its connection, in lower case."""
        values = b",".join(value for name, value in self.request.headers if name == b"connection")
        return [token.strip() for token in values.lower().split(b",")]

    def get_method(self) -> bytes:
        """Return the request's method."""
        return bytes(self.request.method)

    def get_http_version(self) -> str:
        """Return the version of HTTP, such as `1.1`."""
        return str(self.request.http_version.decode("ascii"))

    def should_keep_alive(self) -> bool:
        """Tell whether the client wants to send more requests."""
        return b"close" not in self.tokens()

    def should_upgrade(self) -> bool:
        """Tell whether the request asks for another protocol, in the place of HTTP."""
        if self.request is None:
            return False
        asks = any(name == b"upgrade" for name, _ in self.request.headers) and b"upgrade" in self.tokens()
        return asks or self.request.method == b"CONNECT"
