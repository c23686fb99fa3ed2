"""The process that serves the page: nothing that a worker waits for, and nothing that clients could fill."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from socket import socket
from typing import Any

from paddock.http import descriptors
from paddock.metrics.page import OPENMETRICS, TEXT, wants_openmetrics

METRICS_PATH = "/metrics"

MOST_SCRAPES = 16
"""Connections at one time; one more takes the place of the oldest, so that slow clients keep nobody out."""

SCRAPE_PATIENCE = 10.0
"""Seconds that a client has for its request and for taking the page: Prometheus waits as long by default."""

LAST_SCRAPE_PATIENCE = 1.0
"""Seconds that clients still have when the process is told to end."""

SCRAPE_HEAD = 16384
"""Bytes of a request's head."""

NICE = 10
"""How much the process stands back behind the workers."""

REQUEST = re.compile(rb"([A-Z]+) (/[!-~]*) HTTP/1\.[01]\r\n")

ACCEPT = re.compile(rb"\r\naccept:([^\r\n]*)", re.IGNORECASE)


class Exporter:
    """Answers `GET /metrics` on a listening socket."""

    def __init__(self, listener: socket, page: Callable[[bool], bytes]) -> None:
        """Take a `listener` that does not block, and what makes the page, given whether it shall be OpenMetrics."""
        self.listener = listener
        self.page = page
        self.over = asyncio.Event()
        self.answers: dict[asyncio.Task[None], None] = {}

    def run(self, mask: set[Any], arbiter: int) -> None:
        """Serve until SIGTERM, or until the process `arbiter` is gone; `mask` is of the signals to let in."""
        os.nice(NICE)
        # A terminal sends these to every process; this one ends when the arbiter says so.
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self.serve(mask, arbiter))

    async def serve(self, mask: set[Any], arbiter: int) -> None:
        """Accept connections until told to end, and finish what has begun: another may go on with the same socket."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.over.set)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

        def look() -> None:
            if os.getppid() == arbiter:
                loop.call_later(1.0, look)
            else:
                self.over.set()

        self.listen()
        look()
        await self.over.wait()
        loop.remove_reader(self.listener.fileno())
        if self.answers:
            await asyncio.wait(self.answers, timeout=LAST_SCRAPE_PATIENCE)

    def listen(self) -> None:
        """Begin to accept, or go on with it."""
        if not self.over.is_set():
            asyncio.get_running_loop().add_reader(self.listener.fileno(), self.accept)

    def accept(self) -> None:
        """Take a connection."""
        loop = asyncio.get_running_loop()
        try:
            connection, _ = self.listener.accept()
        except OSError as error:
            # Else the client has gone.
            if error.errno in descriptors.SHORTAGES:
                self.end_oldest()
                loop.remove_reader(self.listener.fileno())
                loop.call_later(descriptors.SHORTAGE_PAUSE, self.listen)
            return
        if len(self.answers) >= MOST_SCRAPES:
            self.end_oldest()
        task = loop.create_task(self.converse(connection))
        self.answers[task] = None
        task.add_done_callback(lambda task: self.answers.pop(task, None))

    def end_oldest(self) -> None:
        """Close the oldest connection, if there is any."""
        if self.answers:
            oldest = next(iter(self.answers))
            oldest.cancel()
            del self.answers[oldest]

    async def converse(self, connection: socket) -> None:
        """Answer one request within PATIENCE, whatever the client does."""
        connection.setblocking(False)
        reader = asyncio.StreamReader(limit=SCRAPE_HEAD)
        transport: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(SCRAPE_PATIENCE):
                loop = asyncio.get_running_loop()
                protocol = asyncio.StreamReaderProtocol(reader)
                transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection)
                # So that drain() returns when the kernel has taken everything.
                transport.set_write_buffer_limits(0)
                writer = asyncio.StreamWriter(transport, protocol, reader, loop)
                writer.write(self.answer(await reader.readuntil(b"\r\n\r\n")))
                await writer.drain()
                writer.write_eof()
                # Closing while the client still sends would reset the connection, and lose the answer.
                while await reader.read(SCRAPE_HEAD):
                    pass
        except (OSError, EOFError, asyncio.LimitOverrunError):
            # TimeoutError is an OSError: it is the client's loss.
            pass
        finally:
            # Not close(), which would wait for a client that takes nothing.
            with suppress(OSError):
                transport.abort() if transport else connection.close()

    def answer(self, head: bytes) -> bytes:
        """Return the answer to the request whose head is `head`."""
        request = REQUEST.match(head)
        if not request:
            return _response("400 Bad Request", b"This is not HTTP/1.1.\n")
        method, target = request.groups()
        if target.partition(b"?")[0] != METRICS_PATH.encode():
            answer = _response("404 Not Found", f"The metrics are at {METRICS_PATH}.\n".encode())
        elif method not in (b"GET", b"HEAD"):
            answer = _response("405 Method Not Allowed", b"Use GET.\n", Allow="GET, HEAD")
        else:
            accept = b",".join(ACCEPT.findall(head)).decode("latin-1")
            openmetrics = wants_openmetrics(accept)
            answer = _response("200 OK", self.page(openmetrics), OPENMETRICS if openmetrics else TEXT)
        return answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == b"HEAD" else answer


def _response(status: str, body: bytes, content_type: str = "text/plain; charset=utf-8", **headers: str) -> bytes:
    fields = {
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "Connection": "close",
        **headers,
    }
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
