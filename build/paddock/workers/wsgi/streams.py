"""HTTP/2 for WSGI: Gunicorn's protocol, without a thread for each connection.

Gunicorn's worker stays in a thread for as long as an HTTP/2 connection is open, which is KEEP_ALIVE after its last
request: four browsers stop a worker of four threads for a minute. When told to stop, it closes connections without
GOAWAY, and what was on its way is lost. Here a connection waits in the poller, as those of HTTP/1.1 do. The requests of
one connection are served one after the other.
"""

from __future__ import annotations

import ssl
import time
from bisect import insort
from functools import partial
from operator import attrgetter
from selectors import EVENT_READ
from typing import Any

from gunicorn.http2.errors import HTTP2ConnectionError, HTTP2Error, HTTP2StreamError
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER

from paddock.workers.wsgi.slow import CHUNK, Connection, SlowClients


class Streams(SlowClients):
    """Serves the requests of an HTTP/2 connection when they are there."""

    def handle_http2(self, conn: Connection) -> Any:
        """Serve the requests that have come. Returns what is to be done next; False closes with GOAWAY."""
        parser = conn.parser
        try:
            requests = arrived(conn)
            for request in requests or ():
                self._serve_http2_stream(request, conn, parser)
                conn.last_stream = request.stream.stream_id
                conn.set_timeout()
        except (HTTP2Error, OSError) as error:
            self.log.debug("Closed %s: %s", conn.name, error)
            return False
        except Exception:
            self.log.exception("Closed %s", conn.name)
            return False
        if parser.is_closed or (conn.last_stream and not self.alive):
            return False
        if requests is not None:
            # More may have come meanwhile; it is the others' turn first.
            return self.enqueue_req
        if not conn.last_stream:
            return self.wait
        if not self.cfg.keepalive or len(self.keepalived_conns) >= self.max_keepalived:
            return False
        return self.keep

    def keep(self, conn: Connection) -> None:
        """Leave a connection to the poller until its next request, or until it was idle for too long."""
        if not self.alive:
            conn.timeout = min(conn.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)
        conn.sock.setblocking(False)
        insort(self.keepalived_conns, conn, key=attrgetter("timeout"))
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_client_socket_readable, conn))

    def handle_http2_request(self, req: Any, conn: Connection, h2_conn: Any) -> None:
        """Call the application; where it fails, Gunicorn's answer would be the text of its exception."""
        try:
            super().handle_http2_request(req, conn, h2_conn)
        except (HTTP2StreamError, HTTP2ConnectionError):
            raise
        except Exception:
            self.log.exception("Error handling request %s", req.uri)
            if not req.record.begun:
                req.record.status = 500
            h2_conn.send_error(req.stream.stream_id, 500, "Internal Server Error")


def arrived(conn: Connection) -> list[Any] | None:
    """Return the requests that have come; None when nothing has come at all."""
    parser = conn.parser
    data = None
    # What came while an earlier request was served is given out without reading.
    if not parser.pending_requests and not parser._deferred_events:
        conn.sock.setblocking(False)
        try:
            data = conn.sock.recv(CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        finally:
            conn.sock.settimeout(parser.stream_timeout)
    return list(parser.receive_data(data))
