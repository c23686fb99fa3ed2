"""Clients that are slow, or that only pretend to be, must cost a WSGI worker none of its few threads.

Gunicorn gives a connection to a thread before the request is there: four clients that each send half a request stop a
worker of four threads for good, and even silent ones take a thread for five seconds each. Here the poller reads until
the head is complete, and the thread finds it in its parser's buffer. A thread does what a TLS handshake computes, and
the poller waits for the client in between. What only a thread can wait for, the request's body, has a time limit.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
import time
from bisect import insort
from contextlib import suppress
from functools import partial
from operator import attrgetter
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Any

from gunicorn import http, sock
from gunicorn.http.unreader import SocketUnreader
from gunicorn.http2 import negotiation
from gunicorn.workers import gthread

from paddock.http import descriptors
from paddock.http.limits import CLOSE_LINGER, Limits, answer
from paddock.start.messages import Seldom

if TYPE_CHECKING:
    from collections import deque
    from concurrent.futures import Future

LINGER_BYTES = 1024 * 1024
"""How much a client may go on sending after the last answer, besides for how long."""

CHUNK = 64 * 1024

REQUEST_LINE = re.compile(rb"[!-~]+ [!-~]+ HTTP/[0-9]\.[0-9]")


class TooSlow(TimeoutError):
    """The client's time is over. Gunicorn takes it for a connection that the client has reset: no traceback."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.ECONNRESET, reason)


class Gone(Exception):
    """The client has closed the connection."""


class Head:
    """The bytes of a request's head as they come."""

    def __init__(self, limits: Limits) -> None:
        self.largest = limits.head if limits.line else float("inf")
        self.longest_line = limits.line or float("inf")
        self.data = bytearray()
        self.line_read = False

    def feed(self, data: bytes) -> bool:
        """Add `data`. Returns whether the parser has something to say by now, be it good or bad."""
        start = len(self.data)
        self.data += data
        if self.data.find(b"\r\n\r\n", max(0, start - 3)) >= 0:
            return True
        if self.data.count(b"\n", start) != self.data.count(b"\r\n", max(0, start - 1)):
            return True
        if not self.line_read:
            # An empty line before the request is none of it: RFC 9112, section 2.2.
            begin = 2 if self.data.startswith(b"\r\n") else 0
            end = self.data.find(b"\r\n", begin)
            if end < 0:
                return len(self.data) > self.longest_line + 4
            if not REQUEST_LINE.fullmatch(self.data, begin, end):
                return True
            self.line_read = True
        return len(self.data) > self.largest

    def take(self) -> bytes:
        """Return what there is, and begin anew."""
        data = bytes(self.data)
        self.data.clear()
        self.line_read = False
        return data


class Unreader(SocketUnreader):  # type: ignore[misc]
    """Reads from the connection with a time limit, that of the head until `deadline` is None, then that of the body."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.sock)
        self.connection = connection
        self.deadline: float | None = connection.worker.head_deadline()
        self.failed: TooSlow | None = None

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes.

        Raises:
            TooSlow: when there were none in time, now or before.
        """
        if self.failed:
            raise self.failed
        if self.sock.gettimeout() is not None:
            return bytes(super().chunk(size_hint))
        limits = self.connection.worker.limits
        if self.deadline is None:
            allowed, setting = limits.body_timeout or None, f"REQUEST_BODY_TIMEOUT, {limits.body_timeout:g} s"
        else:
            allowed, setting = max(0.001, self.deadline - time.monotonic()), "REQUEST_HEAD_TIMEOUT"
        self.sock.settimeout(allowed if allowed != float("inf") else None)
        try:
            return bytes(super().chunk(size_hint))
        except TimeoutError:
            self.failed = TooSlow(f"no more of the request within {setting}")
            self.connection.worker.log.info("Closed %s: %s", self.connection.name, self.failed.strerror)
            raise self.failed from None
        finally:
            self.sock.settimeout(None)


class ErrorPage:
    """A socket, as Gunicorn sees it when it writes an error page.

    From Python 3.14 on, `textwrap.dedent` takes the carriage return out of the empty line after the head, and the
    answer is no HTTP any more (gunicorn/util.py, write_error).
    """

    status = 0
    sent = 0

    def __init__(self, client: Any, field: str = "") -> None:
        """Write to `client`; a header `field`, with its end, is added."""
        self.client = client
        self.field = field.encode("latin-1")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def sendall(self, data: bytes) -> None:
        """Send the page, with its head as it should be, and take note of it."""
        page = data.replace(b"\r\n\n", b"\r\n\r\n", 1).replace(b"\r\n", b"\r\n" + self.field, 1)
        self.status, self.sent = int(page.split(None, 2)[1]), len(page.partition(b"\r\n\r\n")[2])
        self.client.sendall(page)


class Connection(gthread.TConn):  # type: ignore[misc]
    """A client's connection."""

    sock: Any

    def __init__(self, worker: SlowClients, client_sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(worker.cfg, client_sock, client, server)
        self.worker = worker
        self.head = Head(worker.limits)
        self.events = EVENT_READ
        self.last_stream = 0
        self.drained = 0
        self.since = time.monotonic()
        self.timeout = worker.head_deadline()
        # The poller has seen to it, so no thread need wait.
        self.data_ready = True
        self.proxied: dict[str, Any] | None = None
        """What the PROXY protocol said of the client."""

    @property
    def name(self) -> str:
        """The client, for the log."""
        return f"{self.client[0]}:{self.client[1]}" if isinstance(self.client, tuple) else "a client"

    @property
    def opaque(self) -> bool:
        """Whether its first bytes are not those of a request's head: a TLS handshake, or HTTP/2 in plain text."""
        return not self.initialized and bool(
            self.cfg.is_ssl or negotiation.prior_knowledge_allowed(self.cfg, self.client)
        )

    @property
    def shaking(self) -> bool:
        """Whether a TLS handshake has begun and is not done."""
        return isinstance(self.sock, ssl.SSLSocket) and not self.initialized

    def receive(self) -> bool:
        """Take what has come, without waiting. Returns whether it is a thread's turn.

        Raises:
            Gone: when nothing more will come.
        """
        if self.shaking or self.is_http2:
            return True
        if (
            self.initialized
            and self.parser.unreader.buf.tell()
            and self.head.feed(self.parser.unreader.take_buffered())
        ):
            return True
        if self.sock.gettimeout() != 0.0:
            self.sock.setblocking(False)
        try:
            if self.opaque:
                if self.sock.recv(1, socket.MSG_PEEK):
                    return True
                raise Gone
            while data := self.sock.recv(CHUNK):
                if self.head.feed(data):
                    return True
                if not self.cfg.is_ssl:
                    return False
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as error:
            raise Gone from error
        raise Gone

    def shake_hands(self) -> bool:
        """Do what can be done of the TLS handshake without waiting. Returns whether that was all.

        Raises:
            OSError: when it fails.
        """
        if not self.shaking:
            self.sock = sock.ssl_context(self.cfg).wrap_socket(
                self.sock,
                server_side=True,
                suppress_ragged_eofs=self.cfg.suppress_ragged_eofs,
                do_handshake_on_connect=False,
            )
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            self.events = EVENT_READ
        except ssl.SSLWantWriteError:
            self.events = EVENT_WRITE
        else:
            self.events = EVENT_READ
            return True
        return False

    def init(self) -> None:
        """Make the parser, and give it what has been read."""
        if not self.initialized:
            if self.cfg.is_ssl:
                self.choose_parser()
            else:
                super().init()
            if self.is_http2:
                self.parser.stream_timeout = self.worker.limits.body_timeout or None
            else:
                buffered = self.parser.unreader.take_buffered()
                self.parser.unreader = Unreader(self)
                self.parser.unreader.unread(buffered)
        if self.head.data:
            self.parser.unreader.unread(self.head.take())

    def choose_parser(self) -> None:
        """Make the parser that the TLS handshake has settled on."""
        self.initialized = True
        self.sock.setblocking(True)
        is_http2 = sock.is_http2_negotiated(self.sock)
        self.parser = http.get_parser(self.cfg, self.sock, self.client, http2_connection=is_http2)
        self.is_http2 = is_http2
        if is_http2:
            self.parser.initiate_connection()

    def close(self, graceful: bool = False) -> None:
        """Close; gracefully without Gunicorn's wait of up to two seconds, in which the poller would serve nobody."""
        if self.is_http2 and self.parser and not self.parser.is_closed:
            # The client may send elsewhere what came after the last request that was served, if it gets to know that.
            with suppress(OSError):
                self.sock.setblocking(False)
            self.parser.close(last_stream_id=self.last_stream)
            graceful = True
        if graceful:
            self.worker.linger(self)
        else:
            super().close()


class SlowClients(gthread.ThreadWorker):  # type: ignore[misc]
    """Gunicorn's `ThreadWorker`, with threads for requests that are there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limits = Limits.of(self.cfg)
        self.lingering: dict[Connection, float] = {}
        self.crowded = self.short = False
        """Whether there are as many connections as may be, and whether there are no descriptors for more."""
        self.accept_after = 0.0
        self.say_crowded, self.say_short = Seldom(self.log.warning), Seldom(self.log.warning)

    def head_deadline(self) -> float:
        """Return by when a head that begins now must be complete."""
        return time.monotonic() + (self.limits.head_timeout or float("inf"))

    # The poller's side

    def accept(self, listener: Any) -> None:
        """Accept a connection."""
        self.short = descriptors.is_short()
        if self.short:
            return
        try:
            client_sock, client = listener.accept()
        except OSError as error:
            self.short = error.errno in descriptors.SHORTAGES
            if not self.short and error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        self.begin(Connection(self, client_sock, client, listener.getsockname()))

    def set_accept_enabled(self, enabled: bool) -> None:
        """Start or stop to accept; Gunicorn would start again in its next turn."""
        if not enabled or time.monotonic() >= self.accept_after:
            super().set_accept_enabled(enabled)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for connections, no longer than accepting pauses."""
        pause = self.accept_after - time.monotonic()
        super().wait_for_and_dispatch_events(min(timeout, pause) if pause > 0 else timeout)

    def enqueue_req(self, conn: Connection) -> None:
        """Wait for the next request of a connection, which has the time of a head from now on."""
        conn.since = time.monotonic()
        if not conn.is_http2:
            conn.timeout = self.head_deadline()
        self.begin(conn)

    def begin(self, conn: Connection) -> None:
        """Give a connection to a thread, now or as soon as its request's head is there."""
        try:
            ready = conn.receive()
        except Gone:
            self.drop(conn)
            return
        if ready:
            super().enqueue_req(conn)
        else:
            self.wait(conn)

    def wait(self, conn: Connection) -> None:
        """Leave a connection to the poller until more comes, or its time is over."""
        conn.sock.setblocking(False)
        insort(self.pending_conns, conn, key=attrgetter("timeout"))
        self.poller.register(conn.sock, conn.events, partial(self.on_pending_socket_readable, conn))
        if self.nr_conns >= self.worker_connections and self.alive:
            self.crowded = True

    def on_pending_socket_readable(self, conn: Connection, client: Any) -> None:
        """Take more of a head; a connection keeps its place among those that wait until the head is complete."""
        try:
            ready = conn.receive()
        except Gone:
            self.forget(conn)
            self.drop(conn)
            return
        if ready:
            self.forget(conn)
            super().enqueue_req(conn)

    def forget(self, conn: Connection) -> None:
        """Take a connection from those that wait."""
        self.poller.unregister(conn.sock)
        self.pending_conns.remove(conn)

    def drop(self, conn: Connection) -> None:
        """Close a connection that has nothing to say."""
        self.nr_conns -= 1
        conn.close()

    def relieve(self) -> None:
        """Make room for the next connection, or accept no more for a moment.

        Not where it was found that there is none: the poller may have news of the very connection that goes.
        """
        if self.crowded:
            self.say_crowded(
                "%d connections are open, the most that GUNICORN_WORKER_CONNECTIONS allows: closing those that send "
                "no request, the oldest first",
                self.worker_connections,
            )
            self.close_oldest(self.pending_conns)
        if self.short:
            descriptors.warn(self.say_short)
            if not self.make_room():
                self.accept_after = time.monotonic() + descriptors.SHORTAGE_PAUSE
                self.set_accept_enabled(False)
        self.crowded = self.short = False

    def make_room(self) -> bool:
        """Close the connection that has waited longest for a request, else one that lingers; return whether one did."""
        pending = self.pending_conns[0].since if self.pending_conns else float("inf")
        kept = self.keepalived_conns[0].timeout - self.cfg.keepalive if self.keepalived_conns else float("inf")
        if min(pending, kept) <= time.monotonic() - descriptors.LEAST_IDLE:
            self.close_oldest(self.pending_conns if pending < kept else self.keepalived_conns)
        elif self.lingering:
            self.end(next(iter(self.lingering)))
        else:
            return False
        return True

    def close_oldest(self, waiting: deque[Connection]) -> None:
        """Close the first of those that wait."""
        if waiting:
            conn = waiting.popleft()
            self.poller.unregister(conn.sock)
            self.drop(conn)

    def murder_pending(self) -> None:
        """Refuse those whose head is not complete in time, and be done with those that linger; then make room."""
        now = time.monotonic()
        while self.pending_conns and self.pending_conns[0].timeout <= now:
            conn = self.pending_conns[0]
            self.forget(conn)
            self.nr_conns -= 1
            self.refuse(conn)
        while self.lingering:
            conn, until = next(iter(self.lingering.items()))
            if until > now:
                break
            self.end(conn)
        self.relieve()

    def refuse(self, conn: Connection) -> None:
        """Answer a head that is not complete with 408, and silence with nothing."""
        if not conn.head.data:
            conn.close()
            return
        self.log.info("Refused %s with 408: no complete head within REQUEST_HEAD_TIMEOUT", conn.name)
        try:
            conn.sock.send(answer(408))
        except OSError:
            conn.close()
            return
        conn.close(graceful=True)

    def linger(self, conn: Connection) -> None:
        """Say that no more is to come, and close when the client has said the same or has had its time."""
        try:
            conn.sock.setblocking(False)
            if isinstance(conn.sock, ssl.SSLSocket):
                with suppress(OSError, ValueError):
                    # Says so in TLS's own words, and raises because it does not wait for the client's.
                    conn.sock.unwrap()
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, EVENT_READ, partial(self.on_lingering_readable, conn))
        except (OSError, ValueError):
            conn.close()
            return
        self.lingering[conn] = time.monotonic() + CLOSE_LINGER

    def on_lingering_readable(self, conn: Connection, client: Any) -> None:
        """Throw away what a client still sends."""
        try:
            data = conn.sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        conn.drained += len(data)
        if not data or conn.drained > LINGER_BYTES:
            self.end(conn)

    def end(self, conn: Connection) -> None:
        """Close a connection that lingers."""
        del self.lingering[conn]
        self.poller.unregister(conn.sock)
        conn.close()

    def finish_request(self, conn: Connection, fs: Future[Any]) -> None:
        """Take a connection back from its thread, which may say what is to be done with it."""
        following = None if fs.cancelled() or fs.exception() else fs.result()
        if callable(following):
            following(conn)
        else:
            super().finish_request(conn, fs)

    # The thread's side

    def handle(self, conn: Connection) -> Any:
        """Serve a request; for a new TLS connection, go on with the handshake only.

        Returns what Gunicorn's returns, or the method of the poller's side that is to be called next.
        """
        if conn.cfg.is_ssl and not conn.initialized:
            try:
                if not conn.shake_hands():
                    return self.wait
                conn.init()
            except OSError as error:
                self.log.debug("Closed %s: %s", conn.name, error)
                return False
            return self.wait if conn.is_http2 else self.begin
        if conn.initialized and not conn.is_http2 and isinstance(conn.parser.unreader, Unreader):
            conn.parser.unreader.deadline = self.head_deadline()
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Call the application: from now on the clock is that of the body."""
        conn.parser.unreader.deadline = None
        return super().handle_request(req, conn)
