"""UVICORN_LIMIT_CONCURRENCY: how many requests an application has at once.

Uvicorn counts connections, so that silent ones turn away who asks, and the tasks of requests that have begun, of which
there are none yet when many come together.
https://github.com/Kludex/uvicorn/blob/main/uvicorn/protocols/http/httptools_impl.py
"""

from __future__ import annotations

import logging
from typing import Any

from uvicorn.protocols.http.flow_control import service_unavailable

from paddock.http.ids import CURRENT
from paddock.http.interface import Receive, Scope, Send
from paddock.start.messages import Seldom


def limited(application: Any, most: int) -> Any:
    """Return an ASGI 3 application that answers 503 while `most` requests run, but for those of the health check.

    WebSockets are no requests here: they stay for as long as they like.
    """
    running = 0
    say = Seldom(logging.getLogger("gunicorn.error").warning)

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal running
        if scope["type"] != "http" or is_own():
            await application(scope, receive, send)
        elif running >= most:
            say("Answering 503: %d requests run, the most that UVICORN_LIMIT_CONCURRENCY allows", most)
            await service_unavailable(scope, receive, send)  # type: ignore[arg-type]
        else:
            running += 1
            try:
                await application(scope, receive, send)
            finally:
                running -= 1

    return front


def is_own() -> bool:
    """Tell whether the request that is being served is the image's own."""
    record = CURRENT.get()
    return bool(record and record.is_own)
