"""The worker class for ASGI: Uvicorn's public `Config` and `Server` on Gunicorn's `Worker`.

The published classes import private names, never pass Gunicorn's graceful timeout on, and let Uvicorn re-raise the
signal that stopped it, so that neither `atexit` nor `worker_exit` runs (https://github.com/Kludex/uvicorn-worker).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import socket
from types import FrameType
from typing import Any

import uvicorn
import uvicorn.lifespan.on
import uvicorn.loops.auto
import uvicorn.protocols.http.auto
import uvicorn.protocols.websockets.auto  # loaded before the fork, so that workers share the pages and boot sooner
from gunicorn.arbiter import Arbiter

from paddock.application import Kind
from paddock.logs import AccessLog
from paddock.marks import announce_ready
from paddock.ready import in_front
from paddock.settings import BY_KEY, UVICORN, own
from paddock.watchdog import watched_asgi
from paddock.workers.boot import LINGER, BootingWorker
from paddock.workers.limits import Limits
from paddock.workers.protocols import protocol_class

AT_ONCE = 0.1
"""Seconds for what is in flight when there is no time left: enough for Uvicorn to see that nothing is."""


class Server(uvicorn.Server):
    """Uvicorn's server, stopped by its worker, which loses no request."""

    def __init__(self, config: uvicorn.Config, worker: UvicornWorker) -> None:
        super().__init__(config)
        self.worker = worker

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the worker: Uvicorn would raise SIGTERM again at the end, and kill the process by it."""
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Run lifespan startup and start to accept."""
        await super().startup(sockets)
        if self.started:
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
            await self.drain(self.worker.accept_until)
            self.stop_accepting(sockets or [])
            await self.let_go(self.worker.stop_by)
        self.config.timeout_graceful_shutdown = max(AT_ONCE, self.worker.stop_by - time.monotonic())  # type: ignore[assignment]
        # The event loop has closed the listeners; closing them once more, as Uvicorn would, fails with EBADF.
        await super().shutdown(sockets=None)

    def announce_end(self) -> None:
        """Let every answer from now on close its connection."""
        close = (b"connection", b"close")
        if close not in self.config.encoded_headers:
            self.config.encoded_headers.append(close)
            self.server_state.default_headers.append(close)

    async def drain(self, until: float) -> None:
        """Go on accepting until the monotonic time `until`."""
        while time.monotonic() < until:
            await self.on_tick(0)
            await asyncio.sleep(min(1.0, max(0.0, until - time.monotonic())))

    def stop_accepting(self, sockets: list[socket]) -> None:
        """Close the listeners, after taking what the kernel has accepted: nobody else might."""
        listeners = [listener.dup() for listener in sockets]
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for listener in listeners:
            for connection in accepted(listener):
                task = loop.create_task(self.connect(connection))
                self.server_state.tasks.add(task)
                task.add_done_callback(self.server_state.tasks.discard)
            listener.close()

    async def connect(self, connection: socket) -> None:
        """Serve a connection that was accepted by hand."""

        def protocol() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        loop = asyncio.get_running_loop()
        with suppress(OSError):
            await loop.connect_accepted_socket(protocol, connection, ssl=self.config.ssl)

    async def let_go(self, until: float) -> None:
        """Close connections as they are done, until the monotonic time `until`; WebSockets are told at once.

        One that waits for a request stays open a little: its client may have been told nothing, and be sending.
        """
        told = {connection for connection in self.server_state.connections if not hasattr(connection, "cycle")}
        for websocket in told:
            websocket.shutdown()
        idle_since: dict[Any, float] = {}
        while self.server_state.connections and time.monotonic() < until:
            for connection in self.server_state.connections - told:
                if not is_idle(connection):
                    idle_since.pop(connection, None)
                elif time.monotonic() - idle_since.setdefault(connection, time.monotonic()) >= LINGER:
                    connection.shutdown()
            await asyncio.sleep(0.02)


def is_idle(connection: Any) -> bool:
    """Tell whether an HTTP connection waits for a request."""
    cycle = getattr(connection, "cycle", connection)
    return cycle is None or bool(getattr(cycle, "response_complete", False))


def accepted(listener: socket) -> Iterator[socket]:
    """Yield the connections that wait to be accepted on a listener."""
    listener.setblocking(False)
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        yield connection


class UvicornWorker(BootingWorker):
    """Serves an ASGI application on one event loop."""

    server: Server | None = None

    def run(self) -> None:
        """Serve until told to stop, then run lifespan shutdown.

        Raises:
            SystemExit: with Gunicorn's status for a failed boot when lifespan startup failed.
        """
        logging.getLogger("uvicorn.error").addFilter(say_cut_off)
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
            loop.close()
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
        heart = loop.create_task(self.beat())
        try:
            await server.serve(sockets=[listener.sock for listener in self.sockets])
        finally:
            heart.cancel()
            self.watchdog.stop()
            await self.end_tasks(asyncio.all_tasks() - {this})
            await loop.shutdown_asyncgens()

    async def end_tasks(self, tasks: set[asyncio.Task[Any]]) -> None:
        """Cancel what the application left running, and let it clean up."""
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=max(LINGER, self.stop_by - time.monotonic()))

    def stop(self, number: int, this: asyncio.Task[Any] | None) -> None:
        """End gracefully on SIGTERM, at once on SIGINT and SIGQUIT."""
        self.alive = False
        self.begin_stop()
        if self.server is None or this is None:
            return
        if not self.server.started:
            # What the application has opened is closed properly if its startup is nearly done.
            asyncio.get_running_loop().call_later(LINGER, self.give_up_startup, this)
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
        self.exit_if_booting()
        self.alive = False

    async def beat(self) -> None:
        """Tell the arbiter, every second, that the event loop turns; stop if the arbiter is gone.

        Uvicorn's own notification goes by the wall clock, which steps.
        """
        pause = min(1.0, self.timeout / 2) if self.timeout else 1.0
        while True:
            self.notify()
            if os.getppid() != self.ppid:
                self.log.info("The arbiter is gone, shutting down: %s", self)
                self.alive = False
            if not self.alive:
                # Gunicorn's reloader says it so, too: it runs in a thread and knows no event loop.
                os.kill(os.getpid(), signal.SIGTERM)
                return
            await asyncio.sleep(pause)

    def requests(self) -> int:
        """Return how many requests the worker has served."""
        return self.server.server_state.total_requests if self.server else 0

    def uvicorn_options(self) -> dict[str, Any]:
        """Return the arguments of `uvicorn.Config` for this worker's configuration."""
        cfg = self.cfg
        application = watched_asgi(self.wsgi, self.watchdog, self.kind is Kind.ASGI2)
        if self.log.access_log_enabled:
            application = AccessLog(application, self.log)
        if path := own(cfg, "ready_path"):
            application = in_front(application, path, lambda: not self.draining, Kind.ASGI3)
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
            "forwarded_allow_ips": trusted_proxies(cfg),
            "backlog": cfg.backlog,
            "timeout_keep_alive": cfg.keepalive,
        }
        if cfg.is_ssl:
            options |= tls_options(cfg)
        table = {key: own(cfg, key) for key, setting in BY_KEY.items() if setting.section == UVICORN}
        options |= {key.removeprefix("uvicorn_"): value for key, value in table.items()}
        return options | {"http": protocol_class(options["http"], Limits.of(cfg))}


def say_cut_off(record: logging.LogRecord) -> bool:
    """Make a warning of the traceback that Uvicorn logs for a request which it cancelled itself."""
    if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
        record.msg, record.args, record.exc_info = "A request was cut off: the time to stop was over", (), None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def trusted_proxies(cfg: Any) -> list[str] | str:
    """Return whose forwarded headers Uvicorn believes.

    A peer on a Unix socket has no address, and can only be believed by believing everyone, which is right when
    nothing but Unix sockets is bound.
    """
    only_sockets = all(isinstance(address, str) for address in cfg.address)
    return "*" if only_sockets else list(cfg.forwarded_allow_ips)


def tls_options(cfg: Any) -> dict[str, Any]:
    """Return the arguments of `uvicorn.Config` that turn TLS on."""
    from gunicorn.sock import ssl_context

    return {"ssl_context_factory": lambda config, default: ssl_context(cfg)}
