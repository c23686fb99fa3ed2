"""What becomes of an ASGI request, noted where Uvicorn notes it: by what it calls a request-response cycle.

An ASGI middleware would know as much, for several times the cost, and nothing of a client that leaves.
"""

from __future__ import annotations

from collections.abc import Collection
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from paddock.health.check import HEALTH_HEADER
from paddock.health.state import HEALTH_TOKEN
from paddock.http.ids import CURRENT, request_id
from paddock.http.interface import Receive, Scope, Send
from paddock.http.record import (
    CLIENT_GONE,
    NOT_ACCEPTED,
    UNLOGGED,
    Observers,
    environ_of,
    unquoted,
)
from paddock.text.formats import escape

if TYPE_CHECKING:
    from uvicorn.protocols.http.zttp_impl import RequestResponseCycle as Base
else:
    Base = object

STATUS_CODES = range(100, 600)
"""https://www.rfc-editor.org/rfc/rfc9110#section-15"""

ERROR_FIELDS = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", b"21"),
    (b"connection", b"close"),
]
"""As Uvicorn answers where an application fails."""

HEALTH_CHECK = (HEALTH_HEADER.lower().encode(), HEALTH_TOKEN.encode())


class Asked:
    """The half of a record that an ASGI scope tells."""

    observers: ClassVar[Observers]
    in_flight: ClassVar[set[Any]]
    """Those that the watchdog can name."""
    root_path: ClassVar[str]
    id_header: ClassVar[bytes]
    """The lower-case name of the header with a request's id; empty where there shall be none."""

    scope: Any
    raw: bytes
    """The path that the client has asked for, behind the ROOT_PATH that Uvicorn puts there."""
    request_id = ""
    status = 0
    sent = 0
    received = 0
    seconds = 0.0
    variables: Any = None
    """The environ of a WSGI application."""
    answer: Any = ()
    """The answer's header fields, as the application has given them."""

    def take_id(self) -> None:
        """Take the id that the client gives the request, if it is alone and sane, or give it one of our own."""
        name, headers = self.id_header, self.scope["headers"]
        given = [value for field, value in headers if field == name]
        asked = given[0].decode("latin-1") if len(given) == 1 else None
        self.request_id = request_id(asked)
        if self.request_id != asked:
            if given:
                headers = self.scope["headers"] = [field for field in headers if field[0] != name]
            headers.append((name, self.request_id.encode("ascii")))

    def id_fields(self, names: Collection[bytes]) -> list[tuple[bytes, bytes]]:
        """Return the header fields that the answer gets beside those with `names`, in lower case.

        None where the application has said the id itself.
        """
        if not self.request_id or self.id_header in names:
            return []
        return [(self.id_header, self.request_id.encode("ascii"))]

    # What the watchdog asks for

    since = None
    reported = False

    def stuck_since(self) -> None:
        """Return None: on an event loop any number of requests wait."""

    def __str__(self) -> str:
        return f"{self.scope.get('method', 'WebSocket')} {escape(self.scope['path'])}"

    # What observers ask for

    @property
    def method(self) -> str:
        """See `Record`."""
        return str(self.scope.get("method", "GET"))

    @property
    def path(self) -> str:
        """See `Record`."""
        return unquoted(self.raw.decode("latin-1").removeprefix(self.root_path))

    @property
    def query(self) -> str:
        """See `Record`."""
        return str(self.scope["query_string"].decode("latin-1"))

    @property
    def target(self) -> str:
        """See `Record`."""
        path, query = self.raw.decode("latin-1").removeprefix(self.root_path), self.scope["query_string"]
        return f"{path}?{query.decode('latin-1')}" if query else path

    @property
    def protocol(self) -> str:
        """See `Record`."""
        return f"HTTP/{self.scope['http_version']}"

    @property
    def client(self) -> str:
        """See `Record`."""
        client = self.scope["client"]
        return str(client[0]) if client else ""

    @property
    def unlogged(self) -> bool:
        """See `Record`."""
        return UNLOGGED in self.scope

    @property
    def is_own(self) -> bool:
        """See `Record`."""
        return UNLOGGED in self.scope or HEALTH_CHECK in self.scope["headers"]

    def field(self, name: str) -> str | None:
        """See `Record`."""
        wanted = name.encode("latin-1", "replace")
        values = [value for field, value in self.scope["headers"] if field == wanted]
        return b",".join(values).decode("latin-1") if values else None

    def answered(self, name: str) -> str | None:
        """See `Record`."""
        wanted = name.encode("latin-1", "replace")
        values = [value for field, value in self.answer if bytes(field).lower() == wanted]
        return bytes(values[-1]).decode("latin-1") if values else None

    def headers(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """See `Record`."""
        return decoded(self.scope["headers"]), decoded(self.answer)

    def environ(self) -> dict[str, Any]:
        """See `Record`."""
        return self.variables or environ_of(self)


class Noted(Asked):
    """The record of an HTTP request, which tells its observers of itself."""

    began = 0.0
    over = False
    disconnected: bool
    response_started: bool

    def serve(self, app: Any) -> Any:
        """Return the coroutine that serves the request: its time begins here, and not when the loop comes to it."""
        self.note_begin()
        return self.run(app)

    def run(self, app: Any) -> Any:
        """Return the coroutine that serves a request which was taken note of."""
        raise NotImplementedError

    def note_begin(self) -> None:
        """Take note that the request has come."""
        self.began = perf_counter()
        self.raw = self.scope["raw_path"]
        if self.id_header:
            self.take_id()
        if self.observers.begun:
            self.observers.tell_begun(self)

    def end(self, status: int = 0) -> None:
        """Tell the observers, once; `status` is that of an answer which is not the application's."""
        if self.over or not self.began:
            # A pipelined request whose turn never came was not served.
            return
        self.over = True
        self.seconds = perf_counter() - self.began
        if status:
            self.status = status
        elif self.disconnected and not self.response_started:
            self.status = CLIENT_GONE
        self.observers.tell_ended(self)


class Cycle(Noted, Base):
    """Mixed into a class of Uvicorn's."""

    @property
    def access_log(self) -> bool:
        """Whether Uvicorn shall write a line: it does where the logger has handlers, which applications look for."""
        return False

    @access_log.setter
    def access_log(self, _: bool) -> None:
        pass

    def run_asgi(self, app: Any) -> Any:
        """Return the coroutine that serves the request."""
        return self.serve(app)

    async def run(self, app: Any) -> None:
        """Serve the request."""
        CURRENT.set(self)
        self.in_flight.add(self)
        try:
            await super().run_asgi(app)
        finally:
            self.in_flight.discard(self)
            self.end()

    async def receive(self) -> Any:
        """Receive a part of the request, and take note of it."""
        message = await super().receive()
        self.received += len(message.get("body", b""))  # type: ignore[arg-type]
        return message

    async def send(self, message: Any) -> None:
        """Send a part of the answer, and take note of it."""
        if not self.response_started:
            if message["type"] == "http.response.start":
                self.status = whole(message["status"])
                message = {**message, "status": self.status, "headers": list(message.get("headers", ()))}
                self.answer = message["headers"]
                if self.id_header:
                    self.default_headers = self.default_headers + self.id_fields(names(self.answer))
        elif not self.disconnected and self.scope["method"] != "HEAD":
            self.sent += len(message.get("body", b""))
        await super().send(message)
        if self.response_complete:
            self.end()


class WebSocket(Asked):
    """The record of a WebSocket, from the handshake to its end: 101, or what refused it; what was sent are messages.

    The application is called with its `receive` and `send`.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.began = perf_counter()
        self.scope, self.raw = scope, scope["raw_path"]
        self._receive, self._send = receive, send
        self.gone = False

    async def serve(self, app: Any) -> None:
        """Serve it."""
        if self.id_header:
            self.take_id()
        CURRENT.set(self)
        self.in_flight.add(self)
        self.observers.tell_begun(self)
        try:
            await app(self.scope, self.receive, self.send)
        finally:
            self.in_flight.discard(self)
            self.seconds = perf_counter() - self.began
            if not self.status:
                self.status = CLIENT_GONE if self.gone else 500
            self.observers.tell_ended(self)

    async def receive(self) -> Any:
        """Receive a message, and take note of the end."""
        message = await self._receive()
        self.received += len(message.get("bytes") or (message.get("text") or "").encode("utf-8", "replace"))
        self.gone = self.gone or message["type"] == "websocket.disconnect"
        return message

    async def send(self, message: Any) -> None:
        """Send a message, and take note of it."""
        kind = message["type"]
        if kind == "websocket.send":
            self.sent += len(message.get("bytes") or (message.get("text") or "").encode("utf-8", "replace"))
        elif kind == "websocket.accept":
            self.status = 101
            message = self.identified(message)
        elif kind == "websocket.close":
            self.status = self.status or NOT_ACCEPTED
        elif kind == "websocket.http.response.start":
            self.status = whole(message["status"])
            message = self.identified({**message, "status": self.status})
        elif kind == "websocket.http.response.body":
            self.sent += len(message.get("body", b""))
        await self._send(message)

    def identified(self, message: Any) -> Any:
        """Return the message that begins an answer, with the request's id."""
        self.answer = list(message.get("headers", ()))
        return {**message, "headers": [*self.answer, *self.id_fields(names(self.answer))]}


async def send_error(send: Send) -> None:
    """Answer as Uvicorn does where an application fails."""
    await send({"type": "http.response.start", "status": 500, "headers": ERROR_FIELDS})
    await send({"type": "http.response.body", "body": b"Internal Server Error"})


def failing(error: Exception) -> Any:
    """Return an application that fails with an `error` which came when the real one was to be called."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return application


def whole(status: Any) -> int:
    """Return the status of an answer as an int, before anything is written that it stands in.

    Raises:
        RuntimeError: when it is none of HTTP's.
    """
    if not isinstance(status, int | float) or status not in STATUS_CODES:
        raise RuntimeError(f"Invalid HTTP status: {status!r}")
    return int(status)


def names(fields: Any) -> list[bytes]:
    """Return the names of header fields in lower case; a bytearray stays one."""
    return [name.lower() for name, _ in fields]


def decoded(fields: Any) -> list[tuple[str, str]]:
    """Return header fields as text."""
    return [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in fields]
