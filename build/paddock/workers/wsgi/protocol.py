"""The front's HTTP/1.1 with a shorter way for WSGI: most requests and answers need no coroutine.

Those that are not there at once, and those of HTTP/2, go the way of ASGI: see `Exchange`.
"""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import Any, ClassVar

from paddock.workers.front.http1 import HttpCycle, HttpProtocol, nothing
from paddock.workers.wsgi.exchange import Exchange
from paddock.workers.wsgi.files import FilePart, sendfile
from paddock.workers.wsgi.pool import Pool
from paddock.workers.wsgi.takeover import Tunnel


class WsgiCycle(HttpCycle):
    """Sends an answer that is complete at once."""

    connection: Any
    """The protocol, until the answer is complete."""

    def finish(self, exchange: Exchange) -> bool:
        """Send an answer as a whole; return whether that could be done, or nobody waits for it."""
        if self.disconnected:
            exchange.leave()
            return True
        if self.response_complete:
            return True
        if not exchange.complete or exchange.failed or exchange.left or self.flow.write_paused:
            return False
        parts = exchange.parts
        if len(parts) > 1:
            if any(isinstance(part, FilePart) for part in parts):
                return False
            body: Any = b"".join(parts)  # type: ignore[arg-type]
        else:
            body = parts[0] if parts else b""
            if isinstance(body, FilePart):
                return False
        parts.clear()
        exchange.taken = exchange.pushed
        cork = self.transport
        cork.begins = True
        self.write_head(exchange.status, exchange.fields, exchange.line)
        self.write_body(body, False)
        cork.begins = False
        # What would keep both alive when the connection has gone.
        self.on_response = nothing
        del self.connection
        return True

    def carry_on(self, rest: Coroutine[Any, Any, None]) -> None:
        """Let a coroutine send the rest."""
        self.connection.begin(self.run(lambda *_: rest), self.connection.context.copy())

    def hand_over(self, tunnel: Tunnel) -> Any:
        """Let `tunnel` have the connection, in place of HTTP; return its transport."""
        connection, transport = self.connection, self.transport.transport
        self.response_started = self.response_complete = True
        connection.upgraded = True
        connection.server_state.total_requests += 1
        connection.clock.due.pop(connection, None)
        if connection.timeout_keep_alive_task:
            connection.timeout_keep_alive_task.cancel()
        connections: set[Any] = connection.connections
        connections.discard(connection)
        connections.add(tunnel)
        transport.set_protocol(tunnel)
        if transport.is_closing() or connection.pipeline:
            transport.abort()
        return transport

    @property
    def sendfile(self) -> Any:
        """What lets the kernel send a part of a file as the body; None with TLS, which the kernel does not speak."""
        return None if self.transport.get_extra_info("sslcontext") or self.chunked_encoding else self._sendfile

    async def _sendfile(self, file: int, offset: int, count: int) -> None:
        self.transport.flush()
        self.transport.set_write_buffer_limits(high=0)
        await self.flow.drain()
        self.transport.set_write_buffer_limits()
        if self.disconnected:
            return
        connection = self.transport.get_extra_info("socket")
        try:
            sent = await sendfile(connection, file, offset, count, self.connection.limits.response_timeout)
        except OSError as error:
            if isinstance(error, TimeoutError):
                self.connection.cut_off()
            else:
                self.transport.abort()
            # So that nobody says that the answer is too short.
            self.disconnected = True
            return
        self.sent += sent
        self.expected_content_length -= sent


class WsgiProtocol(HttpProtocol):
    """Gives the requests of a turn of the event loop to the threads together."""

    pool: ClassVar[Pool]
    cycle_class = WsgiCycle

    def start_serving(self, cycle: Any, app: Any) -> None:
        self.serving = cycle
        cycle.connection = self
        self.pool.soon(partial(self.start, cycle, app))

    def start(self, cycle: Any, app: Any) -> None:
        """Begin a request: at once if all of it is there and it is the application's."""
        if cycle.more_body or cycle.disconnected:
            self.begin(cycle.serve(app), self.context.copy())
            return
        cycle.note_begin()
        try:
            called = app(cycle.scope, cycle.receive, cycle.send)
        except Exception:
            self.logger.exception("A request cannot be begun")
            self.transport.abort()
            return
        if type(called) is Exchange:
            called.begin()
        else:
            self.begin(cycle.run(lambda *_: called), self.context.copy())

    def note_upgrade(self) -> None:
        """Say nothing: who wants a WebSocket of WSGI may get one, and who wants another protocol need not have it."""
