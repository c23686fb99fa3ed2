"""Connections whose clients proxies announce by the PROXY protocol, before TLS and HTTP."""

from __future__ import annotations

import asyncio
import logging
import select
from contextlib import suppress
from functools import cache, partial
from socket import MSG_PEEK, SHUT_WR, socket
from typing import TYPE_CHECKING, Any

from uvicorn.server import ServerState

from paddock.http.forwarded import Proxies
from paddock.http.limits import CLOSE_LINGER, Limits, answer
from paddock.http.proxy_protocol import LONGEST, Client, MalformedError, announces, parse
from paddock.http.record import Observers

FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.25
"""Seconds between two looks at a header that is incomplete; each is twice as long as the one before. The loop cannot
wait for more of what stays in the kernel."""

if TYPE_CHECKING:
    from uvicorn.protocols.http.zttp_impl import ZttpProtocol as Base
else:
    Base = object


class RefusedError(ConnectionError):
    """A connection was closed, and the log says why."""


class Announced(Base):
    """Mixed into a protocol class of Uvicorn's, for HTTP or WebSockets: it serves the client that was announced."""

    ws_protocol_class: Any

    def __init__(self, *args: Any, announced: Client | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.announced = announced

    def connection_made(self, transport: Any) -> None:
        """Put the client in the place of the peer, if one was announced."""
        super().connection_made(transport)
        self.client = self.announced or self.client

    def handle_websocket_upgrade(self, *event: Any) -> None:
        """Hand the connection over to a protocol of the same client."""
        self.ws_protocol_class = partial(announced(self.ws_protocol_class), announced=self.announced)
        super().handle_websocket_upgrade(*event)


@cache
def announced(protocol: Any) -> Any:
    """Return a protocol class of Uvicorn's with an argument `announced`."""
    return type(protocol.__name__, (Announced, protocol), {})


class Announcements:
    """Reads who the clients of accepted connections are, where a proxy that PROXY_ALLOW_IPS names says so."""

    def __init__(self, cfg: Any, limits: Limits, observers: Observers, state: ServerState) -> None:
        """Take the configuration, whose time for a head is for this too, and what it takes to refuse a peer."""
        self.versions = cfg.proxy_protocol
        self.proxies = Proxies(cfg, "proxy_allow")
        self.patience = limits.head_timeout
        self.tls = cfg.is_ssl
        self.observers = observers
        self.state = state
        self.logger = logging.getLogger("uvicorn.error")

    async def read(self, connection: socket) -> Client | None:
        """Return the client that `connection` begins with, and take it off; None when the peer speaks for itself.

        Raises:
            OSError: when the connection is of no use, and was closed.
        """
        try:
            return await self._read(connection)
        except BaseException:
            connection.close()
            raise

    async def _read(self, connection: socket) -> Client | None:
        peer = connection.getpeername()
        address, name = (peer[0], f"{peer[0]}:{peer[1]}") if isinstance(peer, tuple) else ("", "a client")
        data, header = b"", None
        try:
            async with asyncio.timeout(self.patience or None):
                while (begins := announces(data, self.versions)) is None:
                    data = await longer(connection, data)
                if not begins:
                    return None
                allowed = self.proxies.peer(address).believed
                while allowed and (header := parse(data)) is None:
                    data = await longer(connection, data)
        except MalformedError as error:
            self.logger.info("Refused %s: %s", name, error)
            raise RefusedError from error
        except TimeoutError:
            if data:
                reason = f"no complete PROXY header within {self.patience:g} s, REQUEST_HEAD_TIMEOUT"
                self.logger.info("Refused %s: %s", name, reason)
            raise
        if header is None:
            how = "" if self.tls else " with 403"
            self.logger.info("Refused %s%s: a PROXY header, and PROXY_ALLOW_IPS does not name it", name, how)
            if not self.tls:
                self.observers.tell_refused(address, 403)
                await turn_away(connection, answer(403, self.state.default_headers))
            raise RefusedError
        connection.recv(header.size)
        if header.client:
            header.client.by = address
        return header.client


async def longer(connection: socket, seen: bytes) -> bytes:
    """Wait until more has come than was `seen`, and return it; all of it stays in the kernel, for TLS or HTTP.

    Raises:
        ConnectionError: when no more will come.
    """
    pause = FIRST_PAUSE
    while True:
        # In this order: what came before the end is not missed.
        ended = has_ended(connection)
        data = peek(connection)
        if len(data) > len(seen):
            return data
        if ended:
            raise ConnectionAbortedError
        if not data:
            await readable(connection)
        else:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def has_ended(connection: socket) -> bool:
    """Tell whether the client sends no more."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(0))


def peek(connection: socket) -> bytes:
    """Return what has come, as far as it can be a header."""
    with suppress(BlockingIOError):
        return connection.recv(LONGEST, MSG_PEEK)
    return b""


async def readable(connection: socket) -> None:
    """Wait until something comes, or the end."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(connection, came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(connection)


async def turn_away(connection: socket, text: bytes) -> None:
    """Answer, and let the client end the connection, or have its time: closing at once would reset the answer."""
    loop = asyncio.get_running_loop()
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_LINGER):
            await loop.sock_sendall(connection, text)
            connection.shutdown(SHUT_WR)
            while await loop.sock_recv(connection, LONGEST):
                pass
