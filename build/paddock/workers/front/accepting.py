"""Accepting, for an event loop: when there is no room for one more connection, an idle one goes, or the client waits.

A worker whose threads are all busy leaves connections to workers that have one, for as long as those take them.

The event loops know better than to ask: uvloop's closes every connection that waits to be accepted, without a word
(https://github.com/libuv/libuv/blob/v1.x/src/unix/stream.c, uv__emfile_trick), and asyncio's logs a traceback for each.
"""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from socket import socket
from typing import Any

from paddock.http import descriptors
from paddock.start.messages import Seldom

LEAVE_PAUSE = 0.02
"""Seconds until the next look at connections that are left to other workers, which take them at once if they can."""

LEAVE_AT_MOST = 0.25
"""Seconds after which those that still wait are taken all the same: a worker that hangs may still look like room."""

TAKE_FOR = 1.0
"""Seconds for which, after that, all are taken at once."""


class Acceptor:
    """Accepts connections on the loop that runs where it is made, until told to stop."""

    def __init__(
        self,
        listeners: Iterable[socket],
        connect: Callable[[socket], Coroutine[Any, Any, Any]],
        make_room: Callable[[], bool],
        is_better_elsewhere: Callable[[], bool],
        log: Any,
        is_full: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take the `listeners`, which are closed at the end, and what makes a connection of an accepted socket.

        `make_room` closes a connection that is idle, and returns whether there was one. `is_better_elsewhere` tells
        whether other workers shall take new connections, if they do; `is_full` whether there are as many as there may
        be, and says so itself.
        """
        self.listeners = list(listeners)
        self.connect = connect
        self.make_room = make_room
        self.is_better_elsewhere = is_better_elsewhere
        self.left_since: float | None = None
        """The loop's time since when connections wait that were left to other workers; None while those take them."""
        self.takes_until = 0.0
        """The loop's time until which none is left to other workers."""
        self.is_full = is_full
        self.warn = Seldom(log.warning)
        self.loop = asyncio.get_running_loop()
        self.connecting: dict[asyncio.Task[Any], float] = {}
        """Those that are not made yet, which TLS takes its time for, and since when; the oldest first."""
        self.paused: asyncio.TimerHandle | None = None

    left = False
    """Whether others accept instead."""

    def start(self) -> None:
        """Begin to accept, or go on with it."""
        if self.left:
            return
        if not any(map(waits, self.listeners)):
            self.left_since = None
        for listener in self.listeners:
            listener.setblocking(False)
            self.loop.add_reader(listener.fileno(), self.accept, listener)

    def leave_to_others(self) -> None:
        """Accept no more, but leave the listeners open: who connects waits in the kernel for another worker."""
        for listener in self.listeners:
            self.loop.remove_reader(listener.fileno())
        self.left = True

    def pause(self, seconds: float) -> None:
        """Accept no more for so many seconds: clients wait in the kernel, for this worker or for another."""
        for listener in self.listeners:
            self.loop.remove_reader(listener.fileno())
        self.paused = self.loop.call_later(seconds, self.start)

    async def take_the_rest(self, until: float) -> None:
        """Accept all that waits in the kernel, since nobody else might, until the monotonic time `until` at most."""
        for listener in self.listeners:
            while time.monotonic() < until:
                try:
                    connection, _ = listener.accept()
                except OSError as error:
                    if error.errno not in descriptors.SHORTAGES:
                        break
                    descriptors.warn(self.warn)
                    self.find_room()
                    await asyncio.sleep(descriptors.SHORTAGE_PAUSE)
                else:
                    self.begin(connection)

    def stop(self) -> None:
        """Accept no more, and close the listeners."""
        if self.paused:
            self.paused.cancel()
        for listener in self.listeners:
            self.loop.remove_reader(listener.fileno())
            listener.close()
        self.listeners.clear()

    def accept(self, listener: socket) -> None:
        """Accept one connection: the loop calls again when there are more, and other workers want some, too."""
        if descriptors.is_short():
            descriptors.warn(self.warn)
            self.find_room()
            return
        if self.leaves():
            self.pause(LEAVE_PAUSE)
            return
        if self.is_full() and not self.find_room():
            return
        try:
            connection, _ = listener.accept()
        except OSError as error:
            # Else another worker has taken it, or the client has gone.
            if error.errno in descriptors.SHORTAGES:
                descriptors.warn(self.warn)
                self.find_room()
            return
        self.begin(connection)

    def leaves(self) -> bool:
        """Tell whether to leave a connection that waits to other workers; not for long where nobody takes any."""
        if not self.is_better_elsewhere():
            return False
        now = self.loop.time()
        if self.left_since is None:
            self.left_since = now
        elif now > self.left_since + LEAVE_AT_MOST:
            self.left_since, self.takes_until = None, now + TAKE_FOR
        return now >= self.takes_until

    def begin(self, connection: socket) -> None:
        """Make a connection of an accepted socket."""
        connection.setblocking(False)
        task = self.loop.create_task(self.finish(connection))
        self.connecting[task] = self.loop.time()
        task.add_done_callback(self.connecting.pop)

    async def finish(self, connection: socket) -> None:
        """See a connection through its TLS handshake; that it fails is the client's matter."""
        with suppress(OSError):
            await self.connect(connection)

    def find_room(self) -> bool:
        """Close a connection that waits, or accept no more for a moment; return whether there was one."""
        if self.make_room() or self.give_up_handshake():
            return True
        self.pause(descriptors.SHORTAGE_PAUSE)
        return False

    def give_up_handshake(self) -> bool:
        """Close the connection whose TLS handshake has taken longest; return whether there was one."""
        for task, since in self.connecting.items():
            if since > self.loop.time() - descriptors.LEAST_IDLE:
                return False
            if not task.cancelling():
                task.cancel()
                return True
        return False


def waits(listener: socket) -> bool:
    """Tell whether a connection waits to be accepted."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))
