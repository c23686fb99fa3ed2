"""Clients that are slow, or that only pretend to be, must cost a WSGI worker none of its few threads.

Gunicorn gives a connection to a thread before the request is there: four clients that each send half a request stop a
worker of four threads for good, and even silent ones take a thread for five seconds each. Here the poller reads until
the head is complete, and the thread finds it in its parser's buffer. What only a thread can wait for, a TLS handshake
and the request's body, has a time limit.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn import http, sock
from gunicorn.http.unreader import SocketUnreader
from gunicorn.http2 import negotiation
from gunicorn.workers import gthread

from paddock.workers.limits import Limits, answer

if TYPE_CHECKING:
    from concurrent.futures import Future

SHAKEN = object()
"""What a thread returns for a connection that has its TLS handshake behind it, and nothing else."""

LINGER = 2.0
LINGER_BYTES = 1024 * 1024
"""How long, and how much, a client may go on sending after the last answer: closing at once would reset what it has not
read yet (https://www.rfc-editor.org/rfc/rfc9112#section-9.6)."""

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

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def sendall(self, data: bytes) -> None:
        """Send the page, with its head as it should be."""
        self.client.sendall(data.replace(b"\r\n\n", b"\r\n\r\n", 1))


class Connection(gthread.TConn):  # type: ignore[misc]
    """A client's connection."""

    sock: Any

    def __init__(self, worker: SlowClients, client_sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(worker.cfg, client_sock, client, server)
        self.worker = worker
        self.head = Head(worker.limits)
        self.drained = 0
        self.timeout = worker.head_deadline()
        # The poller has seen to it, so no thread need wait.
        self.data_ready = True

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

    def receive(self) -> bool:
        """Take what has come, without waiting. Returns whether it is a thread's turn.

        Raises:
            Gone: when nothing more will come.
        """
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

    def init(self) -> None:
        """Make the parser, after the TLS handshake if there is to be one, and give it what has been read.

        Raises:
            TooSlow: when the handshake takes too long.
        """
        if not self.initialized:
            if self.cfg.is_ssl:
                self.shake_hands()
            else:
                super().init()
            if not self.is_http2:
                buffered = self.parser.unreader.take_buffered()
                self.parser.unreader = Unreader(self)
                self.parser.unreader.unread(buffered)
        if self.head.data:
            self.parser.unreader.unread(self.head.take())

    def shake_hands(self) -> None:
        """Do the TLS handshake, within the time of the head; otherwise what Gunicorn does."""
        self.initialized = True
        left = self.timeout - time.monotonic()
        self.sock.settimeout(max(0.001, left) if left != float("inf") else None)
        try:
            self.sock = sock.ssl_wrap_socket(self.sock, self.cfg)
            if not self.cfg.do_handshake_on_connect:
                self.sock.do_handshake()
        except TimeoutError:
            raise TooSlow("the TLS handshake took longer than REQUEST_HEAD_TIMEOUT") from None
        self.sock.settimeout(None)
        self.is_http2 = sock.is_http2_negotiated(self.sock)
        self.parser = http.get_parser(self.cfg, self.sock, self.client, http2_connection=self.is_http2)
        if self.is_http2:
            self.parser.initiate_connection()

    def close(self, graceful: bool = False) -> None:
        """Close; gracefully without Gunicorn's wait of up to two seconds, in which the poller would serve nobody."""
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
        self.warned = float("-inf")

    def head_deadline(self) -> float:
        """Return by when a head that begins now must be complete."""
        return time.monotonic() + (self.limits.head_timeout or float("inf"))

    # The poller's side

    def accept(self, listener: Any) -> None:
        """Accept a connection."""
        try:
            client_sock, client = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        self.enqueue_req(Connection(self, client_sock, client, listener.getsockname()))

    def enqueue_req(self, conn: Connection) -> None:
        """Give a connection to a thread, now or as soon as its request's head is there."""
        try:
            ready = conn.receive()
        except Gone:
            self.drop(conn)
            return
        if ready:
            super().enqueue_req(conn)
            return
        conn.timeout = self.head_deadline()
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, gthread.selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))
        if self.nr_conns >= self.worker_connections and self.alive:
            self.make_room()

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

    def make_room(self) -> None:
        """Close the connection that has waited longest for its request, so that others can still be accepted."""
        conn = self.pending_conns[0]
        self.forget(conn)
        self.drop(conn)
        now = time.monotonic()
        if now > self.warned + 60:
            self.warned = now
            self.log.warning(
                "%d connections are open, the most that GUNICORN_WORKER_CONNECTIONS allows: closing those that send "
                "no request, the oldest first",
                self.worker_connections,
            )

    def murder_pending(self) -> None:
        """Refuse those whose head is not complete in time, and be done with those that linger."""
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
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, gthread.selectors.EVENT_READ, partial(self.on_lingering_readable, conn))
        except (OSError, ValueError):
            conn.close()
            return
        self.lingering[conn] = time.monotonic() + LINGER

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
        """Take a connection back from its thread."""
        if not fs.cancelled() and not fs.exception() and fs.result() is SHAKEN:
            self.enqueue_req(conn)
        else:
            super().finish_request(conn, fs)

    # The thread's side

    def handle(self, conn: Connection) -> Any:
        """Serve a request; for a new TLS connection, do the handshake only."""
        if conn.cfg.is_ssl and not conn.initialized:
            try:
                conn.init()
            except OSError as error:
                self.log.debug("Closed %s: %s", conn.name, error)
                return False
            if not conn.is_http2:
                return SHAKEN
        elif conn.initialized and isinstance(conn.parser.unreader, Unreader):
            conn.parser.unreader.deadline = self.head_deadline()
        return super().handle(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what went wrong."""
        super().handle_error(req, ErrorPage(client), addr, exc)

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """Call the application: from now on the clock is that of the body."""
        conn.parser.unreader.deadline = None
        return super().handle_request(req, conn)
