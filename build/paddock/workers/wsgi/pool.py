"""The threads that call a WSGI application, and how requests come to them and answers back.

What costs is waking a thread, and threads that want the interpreter at the same time. So what an event loop's turn has
brought goes to one thread, another joins when that is slow, and the loop is woken once for all that is done.

A thread that waits for its client has left its place to another: slow clients keep nobody out.
"""

from __future__ import annotations

import asyncio
from _thread import LockType, allocate_lock
from collections import deque
from collections.abc import Callable
from threading import Lock, Thread
from time import perf_counter
from typing import Any, Protocol

from paddock.start.messages import Seldom

STAY = 0.01
"""Seconds for which a thread that waits for its client keeps its place: a fast one shall not lose it at each packet."""

LONG = 0.001
"""Seconds after which a request is a slow one: what waits behind it shall have a thread of its own."""


class Job(Protocol):
    """What a thread does."""

    def serve(self) -> None:
        """Do it, in a thread. It raises nothing."""

    def advance(self) -> None:
        """Take, on the event loop, what has been done so far."""


class Pool:
    """Threads, started when they are needed; at most so many are at work."""

    def __init__(self, most: int, say_full: Callable[[bool], None], warn: Callable[..., Any]) -> None:
        """Take how many may be at work, who is told, from any thread, whether so many are, and how to `warn`."""
        self.most = most
        self.say_short = Seldom(warn)
        self.loop: asyncio.AbstractEventLoop | None = None
        """Whose answers these are, while it runs."""
        self.say_full = say_full
        self.said_full = False
        self.arrived: list[Callable[[], None]] = []
        """What there is to begin at the end of this turn of the loop."""
        self.waiting: deque[Job] = deque()
        """What no thread has taken yet."""
        self.idle: deque[LockType] = deque()
        """What the sleeping threads wait for; the one that went to sleep last is woken first."""
        self.told: deque[Job] = deque()
        """Those that have something for the loop."""
        self.calling = False
        """Whether the loop will look at them."""
        self.threads = 0
        self.away = 0
        """How many of them wait for their clients, or for a place after that."""
        self.returning: deque[LockType] = deque()
        """What those wait for that want a place again; they come before what waits."""
        self.places = Lock()
        """Held while places are given and taken."""
        self.slow = False
        """Whether recent requests were slow."""
        self.looking = False
        self.began = 0.0
        """When a thread last began with a job, or went on with one."""

    @property
    def busy(self) -> int:
        """How many threads are at work."""
        return self.threads - self.away - len(self.idle)

    @property
    def is_full(self) -> bool:
        """Whether there is no place left for one more job."""
        return self.busy >= self.most

    # On the event loop

    def soon(self, begin: Callable[[], None]) -> None:
        """Call `begin`, which may put something in, at the end of this turn."""
        if not self.arrived and self.loop:
            self.loop.call_soon(self.end_turn)
        self.arrived.append(begin)

    def end_turn(self) -> None:
        """Begin what this turn has brought, and let threads have it together."""
        arrived, self.arrived = self.arrived, []
        for begin in arrived:
            begin()
        self.hand_over()

    def put(self, job: Job) -> None:
        """Put something in, now."""
        self.waiting.append(job)
        self.hand_over()

    def hand_over(self) -> None:
        """Wake as many threads as it takes."""
        left = len(self.waiting)
        if self.slow or not self.busy:
            for _ in range(left if self.slow else min(left, 1)):
                if not self.wake():
                    break
                left -= 1
        if left and not self.looking and not self.is_full:
            self.look_later()

    def look(self) -> None:
        """Wake another thread if something still waits."""
        self.looking = False
        if self.waiting and (self.wake() or not self.busy):
            self.look_later()

    def look_later(self) -> None:
        """See, in a moment, whether what waits has been taken."""
        if self.loop:
            self.looking = True
            self.loop.call_later(LONG, self.look)

    def wake(self) -> bool:
        """Wake a thread, or start one; return whether there was a place left."""
        with self.places:
            if self.is_full:
                return False
            try:
                self.idle.pop().release()
            except IndexError:
                try:
                    self.start()
                except RuntimeError as error:
                    self.say_short("No thread can be started beside the %d there are: %s", self.threads, error)
                    return False
            self.say()
        return True

    def start(self) -> None:
        """Start a thread.

        Raises:
            RuntimeError: where the system does not let us: containers have limits for processes, threads included.
        """
        self.threads += 1
        try:
            Thread(target=self.work, name=f"paddock-wsgi-{self.threads}", daemon=True).start()
        except RuntimeError:
            self.threads -= 1
            raise

    def deliver(self) -> None:
        """Take what the threads have done so far."""
        self.calling = False
        told = self.told
        while told:
            told.popleft().advance()

    # In a thread

    def tell(self, job: Job) -> None:
        """Let the loop take what a job has done so far; wake it once, for all of them."""
        self.told.append(job)
        if not self.calling:
            self.calling = True
            self.call(self.deliver)

    def call(self, function: Callable[[], None]) -> bool:
        """Let the loop call a function, soon; return whether it still runs: else the time to stop was over."""
        try:
            self.loop.call_soon_threadsafe(function)  # type: ignore[union-attr]
        except (AttributeError, RuntimeError):
            return False
        return True

    def wait(self, wait: Callable[..., Any]) -> None:
        """Wait for a thread's client, whose thread leaves its place to others after a moment.

        `wait` takes seconds, or waits for ever, and tells whether it is over. A single thread stays: it has told the
        application that no other one is in it (`wsgi.multithread`).
        """
        if self.most == 1:
            wait()
        elif not wait(STAY):
            self.leave()
            try:
                wait()
            finally:
                self.come_back()

    def leave(self) -> None:
        """Leave the place to others."""
        with self.places:
            self.away += 1
            self.pass_on()
        if self.waiting:
            self.call(self.hand_over)

    def come_back(self) -> None:
        """Take a place again, when there is one."""
        lock = allocate_lock()
        lock.acquire()
        with self.places:
            self.returning.append(lock)
            self.pass_on()
        lock.acquire()

    def pass_on(self) -> None:
        """Give what places there are to those who want to come back; `places` is held."""
        while self.returning and not self.is_full:
            self.away -= 1
            self.began = perf_counter()
            self.returning.popleft().release()
        self.say()

    def say(self) -> None:
        """Tell whether there is no place left, where that is new; `places` is held."""
        # Once more when that is said: threads go to sleep without `places`.
        while (is_full := self.is_full) != self.said_full:
            self.said_full = is_full
            self.say_full(is_full)

    def work(self) -> None:
        """Do what there is; sleep when there is nothing."""
        waiting, returning, lock = self.waiting, self.returning, allocate_lock()
        lock.acquire()
        job: Job | None = None
        while True:
            while waiting and not returning:
                try:
                    job = waiting.popleft()
                except IndexError:
                    break
                self.began = began = perf_counter()
                job.serve()
                self.slow = perf_counter() - began > LONG
            # What it holds shall not stay until the next one.
            job = None
            if self.threads - self.away > self.most and self.end():
                return
            self.idle.append(lock)
            if self.said_full or returning:
                with self.places:
                    self.pass_on()
            if not (waiting and self.rise(lock)):
                lock.acquire()

    def end(self) -> bool:
        """Tell whether this thread shall end: it was started in the place of one that has come back."""
        with self.places:
            is_surplus = self.threads - self.away > self.most
            if is_surplus:
                self.threads -= 1
                self.pass_on()
        if is_surplus and self.waiting:
            self.call(self.hand_over)
        return is_surplus

    def rise(self, lock: LockType) -> bool:
        """Sleep no more, because something came when this thread did not sleep yet; return whether that could be."""
        with self.places:
            if self.is_full:
                # Those at work will see it.
                return False
            try:
                self.idle.remove(lock)
            except ValueError:
                # Somebody has woken it.
                return False
            self.say()
        return True
