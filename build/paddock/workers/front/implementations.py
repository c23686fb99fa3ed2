"""What UVICORN_HTTP names: which of Uvicorn's implementations of HTTP serves, with the image's limits and records."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from paddock.http.interface import Receive, Scope, Send
from paddock.http.limits import Limits
from paddock.http.record import NOBODY, Observers
from paddock.workers.front.cycle import Cycle, WebSocket
from paddock.workers.front.on_httptools import HttpTools, HttpToolsCycle
from paddock.workers.front.protocols import Clock

HTTPTOOLS = "uvicorn.protocols.http.httptools_impl"

MODULES = {
    "h11": ("uvicorn.protocols.http.h11_impl",),
    "zttp": ("uvicorn.protocols.http.zttp_impl", "uvicorn.protocols.http.zttp_h2_impl"),
}
"""Where Uvicorn's protocols look their class of cycles up, by the value of UVICORN_HTTP; any other is httptools."""


def observe(
    http: str,
    observers: Observers,
    root_path: str,
    id_header: str | None,
    in_flight: set[Any],
    on_httptools: type[Any] = HttpToolsCycle,
) -> Any:
    """Let Uvicorn's protocol for UVICORN_HTTP, which is `http`, make cycles that tell `observers` and have ids.

    Those that are being served are `in_flight`. The class of those with httptools is `on_httptools`.

    Uvicorn has no setting for their class, which its protocols find by its name in their module. Returns what to wrap
    an ASGI 3 application in, so that WebSockets, which have no cycles, are told of too.
    """
    own = {
        "observers": observers,
        "in_flight": in_flight,
        "root_path": root_path,
        "id_header": id_header.lower().encode("ascii") if id_header else b"",
    }
    for name in MODULES.get(http, (HTTPTOOLS,)):
        module: Any = import_module(name)
        mixin = on_httptools if name == HTTPTOOLS else Cycle
        before = module.RequestResponseCycle
        # Uvicorn's own, where a worker before this one has put something in its place.
        base = before.__bases__[1] if issubclass(before, Cycle) else before
        module.RequestResponseCycle = type("Cycle", (mixin, base), own)
    socket = type("WebSocket", (WebSocket,), own)

    def wrap(application: Any) -> Any:
        def front(scope: Scope, receive: Receive, send: Send) -> Any:
            if scope["type"] == "websocket":
                return socket(scope, receive, send).serve(application)
            return application(scope, receive, send)

        return front

    return wrap


def protocol_class(
    name: str, limits: Limits, observers: Observers = NOBODY, on_httptools: type[Any] = HttpTools, **more: Any
) -> type[asyncio.Protocol] | str:
    """Return what Uvicorn shall use for a value of UVICORN_HTTP: a class with `limits`, or the name of one without.

    The `observers` are told of those that it refuses for want of a request. `on_httptools` is the class with httptools,
    which gets the attributes `more`.
    """
    attributes = {"limits": limits, "clock": Clock(), "observers": observers}
    if name == "zttp":
        return name
    if name == "h11":
        from paddock.workers.front.on_h11 import H11  # 30 ms, for its parser

        return type("H11", (H11,), attributes)
    return type("HttpTools", (on_httptools,), attributes | {"fine": limits.fine} | more)
