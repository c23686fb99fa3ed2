"""A worker on an event loop: Uvicorn's public `Config` and `Server` on Gunicorn's `Worker`.

The published classes import private names, never pass Gunicorn's graceful timeout on, and let Uvicorn re-raise the
signal that stopped it, so that neither `atexit` nor `worker_exit` runs (https://github.com/Kludex/uvicorn-worker).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any

import uvicorn
import uvicorn.lifespan.on
import uvicorn.loops.auto
import uvicorn.protocols.websockets.auto  # loaded before the fork, so that workers share the pages and boot sooner
from gunicorn.arbiter import Arbiter
from gunicorn.sock import ssl_context

from paddock.http import forwarded, ids, root_path
from paddock.http.concurrency import limited
from paddock.http.limits import Limits
from paddock.http.readiness import ALIVE, Answer, in_front, readiness
from paddock.settings.environment import own
from paddock.settings.table import BY_KEY, UVICORN
from paddock.start.checks import nested_loop
from paddock.workers.base import IDLE_LINGER, STOP_SIGNALS, BootingWorker, ignore_stop_signals
from paddock.workers.front.fragments import websocket_class
from paddock.workers.front.implementations import observe, protocol_class, records
from paddock.workers.front.server import Server

CANCEL = "Cancel %s running task(s), timeout graceful shutdown exceeded"
"""What Uvicorn's `Server.shutdown` logs."""


class LoopWorker(BootingWorker):
    """Serves on one event loop."""

    server: Server | None = None

    @staticmethod
    def prepare(cfg: Any) -> None:
        """Import all that the configuration leads to, so that no import of the server's comes when threads run."""
        config = uvicorn.Config(
            lambda: None,
            factory=True,
            interface="asgi3",
            workers=1,
            log_config=None,
            http=protocol_class(cfg.uvicorn_http, Limits.of(cfg), records()),
            ws=websocket_class(cfg.uvicorn_ws),
            lifespan=cfg.uvicorn_lifespan,
            loop=cfg.uvicorn_loop,
        )
        config.load()
        # It imports the loop's package when it is asked for a loop.
        config.get_loop_factory()

    def run(self) -> None:
        """Serve until told to stop, then run lifespan shutdown.

        Raises:
            SystemExit: with Gunicorn's status for a failed boot when lifespan startup failed.
        """
        logging.getLogger("uvicorn.error").addFilter(say_cut_off)
        config = uvicorn.Config(**self.uvicorn_options())
        self.server = Server(config, self)
        # A handler that raises while the loop is made would leave it to nobody: `serve` lets the signals in.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
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
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self.stop, number, this)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        if not self.alive:
            return
        self.begin()
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

    def begin(self) -> None:
        """Start what has to be there before the worker serves; signals are let in by now, which threads inherit."""

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

    async def beat(self) -> None:
        """Tell the arbiter, every second, that the event loop turns; stop if the arbiter is gone.

        Uvicorn's own notification goes by the wall clock, which steps.
        """
        pause = min(1.0, self.timeout / 2) if self.timeout else 1.0
        # What the import did, the first worker has said.
        said = bool(nested_loop(self.cfg, self.kind))
        slot, loop = self.shared and self.shared.slot, asyncio.get_running_loop()
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
            due = loop.time() + pause
            await asyncio.sleep(pause)
            if slot:
                slot.lag = max(0.0, loop.time() - due)

    def requests(self) -> int:
        """Return how many requests the worker has served."""
        return self.server.server_state.total_requests if self.server else 0

    def in_flight(self) -> set[Any]:
        """Return what holds the records that are being served: the watchdog names them."""
        return self.watchdog.requests

    def application(self) -> Any:
        """Return the application as one of ASGI 3."""
        raise NotImplementedError

    def answers(self) -> dict[str, Callable[[], Answer]]:
        """Return what the image answers itself, by its path."""
        answers: dict[str, Callable[[], Answer]] = {}
        if path := own(self.cfg, "ready_path"):
            answers[path] = lambda: readiness(self.draining)
        if path := own(self.cfg, "live_path"):
            answers[path] = lambda: ALIVE
        return answers

    def uvicorn_options(self) -> dict[str, Any]:
        """Return the arguments of `uvicorn.Config` for this worker's configuration."""
        cfg = self.cfg
        application = self.application()
        if most := own(cfg, "uvicorn_limit_concurrency"):
            application = limited(application, most)
        if answers := self.answers():
            application = in_front(application, answers)
        if cfg.root_path:
            application = root_path.asgi(application, cfg.root_path)
        if own(cfg, "uvicorn_proxy_headers"):
            application = forwarded.asgi(application, forwarded.Proxies(cfg))
        id_header, in_flight = ids.header(own(cfg, "request_id_header")), self.in_flight()
        attributes = records(self.told, cfg.root_path, id_header, in_flight)
        application = observe(own(cfg, "uvicorn_http"), attributes)(application)
        options: dict[str, Any] = {
            # A factory that only hands the application over keeps Uvicorn from calling the application to see
            # whether it is one: https://github.com/Kludex/uvicorn/blob/main/uvicorn/config.py, Config.load
            "app": lambda: application,
            "factory": True,
            "interface": "asgi3",
            # Unset, Uvicorn would read WEB_CONCURRENCY, which may be `auto` here.
            "workers": 1,
            "log_config": None,
            "root_path": cfg.root_path,
            "backlog": cfg.backlog,
            "timeout_keep_alive": cfg.keepalive,
        }
        if cfg.is_ssl:
            options["ssl_context_factory"] = lambda config, default: tls_context(cfg, config)
        table = {key: own(cfg, key) for key, setting in BY_KEY.items() if setting.section == UVICORN}
        options |= {key.removeprefix("uvicorn_"): value for key, value in table.items()}
        # Believing proxies and counting requests are not left to Uvicorn.
        options |= {"http": self.protocol(options["http"], attributes), "ws": websocket_class(options["ws"])}
        return options | {"proxy_headers": False, "limit_concurrency": None}

    def protocol(self, http: str, attributes: dict[str, Any]) -> Any:
        """Return what Uvicorn shall take for a value of UVICORN_HTTP, with the `attributes` of what serves requests."""
        return protocol_class(http, Limits.of(self.cfg), attributes)


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
    """Make a warning of what Uvicorn logs when it does not wait for requests any longer."""
    if record.msg == CANCEL and record.args == (0,):
        record.msg, record.args = "Connections were cut off: the time to stop was over", ()
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
        record.msg, record.args, record.exc_info = "A request was cut off: the time to stop was over", (), None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def tls_context(cfg: Any, config: uvicorn.Config) -> ssl.SSLContext:
    """Return the context that the arbiter has loaded, with the protocols that Uvicorn's protocol class can speak."""
    context: ssl.SSLContext = ssl_context(cfg)
    if protocols := getattr(config.http_protocol_class, "alpn_protocols", None):
        context.set_alpn_protocols(protocols)
    return context
