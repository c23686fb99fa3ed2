"""A connection with limits, of which Uvicorn's protocols have none (https://github.com/Kludex/uvicorn/issues/2345).

A request that arrives whole in one piece, as nearly all do, costs a comparison or two. Sizes are looked at when the
head is complete and was large enough to exceed one, and time only while a request is incomplete.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar

from paddock.http.limits import BODY_RATE, CLOSE_LINGER, PHRASES, Limits, answer
from paddock.http.record import Observers
from paddock.workers.front.delivery import Delivery, acknowledged
from paddock.workers.watchdog import PAUSE

HEAD = "head"
BODY = "body"

SWEEP = 0.5
"""Seconds between two looks at incomplete requests, and between the end of a client's time and its refusal: what it
sent may wait in the kernel, since an event loop that the application has blocked runs timers before it reads."""

HALF_CLOSED = 1.0
"""Seconds for which a client that has closed its side is kept without taking anything: one that has left looks alike,
and who serves it shall know."""

LOOKS = 10
"""Looks at an answer within RESPONSE_TIMEOUT: a client is cut off no later than a tenth of it after it."""

READ = 256 * 1024
"""The most that asyncio and uvloop read at once."""

WAITING = 100
"""Pipelined requests of a connection that wait, beyond which nothing more of it is read until some are answered."""

FED_AT_ONCE = 4096
"""Bytes that are parsed at once, which some 230 requests fit in: what is parsed cannot be put back. A body in such
pieces costs no more than in one."""


class Clock:
    """When to look at which connection: one timer for all of them, because one for each costs more than the rest.

    It stands still while the process does, in a container that is paused or a machine that is suspended, and for as
    long as the application blocks the loop: what a client has sent meanwhile waits in the kernel.
    """

    def __init__(self) -> None:
        self.due: dict[Limited, float] = {}
        self.sweeping: asyncio.TimerHandle | None = None
        self.stood = 0.0
        """Seconds for which it stood still."""

    def time(self, loop: asyncio.AbstractEventLoop) -> float:
        """Return the time, in seconds since some moment of the past."""
        return loop.time() - self.stood

    def set(self, connection: Limited, due: float) -> None:
        """Look at `connection` at the time `due`, or before."""
        self.due[connection] = min(due, self.due.get(connection, due))
        if not self.sweeping:
            self.sweep_later(connection.loop)

    def sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look in a moment."""
        self.sweeping = loop.call_later(SWEEP, self.sweep, loop)

    def sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at those whose time has come."""
        self.stood += lateness(self.sweeping, loop)
        now = self.time(loop)
        for connection in [connection for connection, due in self.due.items() if due <= now]:
            del self.due[connection]
            connection.look(now)
        self.sweeping = None
        if self.due:
            self.sweep_later(loop)


def lateness(timer: asyncio.TimerHandle | None, loop: asyncio.AbstractEventLoop) -> float:
    """Return for how many seconds nothing ran when `timer` should have; 0.0 for what a busy machine is late by."""
    late = loop.time() - timer.when() if timer else 0.0
    return late if late > PAUSE else 0.0


class Flow:
    """Whether a connection is read and written, as its buffers and those that serve it want it."""

    full = False
    """Whether so much waits that nothing more is to be read, however many requests ask for a body."""
    read_paused = False
    write_paused = False
    was_paused = False
    """Whether nothing was read for a time, since somebody looked."""
    was_resumed = False
    """Whether writing went on after a pause, since somebody looked."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.writable = asyncio.Event()
        self.writable.set()

    async def drain(self) -> None:
        """Wait until the client has taken something of what waits for it."""
        await self.writable.wait()

    def pause_reading(self) -> None:
        """Read no more for a time."""
        self.was_paused = True
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading, unless enough waits."""
        if self.read_paused and not self.full:
            self.read_paused = False
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        """Let the application wait for the client."""
        self.write_paused = True
        self.writable.clear()

    def resume_writing(self) -> None:
        """Let the application go on: the client has taken something, or has gone."""
        self.was_resumed = True
        self.write_paused = False
        self.writable.set()


class Limited(asyncio.Protocol):
    """A connection as Uvicorn's server knows one, with the clock and the refusal."""

    limits: ClassVar[Limits]
    clock: ClassVar[Clock]
    observers: ClassVar[Observers]
    transport: Any
    flow: Flow
    delivery: Delivery
    server: tuple[str, int | None] | None = None
    client: Any = None
    scheme = "http"
    scope: Any = None
    """That of the last request that came."""
    headers: list[tuple[bytes, bytes]]
    cycle: Any = None
    """What serves the last request whose head has come."""
    serving: Any = None
    """What serves the request whose answer is due, or was the last."""
    timeout_keep_alive_task: asyncio.TimerHandle | None = None

    watched: str | None = None
    """What `since` counts for. None: whatever comes next begins anew."""
    since = 0.0
    """When the head began, or the span over which the body's pace is looked at."""
    came_at = 0.0
    """When the last byte of the body came."""
    came = 0
    """Bytes of the body since `since`."""
    follows = False
    """Whether the clock looks at the answers."""
    half_closed: float | None = None
    """When the client closed its side, or took something after that."""
    taken_then = 0
    """Bytes that it had taken then."""
    quiet: Any = None
    """The cycle that was not writing, at the last look."""
    idle_since: float | None = None
    """The loop's time since which the connection waits for a request; None while it does not."""
    lingering: asyncio.TimerHandle | None = None
    glanced = False
    refused = False
    upgraded = False

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any]) -> None:
        """Take Uvicorn's configuration, what its server knows of all connections, and the state of its lifespan."""
        self.config, self.app = config, config.loaded_app
        self.root_path: str = config.root_path
        self.asgi_version: str = config.asgi_version
        self.ws_protocol_class: Any = config.ws_protocol_class
        self.timeout_keep_alive: float = config.timeout_keep_alive
        self.server_state, self.app_state = server_state, app_state
        self.connections: set[Any] = server_state.connections
        self.tasks: set[asyncio.Task[None]] = server_state.tasks
        self.logger = logging.getLogger("uvicorn.error")
        self.pipeline: deque[Any] = deque()
        """Requests whose turn has not come."""
        self.loop = asyncio.get_running_loop()
        # The loop asks for a protocol when it accepts.
        self.accepted = self.loop.time()

    def connection_made(self, transport: Any) -> None:
        """Start the clock: a connection that says nothing is not kept, and a TLS handshake is part of its time."""
        self.connections.add(self)
        self.transport, self.flow, self.delivery = transport, Flow(transport), Delivery()
        self.server, self.client = address_of(transport, "sockname"), address_of(transport, "peername")
        if self.client and self.client[1] is None:
            # Scopes have hosts: https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope
            self.client = None
        if transport.get_extra_info("sslcontext"):
            self.scheme = "https"
        self.watch(HEAD, self.accepted - self.clock.stood)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self.connections.discard(self)
        self.clock.due.pop(self, None)
        for timer in (self.lingering, self.timeout_keep_alive_task):
            if timer:
                timer.cancel()
        self.timeout_keep_alive_task = None
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()

    def pause_writing(self) -> None:
        """Let the application wait: the transport's buffer is full."""
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        """Let the application go on."""
        self.flow.resume_writing()

    def watch_on(self, size: int) -> None:
        """Set the clock for what is still to come behind so many bytes."""
        if self.refused or self.upgraded:
            return
        stage = self.stage()
        if stage is None:
            self.watched = None
            self.keep_idle()
        elif stage != self.watched:
            self.watch(stage)
        elif stage is BODY:
            self.came_at = self.clock.time(self.loop)
            self.came += size

    def stage(self) -> str | None:
        """Return which part of a request is incomplete, if any."""
        raise NotImplementedError

    def eof_received(self) -> bool:
        """Keep the connection of a client that has said all, as long as it has an answer to come.

        TLS does not know that: https://docs.python.org/3/library/asyncio-protocol.html#asyncio.Protocol.eof_received
        """
        cycle = self.serving
        if self.scheme == "https" or self.refused or cycle is None or cycle.response_complete:
            return False
        if self.stage() is BODY and cycle is self.cycle:
            return False
        self.half_closed, self.taken_then = self.clock.time(self.loop), acknowledged(self.transport)
        self.clock.set(self, self.half_closed + HALF_CLOSED)
        return True

    def look_at_half_closed(self, since: float, now: float) -> None:
        """Close the connection of a client that may have left: it has got nothing for a while that it could take."""
        taken = acknowledged(self.transport)
        if taken != self.taken_then:
            self.half_closed = since = now
            self.taken_then = taken
        if now < since + HALF_CLOSED:
            self.clock.set(self, since + HALF_CLOSED)
        else:
            self.transport.close()

    def keep_idle(self) -> None:
        """Begin to count the time until the next request."""
        raise NotImplementedError

    # The clock

    def watch(self, stage: str, since: float | None = None) -> None:
        """Count the time of `stage`, from now unless it began before."""
        self.watched = stage
        self.since = self.came_at = self.clock.time(self.loop) if since is None else since
        self.came, self.glanced = 0, False
        if allowed := self.allowed(stage):
            self.clock.set(self, self.since + allowed)

    def allowed(self, stage: str) -> float:
        """Return how long a stage may take, in seconds; 0 is for ever."""
        return self.limits.head_timeout if stage is HEAD else self.limits.body_timeout

    def look(self, now: float) -> None:
        """Be done with a client whose time is over."""
        stage = self.stage()
        if stage and stage == self.watched and not self.refused and not self.transport.is_closing():
            self.look_at_request(stage, now)
        if self.half_closed is not None and not self.transport.is_closing():
            self.look_at_half_closed(self.half_closed, now)
        if self.follows:
            self.look_at_answer(now)

    def look_at_request(self, stage: str, now: float) -> None:
        """Refuse a client that does not complete its request."""
        if not (allowed := self.allowed(stage)):
            return
        if self.is_excused(stage):
            self.watch(stage, now)
        elif now < (due := min(self.since, self.came_at) + allowed):
            self.glanced = False
            self.clock.set(self, due)
        elif stage is BODY and now < self.came_at + allowed and self.came >= allowed * BODY_RATE:
            self.since, self.came, self.glanced = now, 0, False
            self.clock.set(self, self.came_at + allowed)
        elif not self.glanced:
            self.glanced = True
            self.clock.set(self, now)
        elif stage is BODY:
            self.refuse(
                408,
                f"{self.came} bytes of the body in {allowed:g} s, REQUEST_BODY_TIMEOUT, "
                f"in which {allowed * BODY_RATE:g} have to come",
            )
        elif self.has_begun():
            self.refuse(408, f"no complete head within {allowed:g} s, REQUEST_HEAD_TIMEOUT")
        else:
            self.transport.close()

    def is_excused(self, stage: str) -> bool:
        """Tell whether it is not the client's fault that nothing came: nobody reads, or it waits to be asked."""
        if stage is HEAD:
            return self.flow.read_paused or bool(self.pipeline)
        was_paused, self.flow.was_paused = self.flow.was_paused, False
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:
            # For a part of the time until the next look, too.
            self.flow.was_paused = True
        return was_paused or self.flow.was_paused or bool(self.pipeline)

    def follow(self) -> None:
        """Look at the answers now and then, until there is none that the client has not taken."""
        if allowed := self.limits.response_timeout:
            self.follows = True
            self.clock.set(self, self.clock.time(self.loop) + allowed / LOOKS)

    def look_at_answer(self, now: float) -> None:
        """Cut a client off that takes nothing of its answer."""
        cycle, flow, allowed = self.serving, self.flow, self.limits.response_timeout
        over = cycle is None or cycle.response_complete or self.transport.is_closing()
        quiet = cycle if over or flow.write_paused else None
        rests = quiet is not None and quiet is self.quiet and not flow.was_resumed
        self.quiet, flow.was_resumed = quiet, False
        if self.delivery.look(self.transport, now, rests) >= allowed:
            self.cut_off()
        elif self.delivery.left or not over:
            self.clock.set(self, now + allowed / LOOKS)
        else:
            self.follows, self.quiet = False, None

    def cut_off(self) -> None:
        """Close the connection of a client that takes nothing, whatever is left for it."""
        cycle, left = self.serving, self.delivery.left
        self.logger.info(
            "Cut off %s: it took nothing of an answer for %g s, RESPONSE_TIMEOUT; %d bytes are left",
            self.name(),
            self.limits.response_timeout,
            left,
        )
        if cycle is not None and not cycle.response_complete:
            # What the log will say.
            cycle.sent = max(0, cycle.sent - left)
        self.transport.abort()

    def has_begun(self) -> bool:
        """Tell whether a byte of the head that is due has come."""
        raise NotImplementedError

    def name(self) -> str:
        """Return what the log calls the client."""
        return f"{self.client[0]}:{self.client[1]}" if self.client else "a client"

    def is_in_head(self) -> bool:
        """Tell whether a part of a head has come, and is waited for the rest of it."""
        return not self.refused and self.stage() is HEAD and self.has_begun()

    # The refusal

    def refuse(self, status: int, reason: str) -> None:
        """Answer with `status` where an answer can still be told from others, tell the application, and close."""
        self.refused = True
        self.flow.full = False
        self.logger.info("Refused %s with %d: %s", self.name(), status, reason)
        cycle = self.cycle
        if cycle is not None and cycle.more_body and self.stage() is not HEAD:
            if cycle.response_started or self.pipeline:
                self.transport.abort()
            else:
                self.answer(status)
            if not cycle.response_complete:
                give_up(cycle, 0 if cycle.response_started else status)
        elif cycle is None or cycle.response_complete:
            self.answer(status)
            self.observers.tell_refused(self.client[0] if self.client else "", status)
        else:
            # The answers to earlier requests are still owed; the last of them ends the connection.
            cycle.keep_alive = False

    def answer(self, status: int) -> None:
        """Answer, and close when the client has done so or has had its time."""
        self.idle_since = None
        status = status if status in PHRASES else 400
        self.transport.write(answer(status, self.server_state.default_headers))
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            # The client may be gone, and asyncio not know it yet.
            with suppress(OSError):
                self.transport.write_eof()
        self.lingering = self.loop.call_later(CLOSE_LINGER, self.end)

    def end(self) -> None:
        """Close; a client that does not even read what is left for it is not waited for."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()


def address_of(transport: Any, side: str) -> Any:
    """Return host and port of one side of a connection; path and None of a Unix socket, None of one without a name."""
    info = transport.get_extra_info(side)
    if isinstance(info, tuple | list):
        return str(info[0]), int(info[1])
    return (info, None) if info and isinstance(info, str) else None


def has_body(fields: Sequence[tuple[bytes, bytes]]) -> bool:
    """Tell whether header fields, with names in lower case, announce a body that is not empty."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b" \t0") != b"")
        for name, value in fields
    )


def give_up(cycle: Any, status: int = 0) -> None:
    """Tell the application that nobody waits for its answer any more, and observers of the `status` in its place."""
    cycle.disconnected = True
    cycle.message_event.set()
    if end := getattr(cycle, "end", None):
        end(status)
