"""A request on its way through a WSGI application: what its thread does, and what the event loop does for it.

https://peps.python.org/pep-3333/
"""

from __future__ import annotations

import asyncio
import re
from _thread import LockType, allocate_lock, get_ident
from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from io import BytesIO
from socket import socket
from time import monotonic
from typing import Any
from wsgiref.util import FileWrapper, is_hop_by_hop

from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName

from paddock.http.ids import CURRENT
from paddock.http.interface import Receive, Scope, Send
from paddock.text.formats import escape
from paddock.workers.front.cycle import send_error
from paddock.workers.wsgi.body import Body, buffered
from paddock.workers.wsgi.files import FilePart, part_of
from paddock.workers.wsgi.takeover import Connection, Tunnel, is_websocket

BUFFER = 1024 * 1024
"""Bytes of an answer that wait for its client, beyond which the thread waits, too."""

FORBIDDEN = re.compile(r"[^ \t\x21-\x7e\x80-\xff]")
"""What no value of a header field may have: https://www.rfc-editor.org/rfc/rfc9110#section-5.5"""

STATUS = re.compile(r"[0-9]{3}(?: [ \t\x21-\x7e\x80-\xff]*)?")
"""A status, whose phrase may be left out: https://www.rfc-editor.org/rfc/rfc9112#section-4"""

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-zA-Z]+")
"""The name of a header field: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2"""

Part = bytes | FilePart


@lru_cache(maxsize=1024)
def status_line(status: str) -> tuple[int, bytes]:
    """Return the code and the status line of a WSGI status, such as `200 OK`.

    Raises:
        TypeError, ValueError: when it is none.
    """
    if not isinstance(status, str):
        raise TypeError(f"{status!r} is not a string")
    if not STATUS.fullmatch(status):
        raise ValueError(f"Invalid status {status!r}")
    code = int(status[:3])
    if not 100 <= code <= 599:
        raise ValueError(f"Invalid status {status!r}")
    return code, b"HTTP/1.1 %b\r\n" % (status if len(status) > 3 else f"{status} ").encode("latin-1")


@lru_cache(maxsize=1024)
def field_name(name: str) -> bytes:
    """Return the name of a header field as it is sent; nothing for one that is the server's to send.

    Raises:
        TypeError, InvalidResponseHeaderName: when it is none.
    """
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is not a string")
    if not TOKEN.fullmatch(name):
        raise InvalidResponseHeaderName(repr(name))
    lower = name.lower()
    # As in Gunicorn; an application may ask to close the connection.
    is_servers = lower == "date" or (is_hop_by_hop(lower) and lower != "connection")
    return b"" if is_servers else name.encode("latin-1")


def encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return header fields as they are sent.

    Raises:
        TypeError, InvalidResponseHeader, InvalidResponseHeaderName: when they are none.
    """
    fields = []
    for name, value in headers:
        key = field_name(name)
        if not isinstance(value, str):
            raise TypeError(f"{value!r} is not a string")
        if FORBIDDEN.search(value):
            # The value may be secret.
            raise InvalidResponseHeader(repr(name))
        if key:
            fields.append((key, value.strip(" \t").encode("latin-1")))
    return fields


def has_no_body(method: str, status: int) -> bool:
    """Tell whether an answer has no body, whatever the application gives: https://www.rfc-editor.org/rfc/rfc9110#section-6.4.1"""
    return method == "HEAD" or status in (204, 304) or status < 200


def is_without_body(scope: Any) -> bool:
    """Tell whether a request over HTTP/2 has no body, of whose end Uvicorn then says nothing.

    https://github.com/Kludex/uvicorn/blob/main/uvicorn/protocols/http/zttp_h2_impl.py, handle_events
    """
    is_bare = scope["http_version"] == "2" and scope["method"] in ("GET", "HEAD", "OPTIONS", "DELETE", "TRACE")
    return is_bare and not any(name == b"content-length" for name, _ in scope["headers"])


async def answer(send: Send, status: int, body: bytes) -> None:
    """Send an answer that is not the application's."""
    fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


class Application:
    """A WSGI application as one of ASGI 3, which its threads serve. Made on the event loop's thread."""

    def __init__(self, call: Any, worker: Any) -> None:
        """Take what to `call`, and the worker that has the threads."""
        self.call = call
        self.worker = worker
        self.environs = worker.environs
        self.requests: set[Any] = worker.watchdog.requests
        self.body_buffer: int = worker.body_buffer

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Return what is to be awaited: an exchange, which can be begun instead where all of the request is there."""
        record: Any = send.__self__  # type: ignore[attr-defined]
        if self.environs.refuses(scope):
            return answer(send, 400, b"Bad Request")
        if self.worker.pool.is_full and record.is_own:
            # The image's own health check: whoever is busy is not sick.
            return answer(send, 200, b"busy")
        return Exchange(self, scope, receive, send)


class Exchange:
    """One request and its answer.

    The thread calls the application, and puts what it gives into `parts`; the event loop takes it from there.
    """

    # Of the answer, from the thread
    status = 0
    line = b""
    fields: list[tuple[bytes, bytes]]
    begun = False
    """Whether the head may have been sent."""
    bodiless = False
    left: int | None = None
    """Bytes that Content-Length still promises."""
    complete = False
    """Whether all parts are there."""
    failed = False
    """Whether the application has failed."""
    pushed = taken = 0
    """Bytes of the answer that the thread has given, and that the transport has got."""
    room: LockType | None = None
    """What the thread waits for when too much waits for the client."""
    gone: OSError | None = None
    """Why nothing more is to be sent."""

    # Of the watchdog's
    since: float | None = None
    thread = 0
    reported = False

    tunnel: Tunnel | None = None
    """What the application has for a socket."""
    body: Body | None = None
    """What has come of the request's body, where that is not all."""
    news: asyncio.Event | None = None
    """Set when there are new parts, for the coroutine that sends them; without one, the answer is sent as a whole."""

    def __init__(self, application: Application, scope: Any, receive: Any, send: Any) -> None:
        self.application = application
        self.scope = scope
        self.receive = receive
        self.send = send
        self.record = send.__self__
        self.parts: deque[Part] = deque()
        self.input: Any = None
        self.pool = application.worker.pool

    # What the watchdog asks for

    def stuck_since(self) -> float | None:
        """Return since when the application has been at it with nothing to show; None when it waits for the client."""
        return None if self.begun else self.since

    def __str__(self) -> str:
        return f"{self.scope['method']} {escape(self.scope['path'])}"

    # In a thread

    def serve(self) -> None:
        """Call the application, and give what it returns to the event loop."""
        application, record = self.application, self.record
        self.thread, self.since = get_ident(), monotonic()
        application.requests.add(self)
        CURRENT.set(record)
        items: Any = None
        try:
            environ = application.environs.of(self.scope, self.input, Connection(self))
            environ["wsgi.early_hints"] = self.hint
            if application.worker.logs_environ:
                # Not always: it holds the exchange, and so its record.
                record.variables = environ
            items = application.call(environ, self.start_response)
            if not self.tunnel:
                self.take(items)
                self.end()
        except BaseException as error:
            self.fail(error)
        finally:
            if hasattr(items, "close"):
                self.close(items)
            if self.tunnel:
                self.pool.call(self.tunnel.finish)
            application.requests.discard(self)
            CURRENT.set(None)

    def take(self, items: Any) -> None:
        """Pass on what the application has returned."""
        kind = type(items)
        if (kind is list or kind is tuple) and len(items) == 1 and not self.begun:
            # The end follows at once, so the loop need not know of it before.
            (item,) = items
            part = self.fitting(item)
            if self.left is None and not self.bodiless:
                self.set_length(len(part))
            if part:
                self.give(part, len(part))
        elif isinstance(items, FileWrapper) and self.bodiless:
            # Nobody need read it.
            return
        elif isinstance(items, FileWrapper) and (file := part_of(items, self.left)):
            if self.left is None:
                self.set_length(file.count)
            self.give(file, file.count)
        else:
            for item in items:
                self.write(item)
                self.since = monotonic()

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """Take the head of the answer: https://peps.python.org/pep-3333/#the-start-response-callable"""
        if exc_info:
            try:
                if self.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status:
            raise AssertionError("Response headers already set!")
        code, self.line = status_line(status)
        self.fields = encoded(headers)
        self.left = None
        self.bodiless = has_no_body(self.scope["method"], code)
        lengths = [value for name, value in self.fields if name.lower() == b"content-length"]
        if lengths:
            if code < 200 or code == 204:
                self.fields = [field for field in self.fields if field[0].lower() != b"content-length"]
            elif not self.bodiless:
                self.left = int(lengths[-1])
        self.status = code
        return self.write

    def hint(self, headers: list[tuple[str, str]]) -> None:
        """Send 103 Early Hints, as Gunicorn's `wsgi.early_hints`: https://www.rfc-editor.org/rfc/rfc8297"""
        lines = [b"%b: %b\r\n" % field for field in encoded(headers)]
        if self.scope["http_version"] == "1.1" and not self.begun:
            head = b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % b"".join(lines)
            self.pool.call(partial(self.record.transport.write, head))

    def set_length(self, size: int) -> None:
        """Say how long the answer is, which the application has not."""
        self.left = size
        self.fields.append((b"content-length", b"%d" % size))

    def write(self, data: bytes) -> None:
        """Send a part of the body: https://peps.python.org/pep-3333/#the-write-callable

        Raises:
            OSError: when the client has gone.
        """
        if part := self.fitting(data):
            self.give(part, len(part))
            self.pool.tell(self)

    def fitting(self, data: bytes) -> bytes:
        """Return what of `data` is to be sent: as with Gunicorn no more than Content-Length has promised."""
        if not isinstance(data, bytes):
            raise TypeError(f"{data!r} is not a byte string")
        if not self.status:
            raise AssertionError("The application sends a body before it has called start_response")
        if self.bodiless:
            return b""
        return data if self.left is None or len(data) <= self.left else data[: self.left]

    def give(self, part: Part, size: int) -> None:
        """Give the event loop a part of the answer, when there is room for it."""
        if self.pushed - self.taken > BUFFER:
            self.wait()
        if self.gone:
            raise self.gone
        if self.left is not None:
            self.left -= size
        self.begun = True
        self.pushed += size
        self.parts.append(part)

    def wait(self) -> None:
        """Wait until the client has taken something."""
        self.since = None
        lock = allocate_lock()
        lock.acquire()
        self.room = lock
        if self.pushed - self.taken > BUFFER and not self.gone:
            self.pool.wait(lambda seconds=-1: lock.acquire(timeout=seconds))
        self.room = None

    def end(self) -> None:
        """The answer is complete."""
        if not self.status:
            raise AssertionError("The application has returned without calling start_response")
        self.begun = self.complete = True
        self.pool.tell(self)

    def fail(self, error: BaseException) -> None:
        """The application has failed, or its client has gone."""
        if self.tunnel and isinstance(error, OSError | StopIteration):
            # The first is the client's end, the second how libraries keep a server from answering, too.
            return
        if error is not self.gone:
            self.application.worker.log.error("Error handling request %s", self, exc_info=error)
        if self.tunnel:
            return
        self.failed = self.complete = True
        if not self.begun:
            self.parts.clear()
        self.pool.tell(self)

    def take_over(self) -> socket:
        """Return the connection as a socket, from now on the application's; in its thread.

        Raises:
            OSError: when it cannot be had.
        """
        if self.tunnel is None:
            if not is_websocket(self.scope) or not hasattr(self.record, "hand_over") or self.news or self.begun:
                raise OSError("gunicorn.socket is for requests over HTTP/1.1 that ask for a WebSocket")
            self.begun = True
            self.tunnel = Tunnel(self)
            self.pool.call(self.tunnel.open)
        return self.tunnel.theirs

    def close(self, items: Any) -> None:
        """Call the `close` of what the application has returned, which the client does not wait for."""
        try:
            items.close()
        except BaseException:
            self.application.worker.log.exception("Error closing the answer of %s", self)

    # On the event loop

    def begin(self) -> None:
        """Let a thread have the request, of which all is there; `advance` goes on."""
        record = self.record
        self.input = BytesIO(record.body)
        record.received = len(record.body)
        record.body = bytearray()
        self.pool.waiting.append(self)

    def advance(self) -> None:
        """Go on with what the thread has done so far."""
        try:
            if self.news:
                self.news.set()
            elif not self.record.finish(self):
                # It is long, or takes long, or has failed: the rest is a coroutine's.
                self.news = asyncio.Event()
                self.news.set()
                self.record.carry_on(self.follow(self.news))
        except Exception:
            # The others that the loop is told of shall not wait for ever.
            self.application.worker.log.exception("The answer to %s cannot be sent", self)
            self.record.transport.abort()

    def __await__(self) -> Any:
        return self.run().__await__()

    async def run(self) -> None:
        """Take the request as it comes, let a thread have it, and send what that gives."""
        news = self.news = asyncio.Event()
        body = self.body = Body(self.want)
        self.wanted = asyncio.Event()
        if is_without_body(self.scope):
            body.put(b"", complete=True)
        listening = asyncio.create_task(self.listen(body))
        try:
            # With HTTP/2 nobody waits for it.
            if not getattr(self.record, "waiting_for_100_continue", False):
                await self.collect(body, listening)
            self.input = buffered(body)
            self.pool.put(self)
            await self.deliver(news)
        finally:
            self.leave()
            listening.cancel()

    async def follow(self, news: asyncio.Event) -> None:
        """Send an answer that is not complete yet, or not taken; there are `news` already."""
        self.wanted = asyncio.Event()
        listening = asyncio.create_task(self.listen(None))
        try:
            await self.deliver(news)
        finally:
            self.leave()
            listening.cancel()

    async def collect(self, body: Body, listening: asyncio.Task[None]) -> None:
        """Wait until as much of the body is there as no thread need wait for."""
        self.wanted.set()
        self.progress = asyncio.Event()
        while not (body.complete or body.error or body.size >= self.application.body_buffer):
            await self.progress.wait()
            self.progress.clear()

    progress: asyncio.Event | None = None
    wanted: asyncio.Event

    def want(self, wait: Callable[..., Any]) -> None:
        """Ask, in a thread, for more of the body, and `wait`: the application waits for the client."""
        self.since = None
        if not self.pool.call(self.wanted.set) and self.body:
            self.body.fail(ConnectionResetError("the server has stopped"))
        self.pool.wait(wait)
        self.since = monotonic()

    async def listen(self, body: Body | None) -> None:
        """Receive the body as it is wanted, and then that the client has gone."""
        if body:
            await self.wanted.wait()
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                break
            if body:
                body.put(message["body"], not message["more_body"])
                if self.progress:
                    self.progress.set()
                if message["more_body"] and body.size >= self.application.body_buffer:
                    self.wanted.clear()
                    await self.wanted.wait()
        if not self.record.response_complete:
            self.leave()
        if self.progress:
            self.progress.set()

    def leave(self) -> None:
        """Let the thread go on that waits for a client which has gone."""
        self.gone = ConnectionResetError("the client has gone")
        if self.body:
            self.body.fail(self.gone)
        if self.room:
            self.make_room()
        if self.news:
            self.news.set()

    def make_room(self) -> None:
        """Let the thread go on."""
        lock, self.room = self.room, None
        if lock:
            lock.release()

    async def deliver(self, news: asyncio.Event) -> None:
        """Send what the thread gives, until that is all."""
        started = False
        while True:
            await news.wait()
            news.clear()
            complete = self.complete
            if self.gone and not complete:
                return
            if self.failed and not (started or self.begun):
                await send_error(self.send)
                return
            if self.begun and not started:
                started = True
                await self.send(
                    {"type": "http.response.start", "status": self.status, "headers": self.fields, "line": self.line}
                )
            while self.parts:
                await self.deliver_part(self.parts.popleft())
            if complete:
                break
        if self.failed or self.left:
            self.cut_off()
        elif not self.record.response_complete:
            await self.send({"type": "http.response.body", "body": b""})

    async def deliver_part(self, part: Part) -> None:
        """Send a part of the body, and let the thread know."""
        if isinstance(part, FilePart):
            await part.send(self.record, self.send)
            self.taken += part.count
        else:
            await self.send({"type": "http.response.body", "body": part, "more_body": True})
            self.taken += len(part)
        if self.room and self.pushed - self.taken <= BUFFER:
            self.make_room()

    def cut_off(self) -> None:
        """Close the connection in the middle of an answer: what would follow cannot be told from it."""
        if self.left and not self.failed:
            say = self.application.worker.log.error
            say("The answer to %s is %d bytes shorter than its Content-Length", self, self.left)
        record = self.record
        getattr(record, "abort_stream", record.transport.close)()
        # So that nobody says once more that it is not complete.
        record.disconnected = True
