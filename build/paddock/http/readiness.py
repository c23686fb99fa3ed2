"""READY_PATH and LIVE_PATH: what the image answers itself, in front of the application and of what waits for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from paddock.http.interface import Receive, Scope, Send
from paddock.http.record import UNLOGGED

READY_METHODS = ("GET", "HEAD")

Answer = tuple[int, bytes]
"""A status and a body."""

ALIVE: Answer = (200, b"alive")


def readiness(is_draining: bool) -> Answer:
    """Return what READY_PATH answers in a worker that serves."""
    return (503, b"draining") if is_draining else (200, b"ready")


def in_front(application: Any, answers: Mapping[str, Callable[[], Answer]]) -> Any:
    """Return the ASGI 3 `application` with the image's `answers`, by their paths.

    Put it outside of everything that writes an access log. `Connection: close` is the server's to say, in every answer.
    """

    def front(scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["type"] == "http" and scope["method"] in READY_METHODS:
            # What Uvicorn calls the path has the root path before it:
            # https://asgi.readthedocs.io/en/latest/specs/www.html
            root: str = scope.get("root_path", "")
            if scope["path"].startswith(root) and (answer := answers.get(scope["path"][len(root) :])):
                scope[UNLOGGED] = True
                return _send(send, *answer())
        return application(scope, receive, send)

    return front


async def _send(send: Send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
