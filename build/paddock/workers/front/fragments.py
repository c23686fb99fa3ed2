"""Messages of a WebSocket that come in many fragments: the bytes are kept, and not an object for each of them."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from paddock.settings.table import AUTO

MOST_FRAGMENTS = 1024
"""Fragments that are kept one by one. Each costs 53 bytes more than it holds, which may be a single one."""


class Fragmented(WebSocketsSansIOProtocol):
    """Uvicorn's default, whose list of a message's fragments has no bound."""

    def handle_cont(self, event: Any) -> None:
        """Take a fragment; put those before it together when there are many."""
        frames: list[Any] = self.frames
        if len(frames) >= MOST_FRAGMENTS:
            # Which grows without being copied each time. The message is bytes all the same: of two or more pieces.
            before = frames[0] if isinstance(frames[0], bytearray) else bytearray(frames[0])
            before += b"".join(frames[1:])
            frames[:] = [before]
        super().handle_cont(event)


def websocket_class(name: Any) -> Any:
    """Return what Uvicorn shall use for a value of UVICORN_WS."""
    return Fragmented if name in (AUTO, "websockets-sansio") else name
