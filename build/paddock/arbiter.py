"""What Gunicorn's hooks cannot do, in one small subclass of its arbiter."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from gunicorn import arbiter
from gunicorn.errors import HaltServer

from paddock.errors import EXIT_CONFIG, EXIT_FAILURE, ConfigurationError
from paddock.state import DRAINING, READY, STARTING
from paddock.workers.boot import is_ready

BOOT_POLL = 0.02
"""Seconds between looks at workers that are not ready yet: they have no other way to wake the arbiter."""

BOOT_DEATHS = 5
BOOT_DEATHS_WITHIN = 10.0
"""So many workers that die before they served, within so many seconds, end the server: it would fork for ever."""


class Arbiter(arbiter.Arbiter):  # type: ignore[misc]
    """Gunicorn's arbiter; each override names its cause."""

    def __init__(self, app: Any) -> None:
        self.stopping = False
        self.served = False
        self.boot_deaths: deque[float] = deque(maxlen=BOOT_DEATHS)
        super().__init__(app)

    def start(self) -> None:
        """Listen, and say so in the state file."""
        for warning in self.app.warnings:
            self.log.warning("%s", warning)
        for note in self.app.notes:
            self.log.info("%s", note)
        super().start()
        self.write_state(STARTING)

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Wait less while a worker boots, so that the others follow as soon as the first is ready."""
        booting = any(not is_ready(worker) for worker in self.WORKERS.values())
        signals: list[int] = super().wait_for_signals(BOOT_POLL if booting else timeout)
        return signals

    def spawn_workers(self) -> None:
        """Let the first worker boot alone: a broken application says so once, and the first answer comes soonest."""
        if self.served:
            super().spawn_workers()
        elif not self.WORKERS:
            self.spawn_worker()

    def manage_workers(self) -> None:
        """Note when the first worker serves, then keep up their number."""
        if not self.served and any(is_ready(worker) for worker in self.WORKERS.values()):
            self.served = True
            self.write_state(READY)
            self.log.info("Ready")
        super().manage_workers()

    def reap_workers(self) -> None:
        """Reap workers, and end the server when they die before they serve.

        Gunicorn takes two exit statuses for a failed boot, also when the worker served already, also while the server
        stops; it respawns for ever after any other end of a boot, such as exit(1) or a crash.
        """
        ended = [end for pid, worker in self.WORKERS.items() if (end := Ending.of(pid, worker))]
        while True:
            try:
                super().reap_workers()
                break
            except HaltServer:
                continue
        for end in ended:
            if end.status in (self.WORKER_BOOT_ERROR, self.APP_LOAD_ERROR):
                end.worker.tmp.close()
                self.cfg.child_exit(self, end.worker)
            if not end.was_ready and not self.stopping:
                self.count_boot_death(end)

    def count_boot_death(self, end: Ending) -> None:
        """Raise HaltServer when a worker's end during its boot is one too many."""
        now = time.monotonic()
        self.boot_deaths.append(now)
        if not self.served:
            status = EXIT_CONFIG if end.status == EXIT_CONFIG else EXIT_FAILURE
            raise HaltServer("the first worker ended before it could serve", status)
        if len(self.boot_deaths) == BOOT_DEATHS and now - self.boot_deaths[0] <= BOOT_DEATHS_WITHIN:
            reason = f"{BOOT_DEATHS} workers in {BOOT_DEATHS_WITHIN:.0f} seconds ended before they could serve"
            raise HaltServer(reason, EXIT_FAILURE)

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers, and say so in the state file first."""
        if not self.stopping:
            self.stopping = True
            self.write_state(DRAINING)
        super().stop(graceful)

    def handle_hup(self) -> None:
        """Reload; a configuration that does not validate is refused, and the server goes on with the old one."""
        try:
            super().handle_hup()
        except ConfigurationError as error:
            for problem in error.problems:
                self.log.error("%s", problem)
            self.log.error("The reload is refused, the server goes on as it was")

    def handle_usr2(self) -> None:
        """Refuse to start a second server: when PID 1 ends, the container ends with everything in it."""
        self.log.error("%s is not supported in a container: replace the container instead", signal.SIGUSR2.name)

    def write_state(self, phase: str) -> None:
        """Tell the health check how far the server is, and where to ask."""
        try:
            self.app.state(phase, self.LISTENERS).write(self.cfg.worker_tmp_dir)
        except OSError as error:
            self.log.warning("The health check cannot work: %s", error)


@dataclass(frozen=True)
class Ending:
    """How a worker's process ended: its exit status, or None when a signal ended it."""

    worker: Any
    was_ready: bool
    status: int | None

    @classmethod
    def of(cls, pid: int, worker: Any) -> Ending | None:
        """Return how the process `pid` ended, without reaping it; None while it runs."""
        try:
            result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None
        if result is None:
            return None
        return cls(worker, is_ready(worker), result.si_status if result.si_code == os.CLD_EXITED else None)
