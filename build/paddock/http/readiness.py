"""READY_PATH: the readiness that the image answers itself, in front of the application, and before there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paddock.application.kinds import Kind
from paddock.http.interface import Receive, Scope, Send
from paddock.http.record import UNLOGGED

READY_METHODS = ("GET", "HEAD")


def in_front(application: Any, path: str, is_ready: Callable[[], bool], kind: Kind) -> Any:
    """Return `application` with the image's answer at `path`; what was ASGI 2 is ASGI 3 then.

    Put it outside of everything that writes an access log. `Connection: close` is the server's to say, in every answer.
    """
    if kind.asgi:
        return _asgi_in_front(application, path, is_ready, kind is Kind.ASGI2)
    return _wsgi_in_front(application, path, is_ready)


def _answer(ready: bool) -> tuple[int, str, list[tuple[str, str]], bytes]:
    body = b"ready" if ready else b"draining"
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    return (200, "200 OK", headers, body) if ready else (503, "503 Service Unavailable", headers, body)


def _asgi_in_front(application: Any, path: str, is_ready: Callable[[], bool], asgi2: bool) -> Any:
    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        # What Uvicorn calls the path has the root path before it: https://asgi.readthedocs.io/en/latest/specs/www.html
        if (
            scope["type"] == "http"
            and scope["path"] == scope.get("root_path", "") + path
            and scope["method"] in READY_METHODS
        ):
            scope[UNLOGGED] = True
            await answer(send)
        elif asgi2:
            await application(scope)(receive, send)
        else:
            await application(scope, receive, send)

    async def answer(send: Send) -> None:
        status, _, headers, body = _answer(is_ready())
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        await send({"type": "http.response.body", "body": body})

    return front


def _wsgi_in_front(application: Any, path: str, is_ready: Callable[[], bool]) -> Any:
    def front(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] != path or environ["REQUEST_METHOD"] not in READY_METHODS:
            return application(environ, start_response)
        environ[UNLOGGED] = True
        _, status, headers, body = _answer(is_ready())
        start_response(status, headers)
        return [body]

    return front
