"""The process that answers while no worker serves."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import signal
import ssl
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from paddock.http import descriptors
from paddock.http.readiness import ALIVE, READY_METHODS
from paddock.processes import fork

PATIENCE = 2.0
"""Seconds that a client has for its request while the server starts."""

HANDOVER = 1.0
"""Seconds that a worker waits for the process before it, which needs milliseconds."""

MOST_ANSWERS = 256
"""Connections that are answered at once while the server starts; the kernel keeps the others waiting."""

HEAD_LIMIT = 65536
"""Bytes of a request's head that are read in search of its end."""

STARTING_BODY = b"starting"
BROKEN_BODY = b"The application does not start, and the log says why. It is started again when a file changes.\n"
"""What is answered while no worker serves."""


class StartingResponder:
    """A process that answers every request with 503 while no worker serves.

    It shares the arbiter's listeners, takes what the kernel has accepted, and leaves the rest to the workers.
    """

    def __init__(
        self,
        listeners: Sequence[Any],
        ssl_context: ssl.SSLContext | None,
        body: bytes = STARTING_BODY,
        live_path: str | None = None,
    ) -> None:
        """Take the arbiter's `listeners`, which do not block, the context for TLS if they speak it, and the answer.

        At `live_path` the answer is that the server lives.
        """
        self.listeners = listeners
        self.ssl_context = ssl_context
        self.body = body
        self.live_path = live_path
        self.pid = 0
        # A byte that the arbiter's other children see: whether the process has stopped to accept.
        self.over = mmap.mmap(-1, mmap.PAGESIZE)

    def start(self) -> int:
        """Fork the process; return its pid. The arbiter reaps it like any child that is no worker."""
        arbiter = os.getpid()

        def run(mask: set[Any]) -> None:
            try:
                if self.ssl_context:
                    # In this process alone: the workers may offer HTTP/2 with the same context.
                    self.ssl_context.set_alpn_protocols(["http/1.1"])
                with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                    runner.run(self._respond(arbiter, mask))
            finally:
                self.over[0] = 1

        self.pid = fork(run)
        return self.pid

    def stop(self) -> None:
        """Tell it to finish what it has taken and to end. Calling it again does nothing."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            self.pid = 0

    def take_over(self) -> None:
        """Return, in a worker, when the process accepts nothing any more: nobody is told "starting" after "ready"."""
        deadline = time.monotonic() + HANDOVER
        while not self.over[0] and time.monotonic() < deadline:
            self.stop()
            time.sleep(0.001)

    def _answer_to(self, request: bytes) -> bytes:
        """Return the answer to the request with a head."""
        method, _, rest = request.partition(b" ")
        path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
        lives = path.decode("latin-1") == self.live_path and method.decode("latin-1") in READY_METHODS
        status, body = ALIVE if lives else (503, self.body)
        head = (
            b"HTTP/1.1 %d %b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
            b"Cache-Control: no-store\r\n%bConnection: close\r\n\r\n"
        ) % (status, HTTPStatus(status).phrase.encode(), len(body), b"" if lives else b"Retry-After: 1\r\n")
        return head if method == b"HEAD" else head + body

    async def _respond(self, arbiter: int, mask: set[Any]) -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, ended.set)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        answers: set[asyncio.Task[None]] = set()

        def accept(listener: Any) -> None:
            try:
                connection, _ = listener.accept()
            except OSError as error:
                # Else another process took it, or the client has gone.
                if error.errno in descriptors.SHORTAGES:
                    listen(False)
                    loop.call_later(descriptors.SHORTAGE_PAUSE, again)
                return
            task = loop.create_task(self._answer(connection))
            answers.add(task)
            task.add_done_callback(done)
            if len(answers) == MOST_ANSWERS:
                listen(False)

        def done(task: asyncio.Task[None]) -> None:
            answers.discard(task)
            if len(answers) == MOST_ANSWERS - 1:
                again()

        def again() -> None:
            if len(answers) < MOST_ANSWERS and not ended.is_set():
                listen(True)

        def listen(wanted: bool) -> None:
            for listener in self.listeners:
                if wanted:
                    loop.add_reader(listener.fileno(), accept, listener)
                else:
                    loop.remove_reader(listener.fileno())

        listen(True)
        while not ended.is_set() and os.getppid() == arbiter:
            try:
                await asyncio.wait_for(ended.wait(), 1.0)
            except TimeoutError:
                continue
        ended.set()
        listen(False)
        self.over[0] = 1
        if answers:
            await asyncio.wait(answers)
        # The arbiter and a worker may both still ask to end: asyncio closes what a signal is written to before it
        # stops to listen, and the process ends right after that.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    async def _answer(self, connection: Any) -> None:
        """Answer one request within PATIENCE, whatever the client does."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=HEAD_LIMIT)
        connection.setblocking(False)
        transport: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                transport, _ = await loop.connect_accepted_socket(
                    lambda: asyncio.StreamReaderProtocol(reader), connection, ssl=self.ssl_context
                )
                head = await reader.readuntil(b"\r\n\r\n")
                transport.write(self._answer_to(head))
                if transport.can_write_eof():
                    # Closing while the client still sends a body would reset the connection, and lose the answer.
                    transport.write_eof()
                    while await reader.read(HEAD_LIMIT):
                        pass
        except (OSError, EOFError, asyncio.LimitOverrunError):
            # TimeoutError and ssl.SSLError are OSErrors: it is the client's loss.
            pass
        finally:
            if transport:
                transport.close()
            else:
                connection.close()
