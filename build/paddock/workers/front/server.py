"""Uvicorn's server, stopped by its worker, which loses no request."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import filterfalse, islice
from socket import socket
from typing import Any

import uvicorn

from paddock.http import descriptors
from paddock.http.limits import Limits
from paddock.http.proxy_protocol import Client
from paddock.start.messages import Seldom
from paddock.text.output import waiting
from paddock.workers.base import IDLE_LINGER, BootingWorker
from paddock.workers.front.accepting import Acceptor
from paddock.workers.front.announced import Announcements, announced
from paddock.workers.front.delivery import queued
from paddock.workers.shared import announce_ready, capacity_of

NO_TIME = 0.1
"""Seconds for what is in flight when there is no time left: enough for Uvicorn to see that nothing is."""


class Server(uvicorn.Server):
    """Uvicorn's server, stopped by its worker, which loses no request."""

    def __init__(self, config: uvicorn.Config, worker: BootingWorker) -> None:
        super().__init__(config)
        self.worker = worker
        self.limits = Limits.of(worker.cfg)
        self.acceptor: Acceptor | None = None
        self.announcements: Announcements | None = None
        self.most: int = worker.cfg.worker_connections
        """Connections that may be open at once."""
        self.say_full = Seldom(worker.log.warning)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the worker: Uvicorn would raise SIGTERM again at the end, and kill the process by it."""
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Run lifespan startup and start to accept."""
        # Without the sockets: Uvicorn leaves a TLS handshake a minute, and accepting to the event loop.
        await super().startup(sockets=[])
        if self.started:
            if self.worker.cfg.proxy_protocol != "off":
                cfg = self.worker.cfg
                self.announcements = Announcements(cfg, self.limits, self.worker.told, self.server_state)
            elsewhere = capacity_of(self.worker).is_better_elsewhere
            log = self.worker.log
            self.acceptor = Acceptor(sockets or [], self.connect, self.make_room, elsewhere, log, self.is_full)
            self.acceptor.start()
            # Not before: a startup that takes long is no hang, and has a time limit of its own.
            self.worker.watchdog.start()
            self.worker.notify()
            announce_ready(self.worker)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Drain, stop accepting, finish what is in flight, run lifespan shutdown.

        Uvicorn's own closes idle connections at once, with the requests that are on their way to them, and never
        accepts what the kernel has accepted (https://github.com/benoitc/gunicorn/issues/2567).
        """
        if not self.worker.hurried:
            await self.drain()
            if self.acceptor:
                await self.acceptor.take_the_rest(self.worker.stop_by)
                self.acceptor.stop()
            # What libraries hook into, to end streams that would not end by themselves:
            # https://github.com/sysid/sse-starlette/blob/main/sse_starlette/sse.py, AppStatus
            self.handle_exit(signal.SIGTERM, None)
            await self.let_go()
        self.config.timeout_graceful_shutdown = max(NO_TIME, self.worker.stop_by - time.monotonic())  # type: ignore[assignment]
        if self.acceptor:
            self.acceptor.stop()
        await super().shutdown(sockets=None)

    def announce_end(self) -> None:
        """Let every answer from now on close its connection."""
        close = (b"connection", b"close")
        if close not in self.config.encoded_headers:
            self.config.encoded_headers.append(close)
            self.server_state.default_headers.append(close)

    async def drain(self) -> None:
        """Go on accepting for DRAIN_DELAY, which SIGINT and SIGQUIT end."""
        while (left := self.worker.accept_until - time.monotonic()) > 0:
            await self.on_tick(0)
            await asyncio.sleep(min(0.2, left))

    async def connect(self, connection: socket) -> None:
        """Serve a connection that was accepted."""
        loop = asyncio.get_running_loop()
        if self.announcements is None:
            await loop.connect_accepted_socket(self.protocol, connection, **self.tls())
            return
        accepted = loop.time()
        client = await self.announcements.read(connection)
        spent = loop.time() - accepted
        await loop.connect_accepted_socket(partial(self.protocol_for, client, accepted), connection, **self.tls(spent))

    def is_full(self) -> bool:
        """Tell whether there are as many connections as there may be, and warn of it."""
        handshakes = len(self.acceptor.connecting) if self.acceptor else 0
        if len(self.server_state.connections) + handshakes < self.most:
            return False
        self.say_full(
            "%d connections are open, the most that GUNICORN_WORKER_CONNECTIONS allows: closing those that send no "
            "request, the oldest first, and accepting no more where there are none",
            self.most,
        )
        return True

    def make_room(self) -> bool:
        """Close what has waited longest for a request: one connection, of very many one in a hundred.

        Only where there is none, one whose request's head does not come to its end. Returns whether there was any.
        """
        idle = [connection for connection in self.server_state.connections if is_idle(connection)]
        silent = [connection for connection in idle if not is_in_head(connection)]
        return close_oldest(silent or idle)

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol of a connection that was accepted."""
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def protocol_for(self, client: Client | None, accepted: float) -> asyncio.Protocol:
        """Return the protocol of a connection for the client that a proxy has announced, if any.

        `accepted` is the loop's time since when the client has had time for the head of a request.
        """
        protocol: Any = self.config.http_protocol_class
        made = announced(protocol)(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state, announced=client
        )
        made.accepted = accepted
        return made  # type: ignore[no-any-return]

    def tls(self, spent: float = 0) -> dict[str, Any]:
        """Return what asyncio has to know to speak TLS with a client that has `spent` seconds of its time."""
        if not self.config.ssl:
            return {}
        allowed = self.limits.head_timeout
        return {"ssl": self.config.ssl, "ssl_handshake_timeout": max(allowed - spent, NO_TIME) if allowed else None}

    def is_shaking_hands(self) -> bool:
        """Tell whether a TLS handshake is going on: Uvicorn knows of a connection from its end on."""
        return bool(self.acceptor and self.acceptor.connecting)

    async def let_go(self) -> None:
        """Close connections as they are done, for as long as the worker has time; WebSockets are told at once.

        One that waits for a request stays open a little: its client may have been told nothing, and be sending.
        """
        told = {
            connection
            for connection in self.server_state.connections
            if not hasattr(connection, "cycle") and not is_http2(connection)
        }
        for websocket in told:
            websocket.shutdown()
        begun = now = time.monotonic()
        due: dict[Any, float] = {}
        closed: dict[Any, float] = {}
        while now < self.worker.stop_by and (
            self.server_state.connections or (now < begun + IDLE_LINGER and self.is_shaking_hands())
        ):
            for connection in self.server_state.connections - told:
                if connection in closed:
                    # TLS waits for the client to close it, too; one that keeps its connection for later does not look.
                    if now >= closed[connection] + IDLE_LINGER and not queued(connection.transport):
                        connection.transport.abort()
                elif not is_idle(connection):
                    # HTTP/2 says which request was the last: the client takes the next one elsewhere.
                    due[connection] = now if is_http2(connection) else now + IDLE_LINGER
                elif now >= due.setdefault(connection, now + IDLE_LINGER):
                    connection.shutdown()
                    closed[connection] = now
            await asyncio.sleep(0.02)
            now = time.monotonic()


def is_http2(connection: Any) -> bool:
    """Tell whether a connection has requests side by side."""
    return hasattr(connection, "cycles")


def is_idle(connection: Any) -> bool:
    """Tell whether an HTTP connection waits for a request; a WebSocket does not."""
    if is_http2(connection):
        return not connection.cycles
    cycle = getattr(connection, "cycle", connection)
    return cycle is None or bool(getattr(cycle, "response_complete", False))


def is_in_head(connection: Any) -> bool:
    """Tell whether a part of a request's head has come on an HTTP connection that `is_idle`."""
    look = getattr(connection, "is_in_head", None)
    return bool(look and look())


def close_oldest(idle: list[Any]) -> bool:
    """Close those of the `idle` connections that have waited longest; return whether there was any."""
    long_ago = asyncio.get_running_loop().time() - descriptors.LEAST_IDLE
    oldest = sorted((connection for connection in idle if idle_since(connection) <= long_ago), key=idle_since)
    transports = (connection.transport for connection in oldest)
    going = list(islice(filterfalse(is_busy, transports), 1 + len(oldest) // 100))
    for transport in going:
        # Not close(), which waits for a client that takes nothing, and with TLS for its consent.
        transport.abort()
    return bool(going)


def idle_since(connection: Any) -> float:
    """Return since when, by the event loop's clock, an HTTP connection waits for a request."""
    timer = getattr(connection, "timeout_keep_alive_task", None)
    return max(
        getattr(connection, "accepted", 0.0),
        getattr(connection, "idle_since", None) or 0.0,
        timer.when() - connection.timeout_keep_alive if timer else 0.0,
    )


def is_busy(transport: asyncio.Transport) -> bool:
    """Tell whether a client has sent what nobody has read, or has not taken all of its last answer yet."""
    return is_sending(transport) or transport.get_write_buffer_size() > 0 or queued(transport) > 0


def is_sending(transport: asyncio.Transport) -> bool:
    """Tell whether a client has sent what nobody has read yet."""
    connection = transport.get_extra_info("socket")
    return connection is not None and connection.fileno() >= 0 and waiting(connection.fileno()) > 0
