"""Accepting, for an event loop: when there is no room for one more connection, an idle one goes, or the client waits.

The event loops know better than to ask: uvloop's closes every connection that waits to be accepted, without a word
(https://github.com/libuv/libuv/blob/v1.x/src/unix/stream.c, uv__emfile_trick), and asyncio's logs a traceback for each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from socket import socket
from typing import Any

from paddock.http import descriptors
from paddock.start.messages import Seldom


class Acceptor:
    """Accepts connections on the loop that runs where it is made, until told to stop."""

    def __init__(
        self,
        listeners: Iterable[socket],
        connect: Callable[[socket], Coroutine[Any, Any, Any]],
        make_room: Callable[[], bool],
        log: Any,
    ) -> None:
        """Take the `listeners`, which are closed at the end, and what makes a connection of an accepted socket.

        `make_room` closes a connection that is idle, and returns whether there was one.
        """
        self.listeners = list(listeners)
        self.connect = connect
        self.make_room = make_room
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
        for listener in self.listeners:
            listener.setblocking(False)
            self.loop.add_reader(listener.fileno(), self.accept, listener)

    def leave_to_others(self) -> None:
        """Accept no more, but leave the listeners open: who connects waits in the kernel for another worker."""
        for listener in self.listeners:
            self.loop.remove_reader(listener.fileno())
        self.left = True

    def pause(self) -> None:
        """Accept no more for a moment: clients wait in the kernel, for this worker or for another."""
        for listener in self.listeners:
            self.loop.remove_reader(listener.fileno())
        self.paused = self.loop.call_later(descriptors.SHORTAGE_PAUSE, self.start)

    async def take_the_rest(self, until: float) -> None:
        """Accept all that waits in the kernel, since nobody else might, until the monotonic time `until` at most."""
        for listener in self.listeners:
            while time.monotonic() < until:
                try:
                    connection, _ = listener.accept()
                except OSError as error:
                    if error.errno not in descriptors.SHORTAGES:
                        break
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
            self.find_room()
            return
        try:
            connection, _ = listener.accept()
        except OSError as error:
            # Else another worker has taken it, or the client has gone.
            if error.errno in descriptors.SHORTAGES:
                self.find_room()
            return
        self.begin(connection)

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

    def find_room(self) -> None:
        """Close a connection that waits, for its descriptor, or accept no more for a moment."""
        descriptors.warn(self.warn)
        if not self.make_room() and not self.give_up_handshake():
            self.pause()

    def give_up_handshake(self) -> bool:
        """Close the connection whose TLS handshake has taken longest; return whether there was one."""
        for task, since in self.connecting.items():
            if since > self.loop.time() - descriptors.LEAST_IDLE:
                return False
            if not task.cancelling():
                task.cancel()
                return True
        return False
