"""The worker class for WSGI: Gunicorn's threads, with the image's start and stop."""

from __future__ import annotations

import select
import time
from typing import Any

from paddock.marks import announce_ready
from paddock.ready import in_front
from paddock.settings import own
from paddock.watchdog import watched
from paddock.workers import forwarded, root_path
from paddock.workers.boot import LINGER, BootingWorker
from paddock.workers.http2 import Streams
from paddock.workers.slow import Connection


class ThreadWorker(BootingWorker, Streams):
    """Serves a WSGI application from a pool of `THREADS` threads."""

    def adopt(self) -> None:
        """Put what the image does for every request around the application, the innermost first."""
        self.wsgi = watched(self.wsgi, self.watchdog)
        if path := own(self.cfg, "ready_path"):
            self.wsgi = in_front(self.wsgi, path, lambda: not self.draining, self.kind)
        if self.cfg.root_path:
            self.wsgi = root_path.wsgi(self.wsgi, self.cfg.root_path)
        self.wsgi = closing(forwarded.wsgi(self.wsgi, forwarded.Proxies(self.cfg)), self)

    def run(self) -> None:
        """Serve until told to stop, which may have been before: see exits_if_booting."""
        if not self.alive:
            return
        self.watchdog.serving = "The thread that hands out connections"
        self.watchdog.start()
        announce_ready(self)
        super().run()
        self.watchdog.stop()
        if self.nr_conns:
            self.log.warning("Cut off %d connections that were not done when the time to stop was over", self.nr_conns)

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Serve a request of the client whom the PROXY protocol named for the connection.

        Gunicorn's threads know it for a connection's first request only (workers/base_async.py knows better), and call
        the client None when a proxy speaks for itself, as in its health checks.
        """
        if info := req.proxy_protocol_info:
            conn.proxied = info if info["client_addr"] else None
        req.proxy_protocol_info = conn.proxied
        return super().handle_request(req, conn)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Start or stop to accept; a stopping worker first takes what the kernel has accepted for it.

        Gunicorn's leaves the listener open until its last connection is done, and then resets what waited meanwhile.
        """
        if enabled or self.alive:
            super().set_accept_enabled(enabled)
            return
        self.begin_stop()
        self.drain()
        super().set_accept_enabled(False)
        self.take_the_rest()
        # From here on Gunicorn waits for its graceful timeout, of which a part has gone and a part is kept.
        self.cfg.settings["graceful_timeout"].value = max(0.0, self.stop_by - time.monotonic())
        for connection in self.pending_conns:
            connection.timeout = min(connection.timeout, time.monotonic() + LINGER)

    def wait(self, conn: Connection) -> None:
        """Leave a connection to the poller; not for long when no other has to be waited for any more."""
        if not self.alive and not self._accepting:
            conn.timeout = min(conn.timeout, time.monotonic() + LINGER)
        super().wait(conn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for connections, never longer than the next heartbeat or the end may be away."""
        if self.timeout:
            timeout = min(timeout, self.timeout / 2)
        super().wait_for_and_dispatch_events(max(0.0, min(timeout, self.stop_by - time.monotonic())))

    def drain(self) -> None:
        """Go on accepting for DRAIN_DELAY; every answer closes its connection by now."""
        while (left := self.accept_until - time.monotonic()) > 0:
            self.notify()
            self.wait_for_and_dispatch_events(timeout=min(left, 1.0))
            self.murder_keepalived()
            self.murder_pending()

    def take_the_rest(self) -> None:
        """Accept what waits in the kernel, then close the listeners."""
        for listener in self.sockets:
            while select.select([listener], [], [], 0)[0]:
                self.accept(listener)
            listener.close()


def closing(application: Any, worker: ThreadWorker) -> Any:
    """Return `application`, whose answers close their connection when `worker` was told to stop meanwhile.

    Gunicorn's worker looks once, before it calls the application.
    """

    def announced(environ: dict[str, Any], start_response: Any) -> Any:
        def start(*arguments: Any, **options: Any) -> Any:
            if not worker.alive:
                start_response.__self__.force_close()
            return start_response(*arguments, **options)

        return application(environ, start)

    return announced
