"""HTTP/1.1: requests are read, served and answered one after the other on each connection.

By the rules of Uvicorn's protocol and cycle for httptools, for less: that looks for forbidden characters in each header
field by itself, sets and cancels a timer for each request, and has no limits.
https://github.com/Kludex/uvicorn/blob/main/uvicorn/protocols/http/httptools_impl.py
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import lru_cache
from http.client import responses
from typing import Any, ClassVar
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url

from paddock.http.heads import malformed
from paddock.http.ids import CURRENT
from paddock.start.messages import Seldom
from paddock.workers.front.cycle import STATUS_CODES, Noted, failing, send_error, whole
from paddock.workers.front.protocols import (
    BODY,
    FED_AT_ONCE,
    HEAD,
    READ,
    WAITING,
    Flow,
    Limited,
    give_up,
    has_body,
    lateness,
)

logger = logging.getLogger("uvicorn.error")

say_upgrade = Seldom(logger.warning)
"""Anyone can send one with each request."""

STATUS_LINES = {code: f"HTTP/1.1 {code} {responses.get(code, '')}\r\n".encode() for code in STATUS_CODES}

NOT_IN_NAME = re.compile(rb'[\x00-\x1f\x7f()<>@,;:\[\]={} \t\\"]')
NOT_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What a header field of an answer may not have: https://www.rfc-editor.org/rfc/rfc9110#section-5"""

BODY_AHEAD = 64 * 1024
"""Bytes of a body that are received before the application asks for more."""

DECISIVE = frozenset({b"content-length", b"transfer-encoding", b"connection"})
"""Header fields of an answer that say where it or its connection ends."""


class Cork:
    """A transport that joins the head of an answer with the first part of its body, and holds nothing else.

    Uvicorn writes them one by one, and uvloop and asyncio make a system call, and often a packet, of each write.
    """

    __slots__ = ("begins", "head", "is_closing", "transport")

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.is_closing = transport.is_closing
        self.head = b""
        self.begins = False
        """Whether somebody flushes as soon as the application that runs waits for something."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def hold(self, head: bytes) -> None:
        """Write a head with what comes next, or when the application waits for something."""
        self.head = head
        if not self.begins:
            asyncio.get_running_loop().call_soon(self.flush)

    def write(self, data: bytes) -> None:
        """Write the head, if it is held, and `data`."""
        if self.is_closing():
            return
        if self.head:
            parts, self.head = [self.head, data], b""
            self.transport.writelines(parts)
        elif data:
            self.transport.write(data)

    def flush(self) -> None:
        """Write the head, if it is held."""
        if self.head:
            self.write(b"")

    def close(self) -> None:
        """Write what is held, and close."""
        self.flush()
        self.transport.close()

    def write_eof(self) -> None:
        """Write what is held, and close for writing."""
        self.flush()
        self.transport.write_eof()


@lru_cache(maxsize=1024)
def field_name(name: bytes) -> bytes:
    """Return the name of a header field in lower case.

    Raises:
        RuntimeError: when it is none.
    """
    if not name or NOT_IN_NAME.search(name):
        raise RuntimeError("Invalid HTTP header name.")
    return name.lower()


def field_names(fields: list[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the names of header fields in lower case.

    Raises:
        RuntimeError: when a name or a value is none.
        TypeError: when one is not in bytes.
    """
    if NOT_IN_VALUE.search(b"".join([value for _, value in fields])):
        raise RuntimeError("Invalid HTTP header value.")
    return [field_name(name) for name, _ in fields]


def in_bytes(fields: list[Any]) -> list[tuple[bytes, bytes]]:
    """Return header fields in bytes that are text, as h11 takes them, or bytearrays, which no cache can find."""
    return [(octets(name), octets(value)) for name, value in fields]


def octets(text: Any) -> bytes:
    """Return text, or what is like bytes, in bytes.

    Raises:
        TypeError: when it is neither.
    """
    return text.encode("latin-1") if isinstance(text, str) else bytes(memoryview(text))


def whole_length(value: bytes, before: int | None) -> int:
    """Return the value of Content-Length, of which there may have been one `before`.

    Raises:
        RuntimeError: when it is none, or another: https://www.rfc-editor.org/rfc/rfc9110#section-8.6
    """
    if not value.strip().isdigit() or before not in (None, int(value)):
        raise RuntimeError(f"Invalid Content-Length: {value!r}")
    return int(value)


def head(method: bytes, target: bytes, version: str, fields: list[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a request."""
    line = b"%b %b HTTP/%b" % (method, target, version.encode())
    return b"\r\n".join([line, *(b"%b: %b" % field for field in fields), b"", b""])


def nothing() -> None:
    """Do nothing."""


class HttpCycle(Noted):
    """A request and its answer."""

    disconnected = False
    more_body = True
    """Whether there is more of the request to come."""
    response_started = False
    response_complete = False
    chunked_encoding: bool | None = None
    """Whether the answer goes in chunks; None until its head says so."""
    expected_content_length = 0
    """Bytes that Content-Length still promises."""
    until_close = False
    """Whether the answer ends where the connection does."""

    def __init__(self, protocol: Any, keep_alive: bool) -> None:
        """Take the `protocol` of the connection, whose scope is this request's, and whether it is to be kept."""
        self.scope = protocol.scope
        self.transport: Cork = protocol.transport
        self.flow: Flow = protocol.flow
        self.default_headers: list[tuple[bytes, bytes]] = protocol.server_state.default_headers
        self.on_response: Callable[[], None] = protocol.on_response_complete
        self.waiting_for_100_continue: bool = protocol.expect_100_continue
        self.keep_alive = keep_alive
        self.body = bytearray()
        """What has come of the request's body, and was not received."""
        self.message_event = asyncio.Event()
        """Set when there is something to receive."""

    async def run(self, app: Any) -> None:
        """Serve the request."""
        CURRENT.set(self)
        self.in_flight.add(self)
        try:
            result = await app(self.scope, self.receive, self.send)
        except BaseException as error:
            logger.error("Exception in ASGI application\n", exc_info=error)
            await self.fail()
        else:
            if result is not None:
                logger.error("ASGI callable should return None, but returned '%s'.", result)
                self.transport.close()
            elif not (self.response_complete or self.disconnected):
                missing = "completing" if self.response_started else "starting"
                logger.error("ASGI callable returned without %s response.", missing)
                await self.fail()
        finally:
            # It would keep the connection alive when that has gone.
            self.on_response = nothing
            self.in_flight.discard(self)
            self.end()

    async def fail(self) -> None:
        """Answer in the application's place; close the connection where its own answer has begun."""
        if self.response_started:
            self.transport.close()
        else:
            await send_error(self.send)

    async def receive(self) -> Any:
        """Receive a part of the request, and take note of it."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not (self.disconnected or self.response_complete):
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        self.received += len(body)
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Any) -> None:
        """Send a part of the answer, and take note of it.

        Raises:
            RuntimeError: when it is not what can come now.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if self.response_complete:
            raise RuntimeError(f"Unexpected ASGI message '{kind}' sent, after response already completed.")
        expected = "http.response.body" if self.response_started else "http.response.start"
        if kind != expected:
            raise RuntimeError(f"Expected ASGI message '{expected}', but got '{kind}'.")
        if self.response_started:
            self.write_body(message.get("body", b""), message.get("more_body", False))
        else:
            self.write_head(message["status"], list(message.get("headers", ())), message.get("line"))

    def write_head(self, status: int, fields: list[tuple[bytes, bytes]], line: bytes | None = None) -> None:
        """Write the status line, which may be the application's own, and the header fields."""
        if type(status) is not int or status not in STATUS_CODES:
            status = whole(status)
        answer, chunked, length, closes = fields, None, None, False
        content = [line or STATUS_LINES[status]]
        fields = self.default_headers + answer
        try:
            names = field_names(fields)
        except TypeError:
            answer = in_bytes(answer)
            fields = self.default_headers + answer
            names = field_names(fields)
        for lower, (name, value) in zip(names, fields, strict=True):
            if lower not in DECISIVE:
                pass
            elif lower == b"content-length":
                if not chunked:
                    length, chunked = whole_length(value, length), False
            elif lower == b"transfer-encoding":
                if self.is_old():
                    continue
                if value.lower() == b"chunked":
                    length, chunked = 0, True
            elif b"close" in [token.strip() for token in value.lower().split(b",")]:
                self.keep_alive, closes = False, True
            # As Uvicorn, and as Gunicorn.
            content += (name if line else lower, b": ", value, b"\r\n")
        for name, value in self.id_fields(names):
            content += (name, b": ", value, b"\r\n")
        # Nothing is wrong with it, which would be answered with an error.
        self.response_started, self.waiting_for_100_continue = True, False
        self.status, self.answer = status, answer
        if not self.keep_alive and not closes:
            content.append(b"connection: close\r\n")
        if status in (204, 304):
            # Its length is that of an answer which would have a body.
            length = 0
        elif chunked is None and self.scope["method"] != "HEAD" and status >= 200:
            if self.is_old():
                self.until_close = True
            else:
                chunked = True
                content.append(b"transfer-encoding: chunked\r\n")
        self.chunked_encoding, self.expected_content_length = chunked, length or 0
        content.append(b"\r\n")
        self.transport.hold(b"".join(content))

    def is_old(self) -> bool:
        """Tell whether the client speaks HTTP/1.0: it knows no chunks, and its connection ends with the answer."""
        return bool(self.scope["http_version"] == "1.0")

    def write_body(self, body: bytes, more: bool) -> None:
        """Write a part of the body; the last one completes the answer."""
        head_only = self.scope["method"] == "HEAD"
        size = 0 if head_only else len(body)
        boundless = head_only or self.chunked_encoding or self.until_close
        left = 0 if boundless else self.expected_content_length - size
        if left < 0:
            raise RuntimeError("Response content longer than Content-Length")
        self.expected_content_length = left
        self.sent += size
        complete = not more and not left
        if complete:
            # Who is told of it shall know of no less than the client.
            self.end()
        if head_only:
            body = b""
        elif self.chunked_encoding:
            parts = [b"%x\r\n" % size, body, b"\r\n"] if size else []
            body = b"".join(parts if more else [*parts, b"0\r\n\r\n"])
        self.transport.write(body)
        if more:
            return
        if not complete:
            raise RuntimeError("Response content shorter than Content-Length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def with_httptools(protocol: Any) -> HttpRequestParser:
    """Return a parser that tells `protocol` of what it finds."""
    parser = HttpRequestParser(protocol)
    # What follows a request that closes the connection is no error of that request.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


class HttpProtocol(Limited):
    """Reads requests, and lets a cycle serve each when its turn comes."""

    parse_with: ClassVar[Callable[[Any], Any]] = with_httptools
    fine: ClassVar[int]
    """Limits.fine"""
    cycle_class: ClassVar[type[Any]] = HttpCycle
    """What serves a request."""
    fed = 0
    """How many bytes came at once, the last time."""
    pending = 0
    """At least how many bytes came since a head was complete or a part of a body came: those of a head or trailers."""
    rest: bytes | memoryview = b""
    """What was read, and is not parsed before requests that wait are answered."""
    given: list[tuple[bytes, bytes]] | None = None
    """The fields of a head while a fresh parser reads it without one of them."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any]) -> None:
        """Take what Uvicorn gives its protocols."""
        super().__init__(config, server_state, app_state)
        self.parser: Any = type(self).parse_with(self)

    def connection_made(self, transport: Any) -> None:
        """Remember the context in which applications are called, and join the heads of answers with their bodies."""
        self.context = copy_context()
        self.cork = Cork(transport)
        super().connection_made(self.cork)

    def eof_received(self) -> bool:
        """Write what is held before the transport closes, as it may do after this."""
        self.cork.flush()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every request that nobody waits for its answer any more."""
        waiting = [cycle for cycle, _ in self.pipeline]
        self.pipeline.clear()
        self.rest = b""
        for cycle in (self.serving, *waiting):
            if cycle is not None and not cycle.response_complete:
                give_up(cycle)
        super().connection_lost(exc)
        # It holds this connection.
        self.parser = None

    def data_received(self, data: bytes) -> None:
        """Parse what has come, of much only as far as not too many requests wait."""
        if self.refused:
            return
        if self.rest or len(data) > FED_AT_ONCE:
            self.rest = memoryview(bytes(self.rest) + data)
            self.go_on()
        else:
            self.parse(data)

    def go_on(self) -> None:
        """Parse the rest piece by piece, as long as not too many requests wait."""
        while self.rest and len(self.pipeline) < WAITING:
            piece, self.rest = self.rest[:FED_AT_ONCE], self.rest[FED_AT_ONCE:]
            self.parse(piece)
            if self.refused or self.upgraded:
                self.rest = b""
                return
        self.flow.full = len(self.pipeline) >= WAITING

    def parse(self, data: bytes | memoryview) -> None:
        """Parse; bound what an incomplete head or trailers may hold."""
        self.fed = fed = len(data)
        self.pending += fed
        self.idle_since = None
        try:
            self.feed(data)
        except HttpParserError as error:
            self.logger.warning("Invalid HTTP request received.")
            if not self.refused:
                self.refuse(getattr(error, "status", 400), getattr(error, "reason", "no valid HTTP/1.1"))
        cycle = self.cycle
        if cycle and cycle.scope is self.scope and not cycle.more_body and self.pending <= self.fine:
            # A whole request, which is nearly always what came.
            if cycle.response_complete:
                self.keep_idle()
            return
        if self.pending > self.fine and not self.refused and not self.upgraded:
            self.bound()
        self.watch_on(fed)

    def feed(self, data: bytes | memoryview) -> None:
        """Let the parser read; a request that would change to another protocol, but will not, is read as any other.

        At such a head the parser stops, and takes a body for what follows the request. A fresh one is told the head
        without `Upgrade`, which is all that it stops for, and then what has come behind it.
        https://github.com/MagicStack/httptools/issues/124

        Raises:
            HttpParserError: when it is no HTTP.
        """
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            if self.asks_for_websocket():
                self.handle_websocket_upgrade()
                return
            self.note_upgrade()
            (end,) = upgrade.args
            rest = self.head_without_upgrade() + data[end:]
            self.given = self.headers
            self.parser = type(self).parse_with(self)
            self.feed(rest)

    def asks_for_websocket(self) -> bool:
        """Tell whether the head, which asks for another protocol, asks for one that is served."""
        wanted = [value.lower() for name, value in self.headers if name == b"upgrade"]
        return wanted[-1:] == [b"websocket"] and self.ws_protocol_class is not None

    def head_without_upgrade(self) -> bytes:
        """Return the head that is complete, so that it frames the same body."""
        fields = [field for field in self.headers if field[0] != b"upgrade"]
        return head(self.parser.get_method(), self.url, self.parser.get_http_version(), fields)

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection, as it is, to the WebSocket protocol, which has timeouts of its own.

        Not with an answer to an earlier request on its way: it would be written among the WebSocket's frames. Nor
        with a body, which the WebSocket protocol would take for frames, or drop.
        https://datatracker.ietf.org/doc/html/rfc6455#section-4.2.1
        """
        self.cork.flush()
        self.transport = self.cork.transport
        if self.scope["method"] != "GET" or has_body(self.headers):
            self.refuse(400, "a WebSocket handshake with a body, or with another method than GET")
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.refuse(400, "a WebSocket behind a request without an answer")
            return
        self.upgraded = True
        self.clock.due.pop(self, None)
        # Uvicorn counts answers only: https://github.com/Kludex/uvicorn/issues/2201
        self.server_state.total_requests += 1
        self.connections.discard(self)
        protocol = self.ws_protocol_class(config=self.config, server_state=self.server_state, app_state=self.app_state)
        protocol.connection_made(self.transport)
        protocol.data_received(head(self.parser.get_method(), self.url, "1.1", self.headers))
        self.transport.set_protocol(protocol)

    def note_upgrade(self) -> None:
        """Say that who asks for another protocol is answered as anybody."""
        say_upgrade("Unsupported upgrade request of %s", self.name())

    def bound(self) -> None:
        """Refuse what would exceed a limit when it were complete."""
        limits = self.limits
        if not self.has_begun():
            if self.pending > limits.head + READ:
                self.refuse(400, "no request in many bytes")
            return
        in_head = self.stage() is HEAD
        if in_head and 0 < limits.line < len(self.url):
            self.refuse(414, f"a longer request line than LIMIT_REQUEST_LINE, {limits.line}")
        elif len(self.headers) > limits.fields or self.pending - len(self.url) > limits.head + READ:
            self.refuse(431, f"more in {'its head' if in_head else 'trailers'} than LIMIT_REQUEST_FIELD… allow")

    def stage(self) -> str | None:
        """Return which part of a request is incomplete, if any."""
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope:
            return HEAD
        return BODY if cycle.more_body and not cycle.response_complete else None

    def has_begun(self) -> bool:
        """Tell whether a byte of the head that is due has come."""
        return self.scope is not None

    # What the parser calls

    def on_message_begin(self) -> None:
        """Begin with a request."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field, or one behind the body."""
        # httptools leaves what is behind the value: https://www.rfc-editor.org/rfc/rfc9110#section-5.5
        name, value = name.lower(), value.rstrip(b" \t")
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Look at the head before the application is called.

        Raises:
            ValueError: to stop the parser.
        """
        self.watched = None
        parser, scope = self.parser, self.scope
        if self.pending > self.fine or len(self.headers) > self.limits.fields:
            line = len(parser.get_method()) + len(self.url) + len("  HTTP/1.1")
            if refusal := self.limits.refusal(line, self.headers):
                self.refuse(*refusal)
                raise ValueError(refusal)
        self.pending = self.fed
        version = parser.get_http_version()
        if refusal := malformed(version, self.headers):
            self.refuse(*refusal)
            raise ValueError(refusal)
        scope["method"], scope["http_version"] = parser.get_method().decode("ascii"), version
        if parser.should_upgrade():
            if scope["method"] == "CONNECT":
                self.refuse(501, "CONNECT, which is for proxies")
                raise ValueError("CONNECT")
            return
        if self.given is not None:
            # The application sees all that the client has sent.
            self.headers[:], self.given = self.given, None
        if not self.follows:
            self.follow()
        url = parse_url(self.url)
        raw = url.path
        path = raw.decode("ascii")
        scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + raw
        scope["query_string"] = url.query or b""
        # What comes behind the body is no part of the head: https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1
        self.headers = []
        before = self.cycle
        self.cycle = cycle = self.cycle_class(self, version != "1.0" and parser.should_keep_alive())
        if before is None or before.response_complete:
            self.start_serving(cycle, self.app)
            return
        self.flow.pause_reading()
        self.pipeline.appendleft((cycle, self.app))
        if len(self.pipeline) >= WAITING:
            self.flow.full = True

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on."""
        self.pending = self.fed
        cycle = self.cycle
        if self.parser.should_upgrade() or cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > BODY_AHEAD:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Take note of the end of a request, which is not where the parser stops at a head."""
        cycle = self.cycle
        if not (self.parser.should_upgrade() or cycle.response_complete):
            cycle.more_body = False
            cycle.message_event.set()

    def start_serving(self, cycle: Any, app: Any) -> None:
        """Let a cycle serve its request, whose turn it is."""
        self.serving = cycle
        # Not in the context of the request before this one, of which this may be a part.
        context = Context() if self.config.reset_contextvars else self.context.copy()
        # Not at once: this may be the parser's callback, or the answer before.
        self.loop.call_soon(self.begin, cycle.serve(app), context)

    def begin(self, coroutine: Any, context: Context) -> None:
        """Run a coroutine as far as it goes without waiting, which for many is to their end, and the rest as a task.

        Where the application has a way of its own to make tasks, all of it is one.
        https://docs.python.org/3/library/asyncio-task.html#asyncio.Task
        """
        loop, cork = self.loop, self.cork
        if sys.version_info >= (3, 12) and loop.get_task_factory() is None:
            cork.begins = True
            task = asyncio.Task(coroutine, loop=loop, context=context, eager_start=True)
            cork.begins = False
            cork.flush()
            if task.done():
                return
        else:
            try:
                task = loop.create_task(coroutine, context=context)
            except Exception as error:
                coroutine.close()
                task = asyncio.Task(self.serving.run(failing(error)), loop=loop, context=context)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # The time between requests. One timer looks how long it was: Uvicorn sets and cancels one for each request.

    def on_response_complete(self) -> None:
        """Go on with the request that waits, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self.start_serving(*self.pipeline.pop())
            if self.flow.full:
                self.go_on()
        else:
            self.keep_idle()
        self.flow.resume_reading()

    def shutdown(self) -> None:
        """Close the connection, or let the answer that is due be its last."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def keep_idle(self) -> None:
        """Begin to count the time until the next request."""
        if self.cycle.response_complete and not self.transport.is_closing():
            if self.half_closed is not None:
                self.transport.close()
                return
            self.idle_since = self.loop.time()
            if self.timeout_keep_alive_task is None:
                self.set_timer(self.timeout_keep_alive)

    def set_timer(self, seconds: float) -> None:
        """Look in so many seconds."""
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.look_at_idle)

    def look_at_idle(self) -> None:
        """Close the connection if its time is over, unless its client had no time in which it was heard."""
        timer, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        if self.idle_since is None:
            return
        if (left := self.idle_since + self.timeout_keep_alive - self.loop.time()) > 0:
            self.set_timer(left)
        elif lateness(timer, self.loop):
            self.keep_idle()
        elif not self.transport.is_closing():
            self.transport.close()
