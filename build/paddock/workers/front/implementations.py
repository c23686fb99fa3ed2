"""What UVICORN_HTTP names: what serves HTTP, with the image's limits and records."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from paddock.http.interface import Receive, Scope, Send
from paddock.http.limits import Limits
from paddock.http.record import NOBODY, Observers
from paddock.workers.front.cycle import Cycle, WebSocket
from paddock.workers.front.http1 import HttpProtocol
from paddock.workers.front.protocols import Clock

MODULES = {"zttp": ("uvicorn.protocols.http.zttp_impl", "uvicorn.protocols.http.zttp_h2_impl")}
"""Where Uvicorn's protocols look their class of cycles up, for values of UVICORN_HTTP that name one of those."""


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
    name: str, limits: Limits, attributes: dict[str, Any], base: type[Any] = HttpProtocol, **more: Any
) -> type[asyncio.Protocol] | str:
    """Return what Uvicorn shall use for a value of UVICORN_HTTP: a class with `limits`, or the name of one without.

    The `attributes` are those of `records`. The class is one of `base`, and gets `more` attributes.
    """
    if name == "zttp":
        return name
    own = {"limits": limits, "fine": limits.fine, "clock": Clock(), "observers": attributes["observers"]}
    if name == "h11":
        from paddock.workers.front.on_h11 import H11Parser  # 30 ms

        own["parse_with"] = H11Parser
    cycle = type("Cycle", (base.cycle_class,), attributes)
    return type("Http", (base,), own | {"cycle_class": cycle} | more)
