"""The worker class for ASGI: Uvicorn's public `Config` and `Server` on Gunicorn's `Worker`.

The published classes import private names, never pass Gunicorn's graceful timeout on, and let Uvicorn re-raise the
signal that stopped it, so that neither `atexit` nor `worker_exit` runs (https://github.com/Kludex/uvicorn-worker).
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import re
import signal
import ssl
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from heapq import nsmallest
from socket import socket
from types import FrameType
from typing import Any

import uvicorn
import uvicorn.lifespan.on
import uvicorn.loops.auto
import uvicorn.protocols.http.auto
import uvicorn.protocols.websockets.auto  # loaded before the fork, so that workers share the pages and boot sooner
from gunicorn.arbiter import Arbiter
from gunicorn.sock import ssl_context
from uvicorn.config import HTTP_PROTOCOLS, LIFESPAN, LOOP_FACTORIES, WS_PROTOCOLS
from uvicorn.importer import import_from_string

from paddock.application.kinds import Kind
from paddock.errors import closed
from paddock.http import descriptors, forwarded, ids, root_path
from paddock.http.interface import Receive, Scope, Send
from paddock.http.limits import Limits
from paddock.http.readiness import in_front
from paddock.settings.environment import own
from paddock.settings.table import BY_KEY, UVICORN
from paddock.start.checks import nested_loop
from paddock.text.output import waiting
from paddock.workers.asgi.accepting import Acceptor
from paddock.workers.asgi.implementations import observe, protocol_class
from paddock.workers.base import IDLE_LINGER, BootingWorker, ignore_stop_signals
from paddock.workers.shared import announce_ready

NO_TIME = 0.1
"""Seconds for what is in flight when there is no time left: enough for Uvicorn to see that nothing is."""


class Server(uvicorn.Server):
    """Uvicorn's server, stopped by its worker, which loses no request."""

    def __init__(self, config: uvicorn.Config, worker: UvicornWorker) -> None:
        super().__init__(config)
        self.worker = worker
        self.limits = Limits.of(worker.cfg)
        self.acceptor: Acceptor | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the worker: Uvicorn would raise SIGTERM again at the end, and kill the process by it."""
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Run lifespan startup and start to accept."""
        # Without the sockets: Uvicorn leaves a TLS handshake a minute, and accepting to the event loop.
        await super().startup(sockets=[])
        if self.started:
            self.acceptor = Acceptor(sockets or [], self.connect, self.make_room, self.worker.log)
            self.acceptor.start()
            # Not before: a startup that takes long is no hang, and has a time limit of its own.
            self.worker.watchdog.start()
            self.worker.notify()
            announce_ready(self.worker)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Drain, stop accepting, finish what is in flight, run lifespan shutdown.

        Uvicorn's own closes idle connections at once, with the requests that are on their way to them, and never
        accepts what the kernel has accepted (https://github.com/benoitc/gunicorn/issues/2567).
        """
        if not self.worker.hurried:
            await self.drain()
            if self.acceptor:
                await self.acceptor.take_the_rest(self.worker.stop_by)
                self.acceptor.stop()
            # What libraries hook into, to end streams that would not end by themselves:
            # https://github.com/sysid/sse-starlette/blob/main/sse_starlette/sse.py, AppStatus
            self.handle_exit(signal.SIGTERM, None)
            await self.let_go()
        self.config.timeout_graceful_shutdown = max(NO_TIME, self.worker.stop_by - time.monotonic())  # type: ignore[assignment]
        if self.acceptor:
            self.acceptor.stop()
        await super().shutdown(sockets=None)

    def announce_end(self) -> None:
        """Let every answer from now on close its connection."""
        close = (b"connection", b"close")
        if close not in self.config.encoded_headers:
            self.config.encoded_headers.append(close)
            self.server_state.default_headers.append(close)

    async def drain(self) -> None:
        """Go on accepting for DRAIN_DELAY, which SIGINT and SIGQUIT end."""
        while (left := self.worker.accept_until - time.monotonic()) > 0:
            await self.on_tick(0)
            await asyncio.sleep(min(0.2, left))

    async def connect(self, connection: socket) -> None:
        """Serve a connection that was accepted."""
        await asyncio.get_running_loop().connect_accepted_socket(self.protocol, connection, **self.tls())

    def make_room(self) -> bool:
        """Close what has waited longest for a request: one connection, of very many one in a hundred.

        Returns whether there was any.
        """
        long_ago = asyncio.get_running_loop().time() - descriptors.LEAST_IDLE
        idle = [
            connection
            for connection in self.server_state.connections
            if is_idle(connection) and idle_since(connection) <= long_ago
        ]
        going = [
            connection.transport
            for connection in nsmallest(1 + len(idle) // 100, idle, key=idle_since)
            if not is_sending(connection.transport)
        ]
        for transport in going:
            # Not close(), which waits for a client that takes nothing, and with TLS for its consent.
            transport.abort()
        return bool(going)

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol of a connection that was accepted."""
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def tls(self) -> dict[str, Any]:
        """Return what asyncio has to know to speak TLS."""
        if not self.config.ssl:
            return {}
        return {"ssl": self.config.ssl, "ssl_handshake_timeout": self.limits.head_timeout or None}

    def is_shaking_hands(self) -> bool:
        """Tell whether a TLS handshake is going on: Uvicorn knows of a connection from its end on."""
        return bool(self.acceptor and self.acceptor.connecting)

    async def let_go(self) -> None:
        """Close connections as they are done, for as long as the worker has time; WebSockets are told at once.

        One that waits for a request stays open a little: its client may have been told nothing, and be sending.
        """
        told = {
            connection
            for connection in self.server_state.connections
            if not hasattr(connection, "cycle") and not is_http2(connection)
        }
        for websocket in told:
            websocket.shutdown()
        begun = now = time.monotonic()
        due: dict[Any, float] = {}
        closed: dict[Any, float] = {}
        while now < self.worker.stop_by and (
            self.server_state.connections or (now < begun + IDLE_LINGER and self.is_shaking_hands())
        ):
            for connection in self.server_state.connections - told:
                if connection in closed:
                    # TLS waits for the client to close it, too; one that keeps its connection for later does not look.
                    if now >= closed[connection] + IDLE_LINGER and is_delivered(connection.transport):
                        connection.transport.abort()
                elif not is_idle(connection):
                    # HTTP/2 says which request was the last: the client takes the next one elsewhere.
                    due[connection] = now if is_http2(connection) else now + IDLE_LINGER
                elif now >= due.setdefault(connection, now + IDLE_LINGER):
                    connection.shutdown()
                    closed[connection] = now
            await asyncio.sleep(0.02)
            now = time.monotonic()


def is_http2(connection: Any) -> bool:
    """Tell whether a connection has requests side by side."""
    return hasattr(connection, "cycles")


def is_idle(connection: Any) -> bool:
    """Tell whether an HTTP connection waits for a request; a WebSocket does not."""
    if is_http2(connection):
        return not connection.cycles
    cycle = getattr(connection, "cycle", connection)
    return cycle is None or bool(getattr(cycle, "response_complete", False))


def idle_since(connection: Any) -> float:
    """Return since when, by the event loop's clock, an HTTP connection waits for a request."""
    timer = getattr(connection, "timeout_keep_alive_task", None)
    return max(
        getattr(connection, "accepted", 0.0),
        getattr(connection, "idle_since", None) or 0.0,
        timer.when() - connection.timeout_keep_alive if timer else 0.0,
    )


def is_sending(transport: asyncio.Transport) -> bool:
    """Tell whether a client has sent what nobody has read yet."""
    connection = transport.get_extra_info("socket")
    return connection is not None and connection.fileno() >= 0 and waiting(connection.fileno()) > 0


def is_delivered(transport: asyncio.Transport) -> bool:
    """Tell whether the client's system has acknowledged all that was written.

    https://man7.org/linux/man-pages/man7/tcp.7.html, SIOCOUTQ
    """
    connection = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return True
    return not any(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))


class UvicornWorker(BootingWorker):
    """Serves an ASGI application on one event loop."""

    server: Server | None = None

    @staticmethod
    def prepare(cfg: Any) -> None:
        """Import all that the configuration leads to, so that no import of the server's comes when threads run."""
        protocol_class(cfg.uvicorn_http, Limits.of(cfg))
        for paths, name in (
            (HTTP_PROTOCOLS, cfg.uvicorn_http),
            (WS_PROTOCOLS, cfg.uvicorn_ws),
            (LIFESPAN, cfg.uvicorn_lifespan),
        ):
            if path := paths[name]:
                import_from_string(path)
        if path := LOOP_FACTORIES[cfg.uvicorn_loop]:
            # It imports the loop's package when it is asked for a loop.
            import_from_string(path)(use_subprocess=False)

    def run(self) -> None:
        """Serve until told to stop, then run lifespan shutdown.

        Raises:
            SystemExit: with Gunicorn's status for a failed boot when lifespan startup failed.
        """
        logging.getLogger("uvicorn.error").addFilter(say_cut_off)
        logging.getLogger("uvicorn.error").addFilter(say_closed)
        config = uvicorn.Config(**self.uvicorn_options())
        self.server = Server(config, self)
        # Not as a context manager: that waits for the threads of the default executor, whatever they do.
        runner = asyncio.Runner(loop_factory=config.get_loop_factory())
        loop = runner.get_loop()
        try:
            runner.run(self.serve(self.server))
        except asyncio.CancelledError:
            self.log.info("Stopped before the application had started up")
        finally:
            close(loop)
        if not self.server.started and self.alive:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def serve(self, server: Server) -> None:
        """Run `server` with the worker's signal handlers on the event loop, where they interrupt nothing."""
        loop = asyncio.get_running_loop()
        this = asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self.stop, number, this)
        if not self.alive:
            return
        if self.access_log:
            self.access_log.serve_scopes(self.cfg.root_path, loop.call_soon)
        heart = loop.create_task(self.beat())
        try:
            await server.serve(sockets=[listener.sock for listener in self.sockets])
        finally:
            heart.cancel()
            self.watchdog.stop()
            await self.end_tasks(asyncio.all_tasks() - {this})
            await loop.shutdown_asyncgens()
            # There are no more turns to wait for, and what holds a loop of uvloop's is never freed.
            if self.access_log:
                self.access_log.later = None

    async def end_tasks(self, tasks: set[asyncio.Task[Any]]) -> None:
        """Cancel what the application left running, and let it clean up."""
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=max(IDLE_LINGER, self.stop_by - time.monotonic()))

    def stop(self, number: int, this: asyncio.Task[Any] | None) -> None:
        """End gracefully on SIGTERM, at once on SIGINT and SIGQUIT."""
        self.alive = False
        self.begin_stop()
        if self.server is None or this is None:
            return
        if not self.server.started:
            # What the application has opened is closed properly if its startup is nearly done.
            asyncio.get_running_loop().call_later(IDLE_LINGER, self.give_up_startup, this)
        if number != signal.SIGTERM:
            self.hurry()
            self.cfg.worker_int(self)
        self.server.announce_end()
        self.server.should_exit = True

    def give_up_startup(self, this: asyncio.Task[Any]) -> None:
        """Cancel a lifespan startup that goes on although the worker was told to stop: nothing is in flight."""
        if self.server and not self.server.started:
            this.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM, before the event loop runs."""
        self.exits_if_booting()
        self.alive = False

    async def beat(self) -> None:
        """Tell the arbiter, every second, that the event loop turns; stop if the arbiter is gone.

        Uvicorn's own notification goes by the wall clock, which steps.
        """
        pause = min(1.0, self.timeout / 2) if self.timeout else 1.0
        # What the import did, the first worker has said.
        said = bool(nested_loop(self.cfg, self.kind))
        while True:
            self.notify()
            if not said and (warnings := nested_loop(self.cfg, self.kind)):
                said = True
                self.log.warning("%s", *warnings)
            if os.getppid() != self.ppid:
                self.log.info("The arbiter is gone, shutting down: %s", self)
                self.alive = False
            if not self.alive and not (self.server and self.server.should_exit):
                # Gunicorn's reloader says it so, too: it runs in a thread and knows no event loop.
                os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(pause)

    def requests(self) -> int:
        """Return how many requests the worker has served."""
        return self.server.server_state.total_requests if self.server else 0

    def uvicorn_options(self) -> dict[str, Any]:
        """Return the arguments of `uvicorn.Config` for this worker's configuration."""
        cfg = self.cfg
        application = asgi3(self.wsgi) if self.kind is Kind.ASGI2 else self.wsgi
        if path := own(cfg, "ready_path"):
            application = in_front(application, path, lambda: not self.draining, Kind.ASGI3)
        if cfg.root_path:
            application = root_path.asgi(application, cfg.root_path)
        if own(cfg, "uvicorn_proxy_headers"):
            application = forwarded.asgi(application, forwarded.Proxies(cfg))
        id_header, in_flight = ids.header(own(cfg, "request_id_header")), self.watchdog.requests
        wrap = observe(own(cfg, "uvicorn_http"), self.told, cfg.root_path, id_header, in_flight)
        application = wrap(application)
        options: dict[str, Any] = {
            # A factory that only hands the application over keeps Uvicorn from calling the application to see
            # whether it is one: https://github.com/Kludex/uvicorn/blob/main/uvicorn/config.py, Config.load
            "app": lambda: application,
            "factory": True,
            "interface": "asgi3",
            # Unset, Uvicorn would read WEB_CONCURRENCY, which may be `auto` here.
            "workers": 1,
            "log_config": None,
            "access_log": False,
            "root_path": cfg.root_path,
            "backlog": cfg.backlog,
            "timeout_keep_alive": cfg.keepalive,
        }
        if cfg.is_ssl:
            options["ssl_context_factory"] = lambda config, default: tls_context(cfg, config)
        table = {key: own(cfg, key) for key, setting in BY_KEY.items() if setting.section == UVICORN}
        options |= {key.removeprefix("uvicorn_"): value for key, value in table.items()}
        # Believing proxies is the matter of `forwarded`, not of Uvicorn's own middleware.
        protocol = protocol_class(options["http"], Limits.of(cfg), self.told)
        return options | {"http": protocol, "proxy_headers": False}


def asgi3(application: Any) -> Any:
    """Return an ASGI 2 application as one of ASGI 3.

    https://asgi.readthedocs.io/en/latest/specs/main.html#legacy-applications
    """

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await application(scope)(receive, send)

    return call


def close(loop: asyncio.AbstractEventLoop) -> None:
    """Close an event loop, without a moment in which a signal kills, or is written to what is closed already.

    asyncio's closes what signals are written to before it gives them their defaults back, and there is shutdown code to
    come. https://github.com/python/cpython/blob/3.14/Lib/asyncio/unix_events.py, _UnixSelectorEventLoop.close
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    loop.close()
    ignore_stop_signals()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def say_cut_off(record: logging.LogRecord) -> bool:
    """Make a warning of the traceback that Uvicorn logs for a request which it cancelled itself."""
    if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
        record.msg, record.args, record.exc_info = "A request was cut off: the time to stop was over", (), None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def say_closed(record: logging.LogRecord) -> bool:
    """Say what to do when lifespan startup failed for a file of the application's that is root's.

    Frameworks send its traceback as text: https://asgi.readthedocs.io/en/latest/specs/lifespan.html#startup-failed
    """
    text = record.getMessage()
    found = re.search(r"^PermissionError: \[Errno \d+\] [^:]+: '([^']+)'", text, re.MULTILINE)
    error = record.exc_info[1] if record.exc_info and "lifespan" in text else None
    path = found[1] if found else getattr(error, "filename", None) if isinstance(error, PermissionError) else None
    if isinstance(path, str) and (advice := closed(path, os.getcwd())):
        record.msg, record.args = f"{text.rstrip()}\n{advice}", ()
    return True


def tls_context(cfg: Any, config: uvicorn.Config) -> ssl.SSLContext:
    """Return the context that the arbiter has loaded, with the protocols that Uvicorn's protocol class can speak."""
    context: ssl.SSLContext = ssl_context(cfg)
    if protocols := getattr(config.http_protocol_class, "alpn_protocols", None):
        context.set_alpn_protocols(protocols)
    return context
