"""The worker class for WSGI: the front calls the application in one of THREADS threads."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from paddock.http.limits import Limits
from paddock.settings.environment import own
from paddock.workers.front.implementations import protocol_class
from paddock.workers.front.server import Server
from paddock.workers.front.worker import LoopWorker
from paddock.workers.shared import STUCK, capacity_of
from paddock.workers.wsgi.environ import Environs
from paddock.workers.wsgi.exchange import Application
from paddock.workers.wsgi.hooks import hooked
from paddock.workers.wsgi.pool import Pool
from paddock.workers.wsgi.protocol import WsgiProtocol


class ThreadWorker(LoopWorker):
    """Serves a WSGI application from a pool of `THREADS` threads."""

    pool: Pool

    def adopt(self) -> None:
        """Make what serves the application, once it is imported."""
        self.environs = Environs(self.cfg)
        self.body_buffer: int = own(self.cfg, "request_body_buffer")
        capacity = capacity_of(self)
        log = self.access_log
        self.logs_environ = log is not None and (log.has_own_way or "}e)" in log.format)
        self.pool = Pool(self.cfg.threads, capacity.tell, self.log.warning)
        capacity.last_begun = lambda: self.pool.began

    def application(self) -> Application:
        """Return the application as one of ASGI 3."""
        return Application(hooked(self.wsgi, self), self)

    def uvicorn_options(self) -> dict[str, Any]:
        """Return the arguments of `uvicorn.Config`: a WSGI application has no lifespan, and no ASGI WebSockets."""
        return super().uvicorn_options() | {"lifespan": "off", "ws": "none"}

    def in_flight(self) -> set[Any]:
        """Return a set that nobody looks at: exchanges tell the watchdog of themselves."""
        return set()

    def protocol(self, http: str, attributes: dict[str, Any]) -> Any:
        """Return what Uvicorn shall take for a value of UVICORN_HTTP."""
        return protocol_class(http, Limits.of(self.cfg), attributes, WsgiProtocol, pool=self.pool)

    async def serve(self, server: Server) -> None:
        """Serve; at the end, wait for what the application does behind its answers."""
        self.pool.loop = asyncio.get_running_loop()
        await super().serve(server)
        while len(self.pool.idle) < self.pool.threads and time.monotonic() < self.stop_by:  # noqa: ASYNC110 (the time ends it, too)
            await asyncio.sleep(0.02)
        # What holds a loop of uvloop's is never freed.
        self.pool.loop = None

    def begin(self) -> None:
        """Start a thread: a worker that finds no room for any would only keep requests from others."""
        self.pool.start()

    def notify(self) -> None:
        """Tell the arbiter that the worker lives, and whether a thread hangs."""
        super().notify()
        if slot := self.shared and self.shared.slot:
            # Threads come and go while they are counted.
            slot.busy = max(0, self.pool.busy)
        # Gunicorn gives the worker half of it, as its own pause between notifications.
        if (allowed := self.cfg.timeout) and not self.stuck and self.watchdog.longest() > allowed:
            self.give_way()

    stuck = False

    def give_way(self) -> None:
        """Take no more requests: a successor does that, while the other threads finish theirs."""
        self.stuck = True
        capacity_of(self).close()
        if self.server and self.server.acceptor:
            self.server.acceptor.leave_to_others()
        self.ask_for_replacement(STUCK)
