"""A worker that hangs says where: the thread that watches it."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from threading import get_ident
from time import monotonic
from typing import Any

from paddock.http.ids import CURRENT
from paddock.start.messages import log_stack
from paddock.workers.shared import STDERR

MARGIN = 0.5
"""Seconds before TIMEOUT that a hang is reported: the arbiter looks once a second, and kills."""

MOMENT = 0.2
"""Seconds that a worker gets to show itself after all: where the whole container was paused, nothing hangs."""

PAUSE = 1.0
"""Seconds that a look is late where the process did not run: its container was paused, or the machine suspended."""

FRAMES = 50
"""Frames of a traceback that are shown, the innermost ones."""

REQUESTS = 5
"""Requests in flight that are named one by one."""


def reset_signals(init_signals: Callable[[], None], file: int = STDERR) -> None:
    """Set a worker's signal handlers, and keep the dump of every thread on SIGABRT and on a crash, into `file`.

    Python's signal handlers wait for the GIL, which a hanging extension may hold; faulthandler's does not. It goes on
    to the handler that it found, so it comes last: Gunicorn's would replace it. Enabling it twice does nothing, hence
    the first line. https://github.com/benoitc/gunicorn/blob/master/gunicorn/workers/base.py, init_signals
    """
    faulthandler.disable()
    init_signals()
    faulthandler.enable(file)


class Watchdog:
    """Watches one worker from a thread of its own.

    Made and started in the worker, in the thread that serves: that thread calls `beat` once a second at least.
    """

    def __init__(self, timeout: float, serving: str = "The event loop", file: int = STDERR) -> None:
        """Report what hangs for nearly `timeout` seconds, 0 nothing; `serving` names what calls `beat`.

        `file` is where the dump of a crash goes.
        """
        self.timeout = timeout
        self.limit = timeout - min(MARGIN, timeout / 3)
        self.serving = serving
        self.file = file
        self.thread = get_ident()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.requests: set[Any] = set()
        """Those in flight: each says since when a thread of the application's has shown nothing for it."""
        self.last = monotonic()
        self.resumed = 0.0
        """When the process went on after a pause: before that, nothing hung."""
        self.reported_beat: float | None = None
        self.due = 0.0
        self.stopped = threading.Event()

    def start(self) -> None:
        """Begin to watch. On an event loop, call it from there."""
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            self.loop = None
        self.last = monotonic()
        if self.timeout:
            threading.Thread(target=self.watch, name="paddock-watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self.stopped.set()

    def beat(self) -> float:
        """Note that the serving thread turns, once a second; return the monotonic time of that."""
        before, self.last = self.last, monotonic()
        if self.last > before + 1 + PAUSE:
            self.resumed = self.last
        return self.last

    def longest(self) -> float:
        """Return for how many seconds the application has shown nothing in the thread that hangs longest."""
        now = monotonic()
        return max((now - since for _, since in self.stuck()), default=0.0)

    def stuck(self) -> Iterator[tuple[Any, float]]:
        """Yield the requests that the application works on in threads, and since when it has shown nothing for them."""
        # One call in C, which no other thread can interrupt, where iterating would fail when the set changes.
        for request in list(self.requests):
            since = request.stuck_since()
            if since is not None:
                yield request, max(since, self.resumed)

    # --- The watching thread ---

    def watch(self) -> None:
        """Look when something could have hung for long enough, until stopped."""
        while not self.stopped.wait(self.until_due()):
            if monotonic() > self.due + PAUSE:
                self.last = self.resumed = monotonic()
            elif any(self.hanging()) and not self.stopped.wait(MOMENT):
                self.report(*self.hanging())
            elif self.recovered():
                faulthandler.enable(self.file)

    def until_due(self) -> float:
        """Return for how many seconds nothing can come to hang for long enough, and note when that will be."""
        oldest, now = min([self.last, *(since for _, since in self.stuck())]), monotonic()
        seconds = max(oldest + self.limit - now, MOMENT / 2)
        self.due = now + seconds
        return seconds

    def hanging(self) -> tuple[bool, list[Any]]:
        """Return whether the serving thread hangs, and the requests that hang in others, but for those reported."""
        limit = monotonic() - self.limit
        serving = self.last <= limit and self.last != self.reported_beat
        return serving, [request for request, since in self.stuck() if since <= limit and not request.reported]

    def recovered(self) -> bool:
        """Tell whether what was reported has come back, so that the dump on a crash is wanted again."""
        reported = self.last == self.reported_beat or any(request.reported for request in list(self.requests))
        return not reported and not faulthandler.is_enabled()

    def report(self, serving: bool, requests: list[Any]) -> None:
        """Log what hangs and where, in one record; after that, SIGABRT need not say it again.

        The logging may hang too, because what hangs may hold its lock: then the dump on SIGABRT is still there.
        """
        if not serving and not requests:
            return
        now, names, frames = monotonic(), thread_names(), sys._current_frames()
        words, stacks, named = [], [], set(requests)
        if serving:
            culprit = self.culprit()
            named |= {culprit} if culprit else set()
            words.append(
                f"{self.serving} has been blocked for {now - self.last:.1f} seconds"
                + (f" by {culprit}" * bool(culprit))
            )
            stacks.append(stack(names.get(self.thread, ""), frames.get(self.thread)))
            self.reported_beat = self.last
        for request in requests:
            name = names.get(request.thread, str(request.thread))
            since = request.since or now
            words.append(f"Thread {name} has been stuck in the application for {now - since:.1f} seconds by {request}")
            stacks.append(stack(name, frames.get(request.thread)))
            request.reported = True
        others = [str(request) for request in list(self.requests) if request not in named]
        what = "The arbiter kills this worker" if serving else "This worker takes no more requests, and is replaced,"
        text = "; ".join(words) + f". {what} at TIMEOUT={self.timeout:g}." + (lost(others) if serving else "")
        log_stack(logging.CRITICAL, text, "\n".join(stacks))
        faulthandler.disable()

    def culprit(self) -> Any:
        """Return the request whose task the event loop is in, if it is in one and Python tells (3.12 and later)."""
        if self.loop is None:
            return None
        task = asyncio.current_task(self.loop)
        context = getattr(task, "get_context", lambda: None)()
        return context.get(CURRENT) if context else None


def thread_names() -> dict[int | None, str]:
    """Return the names of Python's threads by their idents."""
    return {thread.ident: thread.name for thread in threading.enumerate()}


def stack(name: str, frame: Any) -> str:
    """Return where a thread is, as Python shows it."""
    lines = traceback.format_stack(frame)[-FRAMES:] if frame else ["  it has ended\n"]
    return f"Traceback of {name} (most recent call last):\n" + "".join(lines).rstrip("\n")


def lost(others: list[str]) -> str:
    """Name the other requests that end with the worker."""
    if not others:
        return ""
    more = f" and {len(others) - REQUESTS} more" if len(others) > REQUESTS else ""
    return f" Also in flight: {', '.join(others[:REQUESTS])}{more}."
