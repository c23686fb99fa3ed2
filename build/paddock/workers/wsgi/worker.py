"""The worker class for WSGI: Gunicorn's threads, with the image's start and stop."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gunicorn.http2.errors import HTTP2ConnectionError, HTTP2StreamError

from paddock.http import descriptors, forwarded, ids, root_path
from paddock.http.ids import CURRENT, request_id
from paddock.http.readiness import in_front
from paddock.http.record import CLIENT_GONE, Answered
from paddock.settings.environment import own
from paddock.workers.base import IDLE_LINGER, BootingWorker
from paddock.workers.shared import announce_ready
from paddock.workers.watchdog import watched
from paddock.workers.wsgi.slow import Connection, ErrorPage, TooSlow
from paddock.workers.wsgi.streams import Streams


class ThreadWorker(BootingWorker, Streams):
    """Serves a WSGI application from a pool of `THREADS` threads."""

    id_header: str | None = None

    def adopt(self) -> None:
        """Put what the image does for every request around the application, the innermost first."""
        self.wsgi = watched(self.wsgi, self.watchdog)
        if path := own(self.cfg, "ready_path"):
            self.wsgi = in_front(self.wsgi, path, lambda: not self.draining, self.kind)
        if self.cfg.root_path:
            self.wsgi = root_path.wsgi(self.wsgi, self.cfg.root_path)
        self.id_header = ids.header(own(self.cfg, "request_id_header"))
        self.wsgi = noted(forwarded.wsgi(self.wsgi, forwarded.Proxies(self.cfg)), self)

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

    def handle(self, conn: Connection) -> Any:
        """Serve a request; what is logged behind its end is not about it any more."""
        try:
            return super().handle(conn)
        finally:
            CURRENT.set(None)

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Serve a request of the client whom the PROXY protocol named for the connection.

        Gunicorn's threads know it for a connection's first request only (workers/base_async.py knows better), and call
        the client None when a proxy speaks for itself, as in its health checks.
        """
        if info := req.proxy_protocol_info:
            conn.proxied = info if info["client_addr"] else None
        req.proxy_protocol_info = conn.proxied
        with self.record(req):
            return super().handle_request(req, conn)

    def handle_http2_request(self, req: Any, conn: Connection, h2_conn: Any) -> None:
        """Serve a request of an HTTP/2 connection."""
        with self.record(req):
            super().handle_http2_request(req, conn, h2_conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what went wrong: what the parser refused, or a request whose application failed."""
        if req is None and hasattr(getattr(exc, "req", None), "headers"):
            req = exc.req  # type: ignore[attr-defined]
        record = getattr(req, "record", None)
        if record is None:
            record = Answered(req)
            record.refused_client = addr[0] if isinstance(addr, tuple) else ""
            self.told.tell_begun(record)
        if req is not None:
            req.record = record
        page = ErrorPage(client, f"{self.id_header}: {record.request_id}\r\n" if record.request_id else "")
        super().handle_error(req, page, addr, exc)
        record.error_bytes = page.sent
        self.tell_end(record, page.status)

    def refuse(self, conn: Connection) -> None:
        """Answer a head that is not complete."""
        if conn.head.data:
            self.told.tell_refused(conn.client[0] if isinstance(conn.client, tuple) else "", 408)
        super().refuse(conn)

    @contextmanager
    def record(self, req: Any) -> Iterator[None]:
        """Tell the observers of a request, unless its end is the business of `handle_error`."""
        record = req.record = Answered(req)
        self.told.tell_begun(record)
        try:
            yield
        except (OSError, HTTP2ConnectionError, HTTP2StreamError) as error:
            self.tell_end(record, 0 if record.begun else 408 if isinstance(error, TooSlow) else CLIENT_GONE)
            raise
        except (StopIteration, SystemExit):
            # The first is how Gunicorn says that an answer was cut off in the middle.
            self.tell_end(record, 0 if record.begun else 500)
            raise
        else:
            self.tell_end(record)

    def tell_end(self, record: Answered, status: int = 0) -> None:
        """Tell the observers that a request is over; `status` is that of an answer which is not the application's."""
        if not record.over:
            record.end(status)
            self.told.tell_ended(record)

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
            connection.timeout = min(connection.timeout, time.monotonic() + IDLE_LINGER)

    def wait(self, conn: Connection) -> None:
        """Leave a connection to the poller; not for long when no other has to be waited for any more."""
        if not self.alive and not self._accepting:
            conn.timeout = min(conn.timeout, time.monotonic() + IDLE_LINGER)
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
            while select.select([listener], [], [], 0)[0] and time.monotonic() < self.stop_by:
                self.accept(listener)
                if self.short:
                    self.notify()
                    self.wait_for_and_dispatch_events(timeout=descriptors.SHORTAGE_PAUSE)
                    self.murder_pending()
            listener.close()


class Counting:
    """A connection that counts in `response` what sendfile sends, since Gunicorn does not."""

    def __init__(self, connection: Any, response: Any) -> None:
        self.connection = connection
        self.response = response

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file. Its position tells, even of a client that leaves in the middle, how much that was."""
        try:
            return int(self.connection.sendfile(file, offset=offset, count=count))
        finally:
            self.response.sent += max(0, file.tell() - offset)


class Reading:
    """The body of a request, which counts in `record` what the application reads."""

    def __init__(self, body: Any, record: Answered) -> None:
        self.body = body
        self.record = record

    def __getattr__(self, name: str) -> Any:
        return getattr(self.body, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def read(self, *size: Any) -> Any:
        """Read up to `size` bytes."""
        data = self.body.read(*size)
        self.record.received += len(data)
        return data

    def readline(self, *size: Any) -> Any:
        """Read a line."""
        line = self.body.readline(*size)
        self.record.received += len(line)
        return line

    def readlines(self, *hint: Any) -> Any:
        """Read the lines that are left."""
        lines = self.body.readlines(*hint)
        self.record.received += sum(map(len, lines))
        return lines


def noted(application: Any, worker: ThreadWorker) -> Any:
    """Return `application`, whose requests and answers are noted in their record.

    Its answers close their connection when `worker` was told to stop meanwhile: Gunicorn's worker looks once, before it
    calls the application.
    """

    header = worker.id_header or ""
    variable = "HTTP_" + header.upper().replace("-", "_")

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        response = start_response.__self__
        record = response.req.record
        record.response, record.variables = response, environ
        if header:
            record.request_id = environ[variable] = request_id(environ.get(variable))
            CURRENT.set(record)
        if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input"] = Reading(environ["wsgi.input"], record)

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            if not worker.alive:
                response.force_close()
            if header and not any(name.lower() == header.lower() for name, _ in headers):
                headers = [*headers, (header, record.request_id)]
            return start_response(status, headers, *exc_info)

        items = application(environ, start)
        if isinstance(items, environ["wsgi.file_wrapper"]):
            response.sock = Counting(response.sock, response)
        return items

    return serve
