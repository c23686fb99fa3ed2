"""A worker that hangs says where: the thread that watches it, and what tells that thread how far each request is."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from threading import get_ident
from time import monotonic
from typing import Any

from paddock.http.ids import CURRENT
from paddock.start.messages import log_stack
from paddock.text.formats import escape
from paddock.workers.shared import STDERR

MARGIN = 0.5
"""Seconds before TIMEOUT that a hang is reported: the arbiter looks once a second, and kills."""

MOMENT = 0.2
"""Seconds that a worker gets to show itself after all: where the whole container was paused, nothing hangs."""

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


class Request:
    """One request of a WSGI application in flight.

    `since` is the time from which the application has been at it with nothing to show; None while it waits for the
    client.
    """

    since: float | None = None
    start: Any = None
    thread = 0
    headers: Iterable[tuple[str, str]] = ()
    answering = False
    reported = False

    def __init__(self, method: str, path: str) -> None:
        self.method = method
        self.path = path

    def __str__(self) -> str:
        return f"{self.method} {escape(self.path)}"

    def start_response(self, status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], None]:
        """WSGI's start_response. Noted is only what an event stream is known by, and looked at when it hangs."""
        self.headers = headers
        write = self.start(status, headers, *exc_info)

        def watched_write(data: bytes) -> None:
            self.since = None
            try:
                write(data)
            finally:
                self.answering = True
                self.since = monotonic()

        return watched_write

    def stuck_since(self) -> float | None:
        """Return since when the application has been stuck, if it may be; an event stream waits for its events."""
        since = self.since
        if since is not None and self.answering and self.is_event_stream():
            return None
        return since

    def is_event_stream(self) -> bool:
        """Tell whether the answer is one of server-sent events, which come when they come."""
        return any(
            name.lower() == "content-type" and value.lower().startswith("text/event-stream")
            for name, value in list(self.headers)
        )


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
        """Those in flight: each a Request, or a record of an event loop that can say the same of itself."""
        self.last = monotonic()
        self.reported_beat: float | None = None
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
        """Note that the serving thread turns; return the time that the heartbeat shall carry.

        That is now, or the time since when the application has been stuck in a thread: so the arbiter, which knows
        nothing of threads, kills a worker when its slowest one has been stuck for TIMEOUT.
        """
        now = self.last = monotonic()
        return min((since for _, since in self.stuck()), default=now) if self.requests else now

    def left(self, request: Request) -> None:
        """Note that a request is no longer in flight."""
        self.requests.discard(request)

    def stuck(self) -> Iterator[tuple[Any, float]]:
        """Yield the requests that the application works on in threads, and since when it has shown nothing for them."""
        # One call in C, which no other thread can interrupt, where iterating would fail when the set changes.
        for request in list(self.requests):
            since = request.stuck_since()
            if since is not None:
                yield request, since

    # --- The watching thread ---

    def watch(self) -> None:
        """Look when something could have hung for long enough, until stopped."""
        while not self.stopped.wait(self.pause()):
            if any(self.hanging()) and not self.stopped.wait(MOMENT):
                self.report(*self.hanging())
            elif self.recovered():
                faulthandler.enable(self.file)

    def pause(self) -> float:
        """Return for how many seconds nothing can come to hang for long enough."""
        oldest = min([self.last, *(since for _, since in self.stuck())])
        return max(oldest + self.limit - monotonic(), MOMENT / 2)

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
        text = "; ".join(words) + f". The arbiter kills this worker at TIMEOUT={self.timeout:g}." + lost(others)
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


# --- What tells the watchdog of requests ---


def watched(application: Any, watchdog: Watchdog) -> Any:
    """Return a WSGI application that tells the watchdog when it works and when it waits for the client.

    A request with `Upgrade` is left alone: applications that speak WebSocket take the socket over and never come back.
    A file is handed on as it is, so that Gunicorn can use sendfile, and a list has no code to get stuck in.
    """

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        if "HTTP_UPGRADE" in environ:
            return application(environ, start_response)
        request = Request(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        request.start, request.thread, request.since = start_response, get_ident(), monotonic()
        watchdog.requests.add(request)
        environ["wsgi.input"] = WatchedBody(environ["wsgi.input"], request)
        try:
            items = application(environ, request.start_response)
        except BaseException:
            watchdog.left(request)
            raise
        if isinstance(items, (list, tuple, environ.get("wsgi.file_wrapper", ()))):
            watchdog.left(request)
            return items
        request.since = None
        return WatchedItems(items, request, watchdog)

    return serve


class WatchedItems:
    """What a WSGI application returned, watched while it makes its items."""

    __slots__ = ("items", "iterator", "request", "watchdog")

    def __init__(self, items: Any, request: Request, watchdog: Watchdog) -> None:
        self.items = items
        self.iterator: Iterator[bytes] | None = None
        self.request = request
        self.watchdog = watchdog

    def __iter__(self) -> WatchedItems:
        return self

    def __next__(self) -> bytes:
        """Let the application make the next item."""
        request = self.request
        request.since = monotonic()
        try:
            if self.iterator is None:
                self.iterator = iter(self.items)
            item = next(self.iterator)
            request.answering = True
            return item
        finally:
            request.since = None

    def close(self) -> None:
        """End the request: the server calls this whatever happened."""
        self.request.since = monotonic()
        try:
            if hasattr(self.items, "close"):
                self.items.close()
        finally:
            self.watchdog.left(self.request)


class WatchedBody:
    """The body of a WSGI request: while it is read, the application waits for the client."""

    __slots__ = ("body", "request")

    def __init__(self, body: Any, request: Request) -> None:
        self.body = body
        self.request = request

    def __getattr__(self, name: str) -> Any:
        return getattr(self.body, name)

    def __iter__(self) -> WatchedBody:
        return self

    def __next__(self) -> Any:
        """Return the next line."""
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def read(self, *size: Any) -> Any:
        """Read up to `size` bytes."""
        return self.wait(self.body.read, size)

    def readline(self, *size: Any) -> Any:
        """Read a line."""
        return self.wait(self.body.readline, size)

    def readlines(self, *hint: Any) -> Any:
        """Read the lines that are left."""
        return self.wait(self.body.readlines, hint)

    def wait(self, read: Any, arguments: tuple[Any, ...]) -> Any:
        """Read, and do not count the time."""
        self.request.since = None
        try:
            return read(*arguments)
        finally:
            self.request.since = monotonic()
