"""What is done at the end of a turn of the event loop: applications are called, and their answers are written.

uvloop and asyncio make a system call, and often a packet, of each write, and Uvicorn writes the head and the body of an
answer one by one. Held for a moment they are one write; and requests which are served one after the other, with nothing
in between, cost less of the CPU than each between two system calls: what they need stays in its caches.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from time import monotonic
from typing import Any

MOST = 64 * 1024
"""Bytes beyond which nothing is held: the transport has to tell whether the client keeps up."""

LONGEST = 0.002
"""Seconds after which answers are held no longer, though there are others to come: an application may be slow."""

Tasks = set[asyncio.Task[Any]]


class Turn:
    """The turn of a worker's event loop that is going on."""

    def __init__(self, before_writing: Callable[[], None] | None = None) -> None:
        """Call `before_writing` before anything is written, so that who has an answer is known to have one."""
        self.before_writing = before_writing
        self.due: deque[tuple[Coroutine[Any, Any, None], Context, Tasks]] = deque()
        self.full: deque[Cork] = deque()
        self.ending = False

    def start(self, coroutine: Any, context: Context, tasks: Tasks) -> None:
        """Start a task at the end of the turn; `tasks` holds it until it is done."""
        self.set_end()
        self.due.append((coroutine, context, tasks))

    def hold(self, cork: Cork) -> None:
        """Let a cork go at the end of the turn, if it has not before."""
        self.set_end()
        self.full.append(cork)

    def set_end(self) -> None:
        """See to it that the turn is ended, unless somebody has."""
        if not (self.due or self.full or self.ending):
            asyncio.get_running_loop().call_soon(self.end)

    def end(self) -> None:
        """Start what is due now, and write what is held."""
        loop = asyncio.get_running_loop()
        self.ending = True
        try:
            since = monotonic()
            # What these let begin, as an answer does the next request of its connection, is for the next turn.
            for _ in range(len(self.due)):
                begin(loop, *self.due.popleft())
                if monotonic() > since + LONGEST:
                    self.write()
                    since = monotonic()
            self.write()
        finally:
            self.ending = False
            if self.due or self.full:
                loop.call_soon(self.end)

    def write(self) -> None:
        """Let all corks go."""
        if self.before_writing:
            self.before_writing()
        while self.full:
            self.full.popleft().let_go()


def begin(loop: asyncio.AbstractEventLoop, coroutine: Any, context: Context, tasks: Tasks) -> None:
    """Run a coroutine as far as it goes without waiting, which for many is to their end, and the rest as a task.

    Where the application has a way of its own to make tasks, all of it is one.
    https://docs.python.org/3/library/asyncio-task.html#asyncio.Task
    """
    if sys.version_info >= (3, 12) and loop.get_task_factory() is None:
        task = asyncio.Task(coroutine, loop=loop, context=context, eager_start=True)
        if task.done():
            return
    else:
        task = loop.create_task(coroutine, context=context)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


class Cork:
    """A transport that holds what is written to it while a turn ends, and otherwise what it is told to."""

    __slots__ = ("held", "is_closing", "size", "transport", "turn")

    def __init__(self, transport: Any, turn: Turn) -> None:
        self.transport = transport
        self.is_closing = transport.is_closing
        self.turn = turn
        self.held: list[bytes] = []
        self.size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def hold(self, data: bytes) -> None:
        """Hold `data` until more is written, or the turn ends."""
        if not self.held:
            self.turn.hold(self)
        self.held.append(data)
        self.size += len(data)

    def write(self, data: bytes) -> None:
        """Write what is held, and `data`, or hold that, too, while the turn ends."""
        if not self.turn.ending or self.size + len(data) > MOST:
            self.flush(data)
        elif data:
            # A buffer may be used again by whoever has filled it.
            self.hold(data if type(data) is bytes else bytes(data))

    def flush(self, data: bytes = b"") -> None:
        """Write what is held, and `data`."""
        if self.turn.before_writing:
            self.turn.before_writing()
        self.let_go(data)

    def let_go(self, data: bytes = b"") -> None:
        """Write what is held, and `data`, unless the client is gone."""
        held, self.held, self.size = self.held, [], 0
        if data:
            held.append(data)
        if held and not self.is_closing():
            self.transport.writelines(held)

    def close(self) -> None:
        """Write what is held, and close."""
        self.flush()
        self.transport.close()

    def write_eof(self) -> None:
        """Write what is held, and close for writing."""
        self.flush()
        self.transport.write_eof()
