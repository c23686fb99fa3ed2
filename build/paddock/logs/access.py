"""The access log: a line for each request when its answer is complete."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from paddock.logs.formats import escape

if TYPE_CHECKING:
    from paddock.logs.logger import Logger

UNLOGGED = "paddock.unlogged"
"""The key in a WSGI environ that keeps its request out of the access log."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class AccessLog:
    """ASGI middleware that writes a line for each request, in Gunicorn's format, when its answer is complete.

    Uvicorn's own access log has neither duration nor size, and ignores `ACCESS_LOG_FORMAT`
    (https://github.com/Kludex/uvicorn/issues/527).
    """

    def __init__(self, application: Any, log: Logger) -> None:
        self.application = application
        self.log = log
        self.line = log.cfg.access_log_format

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        answer = Answer(send)
        started = time.perf_counter()
        try:
            await self.application(scope, receive, answer.send)
        finally:
            self.log.access_log.info(self.line % Atoms(scope, answer, time.perf_counter() - started))


class Answer:
    """What was sent for one request."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 500
        self.size = 0
        self.headers: list[tuple[bytes, bytes]] = []

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Pass `message` on and take note of it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self.size += len(message.get("body", b""))
        await self._send(message)


class Atoms:
    """Gunicorn's atoms for one request, each made when the format asks for it.

    https://gunicorn.org/reference/settings/#access_log_format
    """

    def __init__(self, scope: Scope, answer: Answer, seconds: float) -> None:
        self.scope = scope
        self.answer = answer
        self.seconds = seconds

    def __getitem__(self, key: str) -> Any:
        """Return the atom `key`, `-` for what there is not."""
        value = self._headers(key) if key.startswith("{") else self._atom(key)
        return escape(value) if isinstance(value, str) else value

    def _headers(self, key: str) -> str:
        wanted, kind = key[1:-2].lower().encode("latin-1", "replace"), key[-1]
        headers = {"i": self.scope["headers"], "o": self.answer.headers}.get(kind, ())
        return next((value.decode("latin-1") for header, value in headers if header.lower() == wanted), "-")

    def _atom(self, key: str) -> Any:
        scope, answer = self.scope, self.answer
        match key:
            case "h":
                return scope["client"][0] if scope.get("client") else "-"
            case "t":
                return time.strftime("[%d/%b/%Y:%H:%M:%S %z]")
            case "r":
                return f"{scope['method']} {self._target()} HTTP/{scope['http_version']}"
            case "s":
                return answer.status
            case "m":
                return scope["method"]
            case "U":
                return scope["path"]
            case "q":
                return scope["query_string"].decode("latin-1")
            case "H":
                return f"HTTP/{scope['http_version']}"
            case "b":
                return str(answer.size) if answer.size else "-"
            case "B":
                return answer.size
            case "f":
                return self._headers("{referer}i")
            case "a":
                return self._headers("{user-agent}i")
            case "T":
                return int(self.seconds)
            case "D":
                return int(self.seconds * 1_000_000)
            case "M":
                return int(self.seconds * 1000)
            case "L":
                return f"{self.seconds:.6f}"
            case "p":
                return f"<{os.getpid()}>"
        return "-"

    def _target(self) -> str:
        path = (self.scope.get("raw_path") or self.scope["path"].encode()).decode("latin-1")
        query = self.scope["query_string"].decode("latin-1")
        return f"{path}?{query}" if query else path
