"""What the image's worker classes share: how they begin, when they want to be replaced, how they are told to stop."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from paddock.application.kinds import Kind
from paddock.application.loading import resolve
from paddock.ending import end_by, leave
from paddock.errors import EXIT_FAILURE, EXIT_NO_ROOM, is_shortage
from paddock.http import ids
from paddock.http.record import Observer, Observers
from paddock.logs.access import AccessLog, access_log
from paddock.logs.statsd import StatsdLogger
from paddock.metrics.slots import Counter
from paddock.processes import forget_handlers
from paddock.settings.environment import own
from paddock.settings.sizing import read_limits, share
from paddock.settings.table import AUTO, SHUTDOWN_SHARE
from paddock.workers.shared import (
    SERVED_ENOUGH,
    TOO_LARGE,
    Shared,
    announce_ready,
    ask_for_replacement,
    capacity_of,
    descriptor,
    is_dismissed,
    is_ready,
)
from paddock.workers.watchdog import Watchdog, reset_signals

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
"""Blocked from the fork until the worker has its handlers: the arbiter's, which it inherits, would swallow them."""

LAST_MOMENT = 0.3
"""Seconds that threads have at least, from the end of their worker on."""

IDLE_LINGER = 1.0
"""Seconds that an idle connection of a stopping worker stays open, for a request that may be on its way already."""


class BootingWorker(Worker):  # type: ignore[misc]
    """A worker that knows what kind of application it has, and loses nothing when it goes."""

    # Gunicorn gives each of these its default back before it sets a handler; one that comes in between would kill.
    SIGNALS = tuple(number for number in Worker.SIGNALS if number not in STOP_SIGNALS)

    alive: bool
    wsgi: Any
    kind: Kind
    max_requests: int
    watchdog: Watchdog
    observers: list[Observer]
    """Who is told of every request that this worker serves."""
    told: Observers
    access_log: AccessLog | None = None
    shared: Shared | None = None
    """What it shares with the image's arbiter."""
    memory: ResidentMemory | None = None
    """What this worker holds, with MAX_WORKER_MEMORY."""
    most_memory = 0
    """Bytes that it may hold."""
    draining = False
    hurried = False
    accept_until = 0.0
    stop_by = float("inf")
    gone_by = float("inf")

    def init_process(self) -> None:
        """Run the worker's whole life, and see to it that the process ends when that does."""
        let_children_go()
        # Before the application registers anything, and so after it: they run in the reverse order.
        atexit.register(ignore_stop_signals)
        status = EXIT_FAILURE
        try:
            super().init_process()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
            raise
        except Exception as error:
            # As `guarding` says.
            status = status_of(self, error)
            raise
        finally:
            self.begin_stop()
            end_by(max(self.gone_by, time.monotonic() + LAST_MOMENT), status)

    def init_signals(self) -> None:
        """Set the worker's signal handlers, and let in what came since the fork."""
        reset_signals(super().init_signals, descriptor(self))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def load_wsgi(self) -> None:
        """Import the application, find out what it is, and `adopt` it."""
        self.most_memory = most_memory(self.cfg)
        if self.most_memory:
            self.memory = ResidentMemory()
        super().load_wsgi()
        self.watchdog = Watchdog(self.cfg.timeout, file=descriptor(self))
        self.wsgi, self.kind = resolve(self.wsgi, own(self.cfg, "app_type"))
        self.observers = []
        if log := access_log(self.log, self.cfg):
            self.observers.append(log)
            self.access_log = log
            atexit.register(log.flush)
        if isinstance(self.log, StatsdLogger):
            self.observers.append(self.log)
        if slot := self.shared and self.shared.slot:
            slot.threads = 0 if self.kind.asgi else self.cfg.threads
            self.observers.append(Counter(slot))
        if self.age == 1:
            for warning in getattr(self.app, "late_warnings", lambda kind: [])(self.kind):
                self.log.warning("%s", warning)
        self.told = Observers(self.observers, ids=bool(ids.header(own(self.cfg, "request_id_header"))))
        self.adopt()

    def adopt(self) -> None:
        """Prepare for the application in `wsgi`, once it is imported."""

    def notify(self) -> None:
        """Tell the arbiter that the worker lives, and whether it has had its time."""
        beat = self.watchdog.beat()
        os.utime(self.tmp.fileno(), (beat, beat))
        if self.access_log:
            self.access_log.flush(patience=0)
        if self.requests() >= self.max_requests:
            self.ask_for_replacement(SERVED_ENOUGH)
        if self.memory and self.memory.read() > self.most_memory:
            self.ask_for_replacement(TOO_LARGE)

    def requests(self) -> int:
        """Return how many requests the worker has served."""
        raise NotImplementedError

    def ask_for_replacement(self, reason: int) -> None:
        """Ask the image's arbiter for a successor; under another arbiter just make room for one."""
        if not ask_for_replacement(self, reason):
            os.kill(os.getpid(), signal.SIGTERM)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM, before the event loop runs: there is nothing to finish."""
        self.exits_if_booting()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGINT and SIGQUIT, before the event loop runs: end at once.

        Ctrl-C comes from the terminal and from the arbiter, and the second must not interrupt what the first has begun.
        """
        if self.exits_if_booting() or self.hurried:
            return
        self.hurry()
        super().handle_quit(sig, frame)

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """SIGABRT, from the arbiter: die. An exception would end up in the application, and be answered with a 500."""
        self.cfg.worker_abort(self)
        if self.access_log:
            self.access_log.flush()
        leave(EXIT_FAILURE)

    def hurry(self) -> None:
        """Leave no time for what is in flight."""
        self.hurried = True
        self.accept_until = self.stop_by = time.monotonic()
        self.gone_by = self.stop_by + IDLE_LINGER

    def exits_if_booting(self) -> bool:
        """End the process unless the worker serves already; return whether it is ending.

        The exception may be swallowed by what runs, and Python ignores it in a weak reference's callback, of which
        importing has some: then the worker ends before it serves. It is raised once, because a second one, such as the
        arbiter's for a Ctrl-C that the terminal has sent to all, would end up in what the first one ends.
        """
        if not self.booted and self.alive:
            self.alive = False
            sys.unraisablehook = show_unless_exit
            raise SystemExit(0)
        return not self.booted

    def begin_stop(self) -> None:
        """Set the times of a graceful stop, all counted from now."""
        if self.stop_by != float("inf"):
            return
        now = time.monotonic()
        dismissed = is_dismissed(self)
        self.draining = not dismissed
        capacity_of(self).close()
        self.accept_until = now if dismissed else now + own(self.cfg, "drain_delay")
        self.stop_by = now + self.cfg.graceful_timeout * (1 - SHUTDOWN_SHARE)
        self.gone_by = now + self.cfg.graceful_timeout * (1 - SHUTDOWN_SHARE / 2)


def show_unless_exit(ignored: sys.UnraisableHookArgs) -> None:
    """Show an exception that Python ignores, as it does by itself, unless it asks the process to end: that it will."""
    if not issubclass(ignored.exc_type, SystemExit):
        sys.__unraisablehook__(ignored)


def let_children_go() -> None:
    """See to it that a process which the application forks, as multiprocessing does, dies of a signal that ends it.

    The worker's handlers would swallow it: Gunicorn's note that the worker is to stop, an event loop's do nothing.
    One that comes before they are gone waits for that.
    """
    masks = threading.local()

    def before() -> None:
        masks.former = signal.pthread_sigmask(signal.SIG_BLOCK, Worker.SIGNALS)

    def after_in_parent() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.former)

    def after_in_child() -> None:
        forget_handlers(Worker.SIGNALS)
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.former)

    os.register_at_fork(before=before, after_in_parent=after_in_parent, after_in_child=after_in_child)


def ignore_stop_signals() -> None:
    """Ignore what asks to stop: the interpreter puts the default handlers back before it has ended, and dies of it.

    That would look like a crash. https://github.com/python/cpython/blob/3.14/Python/pylifecycle.c, _PySignal_Fini
    """
    if threading.current_thread() is threading.main_thread():
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def most_memory(cfg: Any) -> int:
    """Return how many bytes a worker may hold by MAX_WORKER_MEMORY; 0 for no limit."""
    given = own(cfg, "max_worker_memory")
    return (share(read_limits().memory, cfg.workers) if given == AUTO else given) or 0


class ResidentMemory:
    """How much memory this process holds. The file stays open: the heartbeat must not need a descriptor.

    https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html
    """

    def __init__(self) -> None:
        self.file = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> int:
        """Return the memory in bytes."""
        return int(os.pread(self.file, 128, 0).split()[1]) * os.sysconf("SC_PAGESIZE")


def announcing(post_worker_init: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return the hook, extended to announce workers of classes that are not the image's and cannot do it themselves."""

    def hook(worker: Any) -> None:
        post_worker_init(worker)
        if not isinstance(worker, BootingWorker):
            let_stop_signals_in(worker)
            announce_ready(worker)

    return hook


def let_stop_signals_in(worker: Any) -> None:
    """Let in what came since the fork, once the handlers of a worker of any class can take it.

    Those on an event loop can when that runs: uvloop drops what comes before.
    https://github.com/MagicStack/uvloop/blob/master/uvloop/loop.pyx, _setup_or_resume_signals
    """
    loop = getattr(worker, "loop", None)
    let_in = partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, STOP_SIGNALS)
    loop.call_soon(let_in) if isinstance(loop, asyncio.AbstractEventLoop) else let_in()


def status_of(worker: Any, error: Exception) -> int:
    """Return the exit status of a worker that an exception ends."""
    if is_shortage(error) and not is_ready(worker):
        return EXIT_NO_ROOM
    return EXIT_FAILURE if worker.booted else int(Arbiter.WORKER_BOOT_ERROR)


def guarding(post_fork: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Return Gunicorn's `post_fork` hook, extended to log what ends the worker: Gunicorn prints it, too, as it is.

    https://github.com/benoitc/gunicorn/blob/master/gunicorn/arbiter.py, spawn_worker
    """

    def hook(arbiter: Any, worker: Any) -> None:
        run = worker.init_process

        def init_process() -> None:
            try:
                run()
            except Exception as error:
                status = status_of(worker, error)
                if status != EXIT_NO_ROOM:
                    worker.log.exception("Exception in worker process")
                raise SystemExit(status) from None

        worker.init_process = init_process
        try:
            post_fork(arbiter, worker)
        except Exception:
            worker.log.exception("The hook post_fork has failed")
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None

    return hook
