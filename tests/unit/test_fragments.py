"""A WebSocket message of many fragments costs what it holds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from paddock.workers.front.fragments import MOST_FRAGMENTS, Fragmented, websocket_class


class Receiving(Fragmented):
    """The protocol with a message on its way, and without a connection."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.received: list[bytes] = []

    def send_receive_event_to_app(self) -> None:
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        assert type(data) is bytes
        self.received.append(data)


@pytest.mark.parametrize("number", [1, 2, MOST_FRAGMENTS, MOST_FRAGMENTS + 1, 5 * MOST_FRAGMENTS])
def test_fragments_are_put_together(number: int) -> None:
    protocol, most = Receiving(), 0
    pieces = [bytes([index % 256]) for index in range(number)]
    for index, piece in enumerate(pieces, 1):
        event: Any = SimpleNamespace(data=piece, fin=index == number)
        protocol.handle_cont(event)
        most = max(most, len(protocol.frames))

    assert protocol.received == [b"".join(pieces)]
    assert most <= MOST_FRAGMENTS + 1


def test_who_names_another_gets_that() -> None:
    assert websocket_class("auto") is websocket_class("websockets-sansio") is Fragmented
    assert [websocket_class(name) for name in ("websockets", "wsproto", "none")] == ["websockets", "wsproto", "none"]
