"""READY_PATH: the readiness that the image answers itself, in front of the application, and before there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paddock.http.interface import Receive, Scope, Send
from paddock.http.record import UNLOGGED

READY_METHODS = ("GET", "HEAD")


def in_front(application: Any, path: str, is_ready: Callable[[], bool]) -> Any:
    """Return the ASGI 3 `application` with the image's answer at `path`.

    Put it outside of everything that writes an access log. `Connection: close` is the server's to say, in every answer.
    """

    def front(scope: Scope, receive: Receive, send: Send) -> Any:
        # What Uvicorn calls the path has the root path before it: https://asgi.readthedocs.io/en/latest/specs/www.html
        if (
            scope["type"] == "http"
            and scope["path"] == scope.get("root_path", "") + path
            and scope["method"] in READY_METHODS
        ):
            scope[UNLOGGED] = True
            return _answer(send, is_ready())
        return application(scope, receive, send)

    return front


async def _answer(send: Send, ready: bool) -> None:
    body = b"ready" if ready else b"draining"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 200 if ready else 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
