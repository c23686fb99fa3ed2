"""A request and its answer, and who is told of them: the access log, and whatever counts requests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from time import perf_counter
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from paddock.health.check import HEALTH_HEADER
from paddock.health.state import HEALTH_TOKEN
from paddock.http.ids import request_id

CLIENT_GONE = 499
"""The status of a request whose client left before an answer began, as in nginx's log."""


NOT_ACCEPTED = 403
"""The status of a WebSocket that was closed before it was accepted: https://asgi.readthedocs.io/en/latest/specs/www.html"""

UNLOGGED = "paddock.unlogged"
"""The key in a WSGI environ or an ASGI scope that keeps its request out of the access log."""


class Record(Protocol):
    """A request and its answer, the same for ASGI and WSGI. What is said of the answer holds from the end on."""

    @property
    def method(self) -> str:
        """The request's method; empty where what came was no request."""

    @property
    def status(self) -> int:
        """The answer's status; 101 for a WebSocket that was accepted."""

    @property
    def sent(self) -> int:
        """Bytes of the answer's body."""

    @property
    def received(self) -> int:
        """Bytes of the request's body that the application has read."""

    @property
    def seconds(self) -> float:
        """How long it took, from the complete head of the request to the end of the answer, by a monotonic clock."""

    @property
    def path(self) -> str:
        """The path that the client asked for, decoded, as WSGI has it: each character is a byte."""

    @property
    def query(self) -> str:
        """The query string, as it came."""

    @property
    def target(self) -> str:
        """The path and the query string that the client asked for, as they came."""

    @property
    def protocol(self) -> str:
        """`HTTP/1.1`, or another version."""

    @property
    def client(self) -> str:
        """The client's address, by the word of proxies that are believed; empty on a Unix socket."""

    @property
    def request_id(self) -> str:
        """The request's id; empty where there is none."""

    @property
    def unlogged(self) -> bool:
        """Whether the image has answered for itself."""

    @property
    def is_own(self) -> bool:
        """Whether the image is on one of its sides: it has answered for itself, or its own health check has asked."""

    def field(self, name: str) -> str | None:
        """Return a header field of the request, `name` in lower case; None if it has none."""

    def answered(self, name: str) -> str | None:
        """Return a header field of the answer, `name` in lower case; None if it has none."""

    def headers(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Return the header fields of the request and those of the answer."""

    def environ(self) -> dict[str, Any]:
        """Return the WSGI environment of the request, or what it would have been."""


class Observer(Protocol):
    """Is told of every request of a worker. A method `begun(record)` is called too where there is one, before."""

    def ended(self, record: Record) -> None:
        """Take note of a record: called once, when the answer is complete or when there will be none."""


Told = Callable[[Any], None]


class Observers:
    """Those that a worker tells; one that fails disturbs neither the request nor the others."""

    def __init__(self, observers: Sequence[Observer], ids: bool = False) -> None:
        """Take those to tell, and whether requests have ids."""
        self.ids = ids
        self.begun: tuple[Told, ...] = tuple(each.begun for each in observers if hasattr(each, "begun"))
        self.ended: tuple[Told, ...] = tuple(each.ended for each in observers)

    def tell_begun(self, record: Record) -> None:
        """Tell that a request has come."""
        for told in self.begun:
            try:
                told(record)
            except Exception:
                failed(told)

    def tell_ended(self, record: Record) -> None:
        """Tell that it is over."""
        for told in self.ended:
            try:
                told(record)
            except Exception:
                failed(told)

    def tell_refused(self, client: str, status: int) -> None:
        """Tell of a `client` to whom the image has answered with `status`, for want of a request."""
        record = Answered()
        record.refused_client = client
        record.request_id = request_id(None) if self.ids else ""
        self.tell_begun(record)
        record.end(status)
        self.tell_ended(record)


NOBODY = Observers(())


def failed(told: Told) -> None:
    """Log that an observer failed."""
    logging.getLogger("gunicorn.error").exception("%s failed", getattr(told, "__qualname__", told))


class Answered:
    """A record of a WSGI application, from Gunicorn's request, response and environment.

    `request` is None where what came could not be understood; `response` and `variables`, the environment, are there
    when the application is called.
    """

    scope = None
    request_id = ""
    status = 0
    received = 0
    seconds = 0.0
    over = False
    refused_client = ""
    """Who was refused, where there is no environment."""
    error_bytes = 0
    """Bytes of an answer that is not the application's."""

    def __init__(self, request: Any = None) -> None:
        self.request = request
        self.response: Any = None
        self.variables: dict[str, Any] = {}
        self.began = perf_counter()

    @classmethod
    def by_gunicorn(cls, response: Any, request: Any, environ: dict[str, Any], took: timedelta) -> Answered:
        """Return the record of which one of Gunicorn's worker classes tells its logger.

        `took` has a timedelta's fields and, from Gunicorn's own `asgi`, none of its methods.
        """
        record = cls(request)
        record.response, record.variables = response, environ
        record.end(int(str(response.status).split(None, 1)[0]))
        record.seconds = took.seconds + took.microseconds / 1_000_000
        return record

    def end(self, status: int = 0) -> None:
        """Note that it is over; `status` is that of an answer that is not the application's."""
        self.over = True
        self.seconds = perf_counter() - self.began
        self.status = status or self.status or getattr(self.response, "status_code", None) or 0

    @property
    def begun(self) -> bool:
        """Whether the application's answer has begun."""
        return bool(getattr(self.response, "headers_sent", False))

    @property
    def method(self) -> str:
        """See `Record`."""
        return getattr(self.request, "method", None) or ""

    @property
    def sent(self) -> int:
        """See `Record`."""
        return self.error_bytes or getattr(self.response, "sent", None) or 0

    @property
    def path(self) -> str:
        """See `Record`. PATH_INFO is what is left of it below ROOT_PATH."""
        return unquoted(getattr(self.request, "path", None) or "")

    @property
    def query(self) -> str:
        """See `Record`."""
        return getattr(self.request, "query", None) or ""

    @property
    def target(self) -> str:
        """See `Record`."""
        path, query = getattr(self.request, "path", None) or "", self.query
        return f"{path}?{query}" if query else path

    @property
    def protocol(self) -> str:
        """See `Record`."""
        version = getattr(self.request, "version", None)
        return f"HTTP/{version[0]}.{version[1]}" if version else ""

    @property
    def client(self) -> str:
        """See `Record`."""
        return str(self.variables.get("REMOTE_ADDR", self.refused_client))

    @property
    def unlogged(self) -> bool:
        """See `Record`."""
        return UNLOGGED in self.variables

    @property
    def is_own(self) -> bool:
        """See `Record`."""
        return UNLOGGED in self.variables or self.variables.get(variable(HEALTH_HEADER)) == HEALTH_TOKEN

    def field(self, name: str) -> str | None:
        """See `Record`. Fields that came more than once are joined, as in the environment."""
        if value := self.variables.get(variable(name)):
            return str(value)
        values = [value for field, value in getattr(self.request, "headers", ()) if field.lower() == name]
        return ",".join(values) if values else None

    def answered(self, name: str) -> str | None:
        """See `Record`."""
        fields = getattr(self.response, "headers", None) or ()
        return next((str(value) for field, value in reversed(fields) if field.lower() == name), None)

    def headers(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """See `Record`."""
        return list(getattr(self.request, "headers", ())), list(getattr(self.response, "headers", ()))

    def environ(self) -> dict[str, Any]:
        """See `Record`."""
        return self.variables


def unquoted(path: str) -> str:
    """Return a path without percent encoding; each character is a byte, as in WSGI."""
    return unquote_to_bytes(path).decode("latin-1") if "%" in path else path


def variable(name: str) -> str:
    """Return what a WSGI environment calls the header field `name`: https://datatracker.ietf.org/doc/html/rfc3875#section-4.1.18"""
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def environ_of(record: Any) -> dict[str, Any]:
    """Return what the WSGI environment of an ASGI record would have been."""
    scope = record.scope
    environ = {
        "REQUEST_METHOD": record.method,
        "RAW_URI": record.target,
        "PATH_INFO": record.path,
        "QUERY_STRING": record.query,
        "SERVER_PROTOCOL": record.protocol,
        "REMOTE_ADDR": record.client,
        "wsgi.url_scheme": scope.get("scheme", ""),
    }
    for name, value in scope["headers"]:
        key, text = variable(name.decode("latin-1")), value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ
