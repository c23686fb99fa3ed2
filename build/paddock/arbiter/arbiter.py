"""What Gunicorn's hooks cannot do, in one subclass of its arbiter: each override names its cause.

Workers are replaced one at a time, for a reload and for recycling alike: the next one boots, and when it serves, one
that is obsolete is told to finish. So the number of serving workers never falls.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import stat
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gunicorn import arbiter, sock
from gunicorn.errors import HaltServer

from paddock.arbiter import responder
from paddock.arbiter.following import Resizing
from paddock.arbiter.memory import OomCounter, Sizes, explain, is_memory_short
from paddock.arbiter.watcher import Watcher, leaving_it_to_the_arbiter
from paddock.ending import QUICK_TIMEOUT, end_by
from paddock.errors import EXIT_CONFIG, EXIT_FAILURE, EXIT_NO_ROOM, ConfigurationError, Problem, StartError
from paddock.health.state import DRAINING, READY, STARTING, directories
from paddock.logs.statsd import StatsdLogger
from paddock.metrics.board import Board, leaving_the_board
from paddock.metrics.tally import EXIT, MEMORY, RECYCLED, RELOAD, SIGNAL, TIMEOUT
from paddock.processes import resident
from paddock.settings.listing import configuration_lines, effective_settings, shown
from paddock.settings.sizing import read_limits
from paddock.settings.table import APPLICATION, PROCESSES, SETTINGS, SOCKET
from paddock.start.messages import Seldom, log_stack
from paddock.start.sources import Sources
from paddock.workers.base import STOP_SIGNALS, announcing, guarding
from paddock.workers.capacity import Capacities
from paddock.workers.shared import (
    REPLACEMENT_REASONS,
    SERVED_ENOUGH,
    STUCK,
    TOO_LARGE,
    dismiss,
    is_ready,
    leaving_the_others,
    sharing,
    take,
    wants_replacement,
)
from paddock.workers.watchdog import PAUSE

POLL = 0.02
"""Seconds between looks at workers while one boots or leaves: they have no other way to wake the arbiter."""

LOOK_EVERY = 1.0
"""Seconds between two looks at the workers, at most."""

POLL_FOR_CHANGES = 0.1
"""Seconds between looks at what has changed, with RELOAD."""

ABORT_TIME = 1.0
"""Seconds that a worker which hangs has for its hook `worker_abort` and its traceback."""

LAST_SECOND = 1.0
"""Seconds that the arbiter has at least when its workers have ended: what was registered with `atexit` takes some."""

SPAWN_AGAIN = 1.0
"""Seconds between two attempts to fork where the system has no room for a process, or the arbiter for a descriptor."""

BOOT_AGAIN = 10.0
"""Seconds between two attempts where a worker has found no room for its threads, and its import was in vain."""

NO_ROOM = "the system has no room for its threads, which count as processes where those are limited (--pids-limit)"

BOOT_DEATHS = 5
BOOT_DEATHS_WITHIN = 10.0
"""So many workers that die before they served, within so many seconds, end the server: it would fork for ever."""

KILLED = float("inf")
"""In place of the time until which a worker may leave: the log says already that it was killed."""

EXPLAINED = (arbiter.Arbiter.WORKER_BOOT_ERROR, arbiter.Arbiter.APP_LOAD_ERROR, EXIT_CONFIG)
"""Exit statuses of a worker that has said itself why it ends."""


RESTARTS = {
    REPLACEMENT_REASONS[SERVED_ENOUGH]: RECYCLED,
    REPLACEMENT_REASONS[TOO_LARGE]: MEMORY,
    REPLACEMENT_REASONS[STUCK]: TIMEOUT,
}
"""How the metrics call the reasons for which a worker is replaced; any other is a reload."""

MEASURED = (APPLICATION, PROCESSES, SOCKET)
"""Sections of the table whose settings are in the metrics."""


CONFIGURATION = "Current configuration:"
"""How Gunicorn's record of the whole configuration begins (gunicorn/arbiter.py, `setup`)."""


class Arbiter(arbiter.Arbiter):  # type: ignore[misc]
    """Gunicorn's arbiter, which loses no request and says one thing once."""

    LISTENERS: list[Any]

    def __init__(self, app: Any) -> None:
        self.stopping = False
        self.stop_by = 0.0
        self.served = False
        self.said_workers = 0
        self.killed = 0
        self.boot_deaths: deque[float] = deque(maxlen=BOOT_DEATHS)
        self.before_reload: Any = None
        self.reload_age = 0
        self.responder: responder.StartingResponder | None = None
        self.watcher: Watcher | None = None
        self.restarting = self.broken = False
        self.oom = OomCounter()
        self.sizes = Sizes()
        self.capacities = Capacities()
        self.oom_kills = self.oom.read()
        self.sampled = self.spawn_after = 0.0
        self.looked = self.resumed = 0.0
        self.board = Board()
        self.board.prepare(app.cfg)
        extend_hooks(app.cfg)
        super().__init__(app)
        self.say_spawning = Seldom(self.log.error)

    # --- Start and stop ---

    def setup(self, app: Any) -> None:
        """Take over the configuration, without the password of a key that is loaded.

        Gunicorn logs all of it, which is replaced by what may be shown.
        """
        app.cfg.set("keyfile_password", None)

        def conceal(record: logging.LogRecord) -> bool:
            if str(record.msg).startswith(CONFIGURATION):
                lines = configuration_lines(app.cfg, app.origins, app.contents)
                record.msg, record.args = "%s", ("\n".join([CONFIGURATION, *lines]),)
            return True

        log = logging.getLogger("gunicorn.error")
        log.addFilter(conceal)
        try:
            super().setup(app)
        finally:
            log.removeFilter(conceal)
        most = app.max_workers
        self.resizing = Resizing(most) if most else None
        self.followed = self.num_workers

    def start(self) -> None:
        """Listen, and say so in the state file."""
        self.announce()
        if self.cfg.reload:
            self.watcher = Watcher(Sources.of(self.cfg))
            self.watcher.start()
        if self.board.bind(self.cfg):
            self.announce_metrics()
        self.listen()
        self.write_state(STARTING)
        if self.cfg.ready_path or self.cfg.live_path:
            self.respond(responder.STARTING_BODY)

    def listen(self) -> None:
        """Do what Gunicorn does at its start.

        Raises:
            ConfigurationError: when a descriptor is no socket.
            StartError: when an address cannot be listened on: Gunicorn exits, having said why.
        """
        for address in self.cfg.address:
            if isinstance(address, int) and not _is_socket(address):
                raise ConfigurationError([Problem("BIND", "this descriptor is no socket", f"fd://{address}")])
        try:
            super().start()
        except SystemExit as error:
            if self.LISTENERS or error.code != 1:
                # A hook's.
                raise
            expected = "expected addresses of the container's own, and ports that nobody has"
            problem = Problem("BIND", f"cannot be listened on; {expected}", ",".join(self.cfg.bind))
            raise StartError(str(problem)) from None

    def announce(self) -> None:
        """Say what is worth knowing of the configuration."""
        for warning in self.app.warnings:
            self.log.warning("%s", warning)
        for note in self.app.notes:
            self.log.info("%s", note)

    def announce_metrics(self) -> None:
        """Say where the metrics are."""
        if self.board.listener:
            self.log.info("Metrics at: %s", self.board.place)

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers, and wait for them as long as GRACEFUL_TIMEOUT.

        Gunicorn's own waits by the wall clock, which steps, and removes a Unix socket before DRAIN_DELAY is over.
        """
        if self.stopping:
            return
        self.stopping = True
        self.write_state(DRAINING)
        self.end_responder()
        if self.watcher:
            self.watcher.stop()
        now = time.monotonic()
        limit, drained = now + self.cfg.graceful_timeout, now + self.cfg.drain_delay
        if self.dirty_arbiter_pid:
            self.kill_dirty_arbiter(signal.SIGTERM if graceful else signal.SIGQUIT)
        self.kill_workers(signal.SIGTERM if graceful else signal.SIGQUIT)
        paths = self.close_listeners()
        if not graceful:
            limit = min(limit, now + QUICK_TIMEOUT)
        while (self.WORKERS or self.dirty_arbiter_pid) and time.monotonic() < limit:
            if time.monotonic() >= drained:
                _unlink(paths)
            if graceful and self.hurried():
                graceful, limit = False, time.monotonic() + QUICK_TIMEOUT
                self.log.info("Quick shutdown requested")
                self.kill_workers(signal.SIGQUIT)
            self.reap_workers()
            self.reap_dirty_arbiter()
            self.note_numbers()
            time.sleep(POLL)
        _unlink(paths)
        self.kill_the_rest(
            f"GRACEFUL_TIMEOUT={self.cfg.graceful_timeout:g}" if graceful else f"{QUICK_TIMEOUT:g} seconds"
        )
        self.board.stop()
        self.stop_by = limit

    def respond(self, body: bytes) -> None:
        """Let a process answer every request with 503 and `body`, in place of the workers."""
        self.end_responder()
        if self.LISTENERS:
            context = sock.ssl_context(self.cfg) if self.cfg.is_ssl else None
            self.responder = responder.StartingResponder(self.LISTENERS, context, body, self.cfg.live_path)
            self.responder.start()

    def end_responder(self) -> None:
        """End the process that answers in place of the workers."""
        if self.responder:
            self.responder.stop()
            self.responder = None

    def hurried(self) -> bool:
        """Tell whether a signal has come that asks to stop at once."""
        signals = []
        while not self.SIG_QUEUE.empty():
            signals.append(self.SIG_QUEUE.get_nowait())
        return bool({signal.SIGINT, signal.SIGQUIT} & set(signals))

    def close_listeners(self) -> list[str]:
        """Close the arbiter's own copies of the listening sockets; return the paths of those in the file system.

        The workers have copies of their own. What the kernel accepted is lost when the last copy is closed, so that
        must be a worker's, who takes it all first.
        """
        keep = self.systemd or self.cfg.reuse_port
        addresses = [listener.getsockname() for listener in self.LISTENERS if listener.family == socket.AF_UNIX]
        sock.close_sockets(self.LISTENERS, unlink=False)
        self.LISTENERS = []
        return [] if keep else [path for path in addresses if isinstance(path, str) and path]

    def kill_the_rest(self, limit: str) -> None:
        """Kill what has not stopped within `limit`, and remember how many workers that were."""
        self.killed = len(self.WORKERS)
        if self.killed:
            pids = ", ".join(map(str, self.WORKERS))
            self.log.error("Killed %d workers (pid %s) that did not stop within %s", self.killed, pids, limit)
        self.kill_workers(signal.SIGKILL)
        if self.dirty_arbiter_pid:
            self.kill_dirty_arbiter(signal.SIGKILL)
        deadline = time.monotonic() + QUICK_TIMEOUT
        while self.WORKERS and time.monotonic() < deadline:
            self.reap_workers()
            time.sleep(POLL)
        if self.WORKERS:
            pids = ", ".join(map(str, self.WORKERS))
            self.log.error("Left %d workers (pid %s) behind: the kernel does not end them", len(self.WORKERS), pids)

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """Stop and exit; a worker that had to be killed makes that a failure.

        With PRELOAD_APP the application may have left threads here, which the interpreter would wait for.
        """
        self.stop()
        status = exit_status or (EXIT_FAILURE if self.killed else 0)
        now = time.monotonic()
        limit = max(min(self.stop_by, now + QUICK_TIMEOUT) if reason else self.stop_by, now + LAST_SECOND)
        end_by((now + limit) / 2, status, limit)
        super().halt(reason, status)

    def spawn_worker(self) -> int:
        """Fork a worker. In the worker's process this ends with SystemExit.

        Returns 0 where the system has no room for one: the next attempt is made in a second.
        """
        if time.monotonic() < self.spawn_after:
            return 0
        arbiter = os.getpid()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        # Gunicorn sets another umask while it makes the worker's file.
        umask = os.umask(self.cfg.umask)
        os.umask(umask)
        try:
            pid: int = super().spawn_worker()
        except OSError as error:
            if os.getpid() != arbiter:
                raise
            os.umask(umask)
            self.board.reclaim(self.WORKERS.values())
            self.wait_for_room(str(error), SPAWN_AGAIN)
            pid = 0
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if not pid:
            return 0
        worker = self.WORKERS[pid]
        self.sizes.last[pid] = resident(pid)
        shared = worker.shared
        shared.born = time.monotonic()
        if shared.slot:
            shared.slot.occupy(pid, shared.born)
        return pid

    def wait_for_room(self, why: str, seconds: float) -> None:
        """Start no worker for so many `seconds`, and say why."""
        self.spawn_after = time.monotonic() + seconds
        self.say_spawning("No worker can be started: %s. It is tried again every %g s", why, seconds)

    # --- Signals ---

    def wait_for_signals(self, timeout: float = LOOK_EVERY) -> list[int]:
        """Wait less while a worker boots or leaves or files may change, so that what follows follows at once."""
        if self.watcher:
            timeout = POLL_FOR_CHANGES
        if any(worker.shared.leaving or not is_ready(worker) for worker in self.WORKERS.values()):
            timeout = POLL
        signals: list[int] = super().wait_for_signals(timeout)
        return signals

    def handle_hup(self) -> None:
        """Reload configuration and code; what does not validate is refused, and the server goes on with the old.

        Gunicorn exits on a wrong configuration, and stops the old workers before the new ones serve.
        """
        if self.watcher:
            self.restart("SIGHUP")
            return
        self.log.info("Reloading")
        before = self.app.cfg
        if not self.reconfigure():
            self.log.error("The reload is refused, the server goes on as it was")
            return
        self.announce()
        self.before_reload, self.reload_age = self.before_reload or before, self.worker_age
        if self.cfg.preload_app:
            self.log.warning("PRELOAD_APP: the code is not reloaded, only the configuration; replace the container")
        for worker in self.staying():
            worker.shared.obsolete = "it is from before the reload"
        self.write_state(READY if self.served else STARTING)

    def reconfigure(self) -> bool:
        """Read the configuration again and listen where it says; where it is wrong, say so and keep the old one."""
        before = self.app.cfg
        old_address = self.cfg.address
        listeners = self.LISTENERS
        try:
            self.app.reload()
            extend_hooks(self.app.cfg)
            if self.app.cfg.address != old_address:
                listeners = _bound(self.app.cfg, self.LISTENERS, self.log)
            if self.board.bind(self.app.cfg):
                self.announce_metrics()
        except ConfigurationError as error:
            sock.close_sockets([listener for listener in listeners if listener not in self.LISTENERS])
            self.app.cfg = before
            for problem in error.problems:
                self.log.error("%s", problem)
            return False
        if self.app.cfg.address != old_address:
            sock.close_sockets([listener for listener in self.LISTENERS if listener not in listeners])
            self.LISTENERS = listeners
            self.log.info("Listening at: %s", ",".join(str(listener) for listener in listeners))
        self.setup(self.app)
        self.board.renew()
        self.log.reopen_files()
        self.cfg.on_reload(self)
        return True

    def handle_usr2(self) -> None:
        """Refuse to start a second server: when PID 1 ends, the container ends with everything in it."""
        self.log.error("SIGUSR2 is not supported in a container: replace the container instead")

    # --- RELOAD ---

    def note_changes(self) -> None:
        """Restart the workers when the watcher says that files have changed."""
        try:
            if self.watcher and (changed := self.watcher.changed()):
                self.restart(f"{changed} changed")
        except EOFError:
            raise HaltServer("the process that watches for changes has ended", EXIT_FAILURE) from None

    def restart(self, why: str) -> None:
        """End the workers at once; when they are gone, start with the code and configuration of then.

        Not one by one: a developer wants no answer of the old code after a change, and whatever the old worker holds,
        such as a debugger's port, is free for the new one.
        """
        self.log.info("Reloading: %s", why)
        self.end_responder()
        self.restarting, self.served, self.broken = True, False, False
        self.write_state(STARTING)
        for worker in self.staying():
            self.send_off(worker, signal.SIGQUIT, QUICK_TIMEOUT)

    def wait_for_change(self) -> None:
        """Start no worker until a file changes; who asks meanwhile is told so, unless there is a worker that serves."""
        if not self.broken:
            self.broken = True
            self.log.info("Waiting for a change")
            if not self.served:
                self.respond(responder.BROKEN_BODY)

    # --- The number of workers ---

    def staying(self) -> list[Any]:
        """Return the workers that have not been told to leave, the oldest first."""
        return sorted((w for w in self.WORKERS.values() if not w.shared.leaving), key=lambda worker: worker.age)

    def manage_workers(self) -> None:
        """Bring the workers to their number, and replace those that are obsolete, one at a time."""
        self.note_changes()
        if self.restarting and not self.WORKERS:
            self.restarting = False
            if not self.reconfigure():
                self.wait_for_change()
        self.note_ready()
        self.follow_limits()
        for worker in self.staying():
            if not worker.shared.obsolete and (reason := wants_replacement(worker)):
                worker.shared.obsolete = reason
        staying = self.staying()
        booting = [worker for worker in staying if not is_ready(worker)]
        obsolete = [worker for worker in staying if worker.shared.obsolete]
        if self.broken:
            pass
        elif not self.served:
            # The first boots alone: a broken application says so once, and the first answer comes soonest.
            if not self.WORKERS:
                self.spawn_worker()
        elif len(staying) < self.num_workers:
            for _ in range(self.num_workers - len(staying)):
                self.spawn_worker()
        elif obsolete and not booting and len(staying) == self.num_workers:
            self.spawn_worker()
        self.dismiss_surplus()
        self.note_numbers()
        self.board.tend(self.log, self.measured_settings, self.let_go, self.app.certificate_until)

    def follow_limits(self) -> None:
        """Bring the number of workers, one by one, to what the container's limits allow by now.

        Until TTIN or TTOU say another number.
        """
        if self.num_workers != self.followed:
            self.resizing = None
        if not self.resizing or self.before_reload or not self.served:
            return
        if sizing := self.resizing.changed(time.monotonic()):
            self.log.info("The container's limits have changed. WORKERS=auto: %s", sizing.reason)
        settled = all(is_ready(worker) and not worker.shared.leaving for worker in self.WORKERS.values())
        if settled and len(self.WORKERS) == self.num_workers != self.resizing.workers:
            self.num_workers += 1 if self.resizing.workers > self.num_workers else -1
            self.followed = self.num_workers

    def note_numbers(self) -> None:
        """Note, for the metrics, how many workers do what."""
        staying = [] if self.stopping else self.staying()
        serving = sum(map(is_ready, staying))
        self.board.note(self.num_workers, len(staying) - serving, serving, len(self.WORKERS) - len(staying))
        self.note_active(len(self.WORKERS))

    def note_active(self, workers: int) -> None:
        """Tell statsd how many workers there are, as Gunicorn's arbiter does."""
        if workers != self.said_workers:
            self.said_workers = workers
            if isinstance(self.log, StatsdLogger):
                self.log.gauge("gunicorn.workers", workers)

    def measured_settings(self) -> dict[str, str]:
        """Return, for the metrics, the values of settings in effect."""
        names = {setting.name for setting in SETTINGS if setting.section in MEASURED and not setting.start_only}
        rows = effective_settings(self.app.cfg, self.app.origins, self.app.contents)
        return {
            row["name"].lower(): shown(row["value"])
            for row in rows
            if row["name"] in names and row["value"] is not None
        }

    def let_go(self) -> None:
        """Close, in a process that is no worker, what only the arbiter and the workers shall have."""
        sock.close_sockets(self.LISTENERS, unlink=False)

    def note_ready(self) -> None:
        """Note when the first worker serves, the first of all and the first of a reload."""
        if not self.served and any(is_ready(worker) for worker in self.staying()):
            self.served = True
            self.end_responder()
            self.write_state(READY)
            self.log.info("Ready")
        if self.before_reload and any(is_ready(w) and w.age > self.reload_age for w in self.WORKERS.values()):
            self.before_reload = None
            self.log.info("Reloaded; the old workers go one by one")

    def dismiss_surplus(self) -> None:
        """Tell workers to leave when more serve than are wanted: obsolete ones first, then the oldest."""
        serving = [worker for worker in self.staying() if is_ready(worker)]
        surplus = len(serving) - self.num_workers
        for worker in sorted(serving, key=lambda worker: (not worker.shared.obsolete, worker.age))[: max(surplus, 0)]:
            self.dismiss(worker)

    def dismiss(self, worker: Any) -> None:
        """Tell a worker to finish and leave; it is killed when GRACEFUL_TIMEOUT is over."""
        if worker.shared.obsolete:
            self.log.info("Worker %s is replaced: %s", worker.pid, worker.shared.obsolete)
        dismiss(worker)
        self.send_off(worker, signal.SIGTERM, self.cfg.graceful_timeout)

    def send_off(self, worker: Any, number: int, seconds: float) -> None:
        """Send a worker the signal `number`; it is killed when it is still there after so many `seconds`."""
        worker.shared.leaving = time.monotonic() + seconds
        worker.shared.patience = seconds
        self.kill_worker(worker.pid, number)

    def murder_workers(self) -> None:
        """Kill workers that hang.

        Gunicorn compares the heartbeat of a worker that never beat, a time of day, with a monotonic clock: a worker
        that hangs in its boot is never killed (gunicorn/workers/workertmp.py).
        """
        now = time.monotonic()
        self.sample(now)
        self.note_pause(now)
        for pid, worker in list(self.WORKERS.items()):
            if worker.shared.leaving:
                if now > worker.shared.leaving:
                    # A developer's worker may be in a debugger.
                    say = self.log.info if self.watcher else self.log.error
                    say("Worker %s did not leave within %g seconds: killed", pid, worker.shared.patience)
                    worker.shared.leaving = KILLED
                    self.kill_worker(pid, signal.SIGKILL)
            elif is_ready(worker):
                self.murder_silent(pid, worker, now)
            elif self.cfg.boot_timeout and now - max(worker.shared.born, self.resumed) > self.cfg.boot_timeout:
                if not worker.aborted:
                    self.log.error(
                        "Worker %s has not come to serve within BOOT_TIMEOUT=%d: killed", pid, self.cfg.boot_timeout
                    )
                self.abort(pid, worker)

    def note_pause(self, now: float) -> None:
        """Give every worker its time anew where nothing ran for a while: a container is paused, a machine suspended.

        Platforms take the CPU away between requests, too: https://docs.cloud.google.com/run/docs/configuring/billing-settings
        """
        late = now - self.looked - LOOK_EVERY
        self.looked = now
        if late > PAUSE:
            self.resumed = now
            for worker in self.WORKERS.values():
                if worker.shared.leaving:
                    worker.shared.leaving += late

    def sample(self, now: float) -> None:
        """Note, once a second, how much memory each worker holds, for the message when one is killed for lack of it."""
        if now - self.sampled >= 1.0:
            self.sampled = now
            self.sizes.sample(self.WORKERS)

    def murder_silent(self, pid: int, worker: Any, now: float) -> None:
        """Kill a worker that serves and has not been heard of for TIMEOUT."""
        if not self.cfg.timeout or now - max(worker.tmp.last_update(), self.resumed) <= self.cfg.timeout:
            return
        if not worker.aborted:
            self.log.critical("Worker %s has been silent for TIMEOUT=%d seconds: killed", pid, self.cfg.timeout)
        self.abort(pid, worker)

    def abort(self, pid: int, worker: Any) -> None:
        """Send SIGABRT, which makes the worker say where it is; SIGKILL when it is still there after ABORT_TIME."""
        now = time.monotonic()
        if not worker.aborted:
            worker.aborted, worker.shared.kill_at = True, now + ABORT_TIME
            self.kill_worker(pid, signal.SIGABRT)
        elif now >= worker.shared.kill_at:
            self.kill_worker(pid, signal.SIGKILL)

    # --- The end of workers ---

    def reap_workers(self) -> None:
        """Reap every child that has ended, the application's orphans too: this is PID 1.

        Gunicorn takes two exit statuses for a failed boot, also when the worker served already, also while the server
        stops; it respawns for ever after any other end of a boot, such as exit(1) or a crash.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self.dirty_arbiter_pid:
                self.handle_dirty_arbiter_exit(pid, status)
            elif self.board.is_exporter(pid):
                if not self.stopping:
                    self.log.error("The metrics exporter %s; it is started again", _ended(status))
            elif worker := self.WORKERS.pop(pid, None):
                self.note_end(Ending(pid, worker, is_ready(worker), status))

    def note_end(self, end: Ending) -> None:
        """Say how a worker ended where that is not as it should be, and draw the consequences."""
        end.worker.tmp.close()
        end.worker.shared.capacity.close()
        dump = take(end.worker)
        self.cfg.child_exit(self, end.worker)
        before, self.oom_kills = self.oom_kills, self.oom.read()
        if dump or not self.is_in_order(end):
            log_stack(logging.ERROR, f"Worker {end.pid} {self.explanation(end, before)}", dump)
        self.board.vacate(end.worker)
        if reason := self.restart_reason(end, before):
            self.board.count_restart(reason)
        if self.stopping or end.was_ready or end.worker.shared.leaving:
            return
        if self.watcher:
            self.wait_for_change()
        elif self.before_reload:
            self.cancel_reload()
        elif end.code == EXIT_NO_ROOM and self.served:
            self.wait_for_room(NO_ROOM, BOOT_AGAIN)
        else:
            self.count_boot_death(end)

    def is_in_order(self, end: Ending) -> bool:
        """Tell whether there is nothing to say of an end: it was asked for, or has been explained."""
        if self.killed or end.code in (0, *EXPLAINED) or end.worker.shared.leaving == KILLED:
            return True
        if end.code == EXIT_NO_ROOM and self.served:
            return True
        # Uvicorn's own worker class dies of the signal that told it to stop.
        told = self.stopping or bool(end.worker.shared.leaving)
        return told and -end.code in STOP_SIGNALS

    def restart_reason(self, end: Ending, oom_kills: int | None) -> str:
        """Return, for the metrics, why a worker is replaced; nothing where it is not.

        `oom_kills` is the number of processes that the kernel had killed before.
        """
        worker = end.worker
        if self.stopping:
            return ""
        if worker.shared.leaving:
            if worker.shared.obsolete:
                return RESTARTS.get(worker.shared.obsolete, RELOAD)
            return RELOAD if self.restarting else ""
        if worker.aborted:
            return TIMEOUT
        if end.code == -signal.SIGKILL and is_memory_short(oom_kills, self.oom_kills):
            return MEMORY
        return SIGNAL if end.code < 0 else EXIT

    def explanation(self, end: Ending, oom_kills: int | None) -> str:
        """Return how a worker ended, in words that follow its number."""
        if end.code != -signal.SIGKILL or end.worker.aborted or end.worker.shared.leaving:
            return end.text
        self.sizes.sample([*self.WORKERS, end.pid])
        return explain(end.pid, oom_kills, self.oom_kills, read_limits().memory, self.sizes.last)

    def cancel_reload(self) -> None:
        """Go back to the configuration from before a reload whose first worker did not come up."""
        self.log.error("The new code or configuration does not come up; the old workers stay")
        self.app.cfg, self.before_reload = self.before_reload, None
        self.setup(self.app)
        self.board.renew()
        for worker in self.staying():
            worker.shared.obsolete = None

    def count_boot_death(self, end: Ending) -> None:
        """Raise HaltServer when a worker's end during its boot is one too many."""
        now = time.monotonic()
        self.boot_deaths.append(now)
        if not self.served:
            status = EXIT_CONFIG if end.code == EXIT_CONFIG else EXIT_FAILURE
            raise HaltServer("the first worker ended before it could serve", status)
        if len(self.boot_deaths) == BOOT_DEATHS and now - self.boot_deaths[0] <= BOOT_DEATHS_WITHIN:
            reason = f"{BOOT_DEATHS} workers in {BOOT_DEATHS_WITHIN:.0f} seconds ended before they could serve"
            raise HaltServer(reason, EXIT_FAILURE)

    def write_state(self, phase: str) -> None:
        """Tell the health check how far the server is, and where to ask."""
        try:
            self.app.state(phase, self.LISTENERS).write(*directories())
        except OSError as error:
            self.log.warning("The health check cannot work: %s", error)


@dataclass(frozen=True)
class Ending:
    """How a worker's process ended; `status` is as waitpid gives it."""

    pid: int
    worker: Any
    was_ready: bool
    status: int

    @property
    def code(self) -> int:
        """The exit status, or the negative number of the signal that ended it."""
        return os.waitstatus_to_exitcode(self.status)

    @property
    def text(self) -> str:
        """The end in words, to follow the worker's number."""
        return _ended(self.status)


def extend_hooks(cfg: Any) -> None:
    """Put what the image's arbiter and its workers need around the user's hooks, once for each configuration."""
    cfg.set("pre_fork", sharing(cfg.pre_fork))
    cfg.set("post_fork", guarding(leaving_the_others(leaving_the_board(leaving_it_to_the_arbiter(cfg.post_fork)))))
    cfg.set("post_worker_init", announcing(cfg.post_worker_init))


def _ended(status: int) -> str:
    """Return how a process ended, in words that follow its name; `status` is as waitpid gives it."""
    code = os.waitstatus_to_exitcode(status)
    if code == EXIT_NO_ROOM:
        return f"has ended: {NO_ROOM}"
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _is_socket(number: int) -> bool:
    """Tell whether a descriptor that was handed over is a socket."""
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False


def _bound(cfg: Any, old: list[Any], log: Any) -> list[Any]:
    """Return listening sockets for a reload: the old ones that stay, and new ones for what is new.

    Raises:
        ConfigurationError: where Gunicorn would exit.
    """
    staying = [listener for listener in old if listener.cfg_addr in cfg.address]
    bound = [listener.cfg_addr for listener in staying]
    try:
        new = sock.create_sockets(_Addresses(cfg, [address for address in cfg.address if address not in bound]), log)
    except (OSError, ValueError, SystemExit) as error:
        raise ConfigurationError([Problem("BIND", f"cannot be bound: {error}", ",".join(cfg.bind))]) from None
    return staying + list(new)


class _Addresses:
    """A configuration with other addresses."""

    def __init__(self, cfg: Any, address: list[Any]) -> None:
        self.cfg = cfg
        self.address = address

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cfg, name)


def _unlink(paths: list[str]) -> None:
    while paths:
        with suppress(FileNotFoundError):
            os.unlink(paths.pop())
