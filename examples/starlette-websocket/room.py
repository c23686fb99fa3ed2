"""Who is in the room, and what everybody in it is told."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

BACKLOG = 100
"""Events that a listener may be behind."""


class Event(NamedTuple):
    """Something that happened: `people` came or went, or somebody sent a `message`."""

    kind: str
    content: Any


Queue = asyncio.Queue[Event]


class Room:
    """A room in the memory of this process."""

    def __init__(self) -> None:
        self.people: list[str] = []
        self.queues: set[Queue] = set()

    @contextmanager
    def listening(self, queue: Queue) -> Iterator[None]:
        """Put every event into `queue`, first of all who is there; end it when the listener leaves."""
        self.queues.add(queue)
        queue.put_nowait(Event("people", self.people.copy()))
        try:
            yield
        finally:
            self.queues.discard(queue)
            queue.shutdown()

    @contextmanager
    def joined(self, name: str) -> Iterator[None]:
        """Count `name` among the people."""
        self.people.append(name)
        self.tell(Event("people", self.people.copy()))
        try:
            yield
        finally:
            self.people.remove(name)
            self.tell(Event("people", self.people.copy()))

    def say(self, name: str, text: str) -> None:
        """Send a message to everybody, the sender too."""
        self.tell(Event("message", {"from": name, "text": text}))

    def tell(self, event: Event) -> None:
        """Give `event` to every listener without waiting for any: one who is too far behind is let go."""
        for queue in self.queues.copy():
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                self.queues.discard(queue)
                queue.shutdown(immediate=True)


async def heard(queue: Queue) -> AsyncIterator[Event]:
    """Yield the events of `queue` until it ends."""
    with suppress(asyncio.QueueShutDown):
        while True:
            yield await queue.get()
