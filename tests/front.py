"""The protocol that the image has, without a server: a client is a transport that keeps what is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from paddock.http.limits import Limits
from paddock.http.record import NOBODY, Observers
from paddock.workers.front.http1 import HttpProtocol
from paddock.workers.front.implementations import protocol_class, records


class Recorder(asyncio.Transport):
    """A transport that keeps what is written to it, piece by piece."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 8000), "peername": ("127.0.0.1", 4000)})
        self.written: list[bytes] = []
        self.protocol: Any = None
        self.reading = True
        self.ended = False
        self.closed = False
        self.aborted = False
        self.unread = 0
        """Bytes of what was written that the client has not taken."""

    @property
    def text(self) -> bytes:
        """All that was written."""
        return b"".join(self.written)

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def get_write_buffer_size(self) -> int:
        return self.unread

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def send(self, data: bytes) -> None:
        """Let the server read what the client sends, unless it has closed the connection."""
        if not self.closed:
            self.protocol.data_received(data)


@contextmanager
def front(
    http: str = "auto",
    observers: Observers = NOBODY,
    id_header: str | None = None,
    base: type[Any] = HttpProtocol,
    **more: Any,
) -> Iterator[type[asyncio.Protocol]]:
    """Give the protocol class for a value of UVICORN_HTTP, as a worker of the image has it.

    It is one of `base`, and gets `more` attributes.
    """
    protocol = protocol_class(http, Limits(), records(observers, id_header=id_header), base, **more)
    assert isinstance(protocol, type)
    yield protocol


def connected(protocol: Any, application: Any, keep_alive: float = 5, **options: Any) -> tuple[Any, Recorder]:
    """Return a protocol with a client, and what that receives; on an event loop."""
    config = uvicorn.Config(
        application,
        interface="asgi3",
        http=protocol,
        log_config=None,
        access_log=False,
        timeout_keep_alive=keep_alive,  # type: ignore[arg-type]
        **options,
    )
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"today"), (b"server", b"uvicorn")]
    made, client = protocol(config=config, server_state=state, app_state={}), Recorder()
    client.set_protocol(made)
    made.connection_made(client)
    return made, client


async def turn_until(condition: Callable[[], Any]) -> None:
    """Let the event loop turn until something is so."""
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 # nobody there could set an event
            await asyncio.sleep(0.001)
