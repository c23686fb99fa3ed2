"""What UVICORN_HTTP names: which of Uvicorn's implementations of HTTP serves, with the image's limits and records."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from paddock.http.interface import Receive, Scope, Send
from paddock.http.limits import Limits
from paddock.http.record import NOBODY, Observers
from paddock.workers.front.cycle import Cycle, WebSocket
from paddock.workers.front.on_httptools import HttpTools
from paddock.workers.front.protocols import Clock

MODULES = {
    "h11": ("uvicorn.protocols.http.h11_impl",),
    "zttp": ("uvicorn.protocols.http.zttp_impl", "uvicorn.protocols.http.zttp_h2_impl"),
}
"""Where Uvicorn's protocols look their class of cycles up, by the value of UVICORN_HTTP; any other is httptools."""


def records(
    observers: Observers = NOBODY,
    root_path: str = "",
    id_header: str | None = None,
    in_flight: set[Any] | None = None,
) -> dict[str, Any]:
    """Return the attributes of what serves requests: who is told of them, their ids, and where those in flight are."""
    return {
        "observers": observers,
        "in_flight": set() if in_flight is None else in_flight,
        "root_path": root_path,
        "id_header": id_header.lower().encode("ascii") if id_header else b"",
    }


def observe(http: str, attributes: dict[str, Any]) -> Any:
    """Let Uvicorn's protocols for UVICORN_HTTP, which is `http`, make cycles that have the attributes of `records`.

    Uvicorn has no setting for their class, which its protocols find by its name in their module. Returns what to wrap
    an ASGI 3 application in, so that WebSockets, which have no cycles, are told of too.
    """
    for name in MODULES.get(http, ()):
        module: Any = import_module(name)
        before = module.RequestResponseCycle
        # Uvicorn's own, where a worker before this one has put something in its place.
        base = before.__bases__[1] if issubclass(before, Cycle) else before
        module.RequestResponseCycle = type("Cycle", (Cycle, base), attributes)
    socket = type("WebSocket", (WebSocket,), attributes)

    def wrap(application: Any) -> Any:
        def front(scope: Scope, receive: Receive, send: Send) -> Any:
            if scope["type"] == "websocket":
                return socket(scope, receive, send).serve(application)
            return application(scope, receive, send)

        return front

    return wrap


def protocol_class(
    name: str, limits: Limits, attributes: dict[str, Any], on_httptools: type[Any] = HttpTools, **more: Any
) -> type[asyncio.Protocol] | str:
    """Return what Uvicorn shall use for a value of UVICORN_HTTP: a class with `limits`, or the name of one without.

    The `attributes` are those of `records`. `on_httptools` is the class with httptools, which gets `more` attributes.
    """
    own = {"limits": limits, "clock": Clock(), "observers": attributes["observers"]}
    if name == "zttp":
        return name
    if name == "h11":
        from paddock.workers.front.on_h11 import H11  # 30 ms, for its parser

        return type("H11", (H11,), own)
    cycle = type("Cycle", (on_httptools.cycle_class,), attributes)
    return type("HttpTools", (on_httptools,), own | {"fine": limits.fine, "cycle_class": cycle} | more)
