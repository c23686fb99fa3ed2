"""What the arbiter does for METRICS_BIND: slots for workers, a socket, and the process that serves the page."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from gunicorn.util import parse_address

from paddock.errors import ConfigurationError, Problem
from paddock.metrics.exporter import METRICS_PATH, Exporter
from paddock.metrics.figures import Figures
from paddock.metrics.multiprocess import ApplicationMetrics, Files
from paddock.metrics.slots import Slot, Slots
from paddock.metrics.tally import STATES, WANTED, WorkerCounts
from paddock.processes import fork
from paddock.settings.environment import own

EXPORTER_PAUSE = 5.0
"""Seconds from a start of the exporter to the next, at least."""

BACKLOG = 64
"""Scrapes that the kernel keeps waiting, when the exporter is started again for instance."""


class Board:
    """The arbiter's side. Without METRICS_BIND it does nothing."""

    def __init__(self) -> None:
        self.started = time.time()
        self.slots = Slots()
        self.workers = WorkerCounts()
        self.files: Files | None = None
        self.address = ""
        self.listener: socket.socket | None = None
        self.pid = 0
        self.known_slots = 0
        self.not_before = 0.0

    # --- Where it is served ---

    def prepare(self, cfg: Any) -> None:
        """Prepare for the import of the application.

        Raises:
            ConfigurationError: when the directory for its metrics cannot be used.
        """
        if own(cfg, "metrics_bind") and self.files is None:
            self.files = Files.prepare(cfg.worker_tmp_dir)

    def bind(self, cfg: Any) -> bool:
        """Listen where `cfg` says, if that is elsewhere than before; return whether it is.

        Raises:
            ConfigurationError: when that cannot be; then everything stays as it was.
        """
        address = own(cfg, "metrics_bind") or ""
        if address == self.address:
            return False
        self.prepare(cfg)
        listener = listen(address) if address else None
        self.close()
        self.address, self.listener = address, listener
        return True

    def close(self) -> None:
        """Listen no more."""
        if self.listener:
            name = self.listener.getsockname()
            self.listener.close()
            self.listener = None
            if isinstance(name, str):
                with suppress(OSError):
                    os.unlink(name)

    @property
    def place(self) -> str:
        """Where the page is, for the log."""
        name = self.listener.getsockname() if self.listener else ""
        if isinstance(name, str):
            return f"unix:{name}"
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"http://{host}:{name[1]}{METRICS_PATH}"

    # --- The process that serves the page ---

    def tend(
        self,
        log: Any,
        configuration: Callable[[], Mapping[str, str]],
        leave: Callable[[], None],
        certificate_until: float | None = None,
    ) -> None:
        """Start the exporter unless it runs, and again when it does not know all slots.

        It is told the `configuration`, and when the certificate ends, and calls `leave` to let go of what is the
        arbiter's.
        """
        if not self.listener:
            return
        if self.pid and self.known_slots != len(self.slots.all):
            self.end()
            self.not_before = 0.0
        if self.pid or time.monotonic() < self.not_before:
            return
        self.not_before = time.monotonic() + EXPORTER_PAUSE
        self.known_slots = len(self.slots.all)
        arbiter, listener = os.getpid(), self.listener
        settings = configuration()

        def run(mask: set[Any]) -> None:
            try:
                leave()
                application = ApplicationMetrics(self.files, log) if self.files else None
                figures = Figures(self.slots, self.workers, settings, application, self.started, certificate_until)
                Exporter(listener, figures.page).run(mask, arbiter)
            except Exception:
                log.exception("The metrics exporter fails")

        self.pid = fork(run)

    def renew(self) -> None:
        """Let `tend` start the exporter anew, with another configuration."""
        self.end()
        self.not_before = 0.0

    def end(self) -> None:
        """End the exporter. The arbiter reaps it like any child that is no worker."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            self.pid = 0

    def is_exporter(self, pid: int) -> bool:
        """Tell whether the process `pid`, which has ended, was the exporter."""
        if not pid or pid != self.pid:
            return False
        self.pid = 0
        return True

    def stop(self) -> None:
        """End everything, and leave nothing behind."""
        if self.pid:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            self.pid = 0
        self.close()
        if self.files:
            self.files.remove()

    # --- Workers ---

    def slot(self) -> Slot | None:
        """Return a slot for a worker that is about to be forked."""
        return self.slots.take() if self.listener else None

    def vacate(self, worker: Any) -> None:
        """Take the slot of a worker that has ended."""
        if worker.shared.slot:
            self.slots.give_back(worker.shared.slot)
            worker.shared.slot = None

    def reclaim(self, workers: Iterable[Any]) -> None:
        """Take the slots that none of `workers` has: one was taken for a worker that could not be forked."""
        held = {worker.shared.slot for worker in workers}
        for slot in set(self.slots.all) - set(self.slots.free) - held:
            self.slots.give_back(slot)

    def note(self, wanted: int, *numbers: int) -> None:
        """Note how many workers are wanted, and how many there are in each of STATES."""
        self.workers[WANTED] = wanted
        for state, number in zip(STATES, numbers, strict=True):
            self.workers[state] = number

    def count_restart(self, reason: str) -> None:
        """Count a worker that was replaced for one of REASONS."""
        self.workers[reason] += 1


def listen(address: str) -> socket.socket:
    """Return a socket that listens at an address of METRICS_BIND, and does not block.

    Raises:
        ConfigurationError: when it cannot be.
    """
    place = parse_address(address)
    try:
        listener = _unix(place) if isinstance(place, str) else _tcp(*place)
    except OSError as error:
        # Where it is not of getaddrinfo, the text is Python's, with the address once more.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ConfigurationError([Problem("METRICS_BIND", f"cannot be bound: {reason}", address)]) from None
    listener.setblocking(False)
    return listener


def _tcp(host: str, port: int) -> socket.socket:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    v6 = family is socket.AF_INET6
    return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=v6)


def _unix(path: str) -> socket.socket:
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        os.chmod(path, 0o666)  # noqa: S103 (who may enter the directory may read the figures)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def leaving_the_board(post_fork: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Return Gunicorn's `post_fork` hook, extended to close a worker's copy of the socket."""

    def hook(arbiter: Any, worker: Any) -> None:
        board = getattr(arbiter, "board", None)
        if board and board.listener:
            board.listener.close()
        post_fork(arbiter, worker)

    return hook
