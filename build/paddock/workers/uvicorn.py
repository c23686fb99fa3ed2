"""The worker class for ASGI: Uvicorn's public `Config` and `Server` on Gunicorn's `Worker`.

The published classes import private names, never pass Gunicorn's graceful timeout on, and let Uvicorn re-raise the
signal that stopped it, so that neither `atexit` nor `worker_exit` runs (https://github.com/Kludex/uvicorn-worker).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
from paddock.settings import BY_KEY, UVICORN
from paddock.workers.boot import BootingWorker, announce_ready

SHUTDOWN_SHARE = 0.25
"""The part of the graceful timeout that is kept for lifespan shutdown: the arbiter kills at its end."""

INTERFACES = {Kind.ASGI3: "asgi3", Kind.ASGI2: "asgi2"}


class Server(uvicorn.Server):
    """Uvicorn's server, stopped by its worker."""

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
            announce_ready(self.worker)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop accepting, finish what is in flight, run lifespan shutdown.

        The event loop closes the listeners; closing them once more, as Uvicorn would, fails with EBADF.
        """
        await super().shutdown(sockets=None)


class UvicornWorker(BootingWorker):
    """Serves an ASGI application on one event loop."""

    server: Server | None = None

    def run(self) -> None:
        """Serve until told to stop, then run lifespan shutdown.

        Raises:
            SystemExit: with Gunicorn's status for a failed boot when lifespan startup failed.
        """
        config = uvicorn.Config(**self.uvicorn_options())
        self.server = Server(config, self)
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(self.serve(self.server))
        if not self.server.started and self.alive:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def serve(self, server: Server) -> None:
        """Run `server` with the worker's signal handlers on the event loop, where they interrupt nothing."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self.stop, number)
        if not self.alive:
            return
        await server.serve(sockets=self.sockets)

    def stop(self, number: int) -> None:
        """End gracefully on SIGTERM, at once on SIGINT and SIGQUIT."""
        self.alive = False
        if self.server is None:
            return
        self.server.should_exit = True
        if number != signal.SIGTERM:
            self.server.force_exit = True
            self.cfg.worker_int(self)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM, before the event loop runs."""
        self.exit_if_booting()
        self.alive = False

    async def beat(self) -> None:
        """Tell the arbiter that the event loop turns; stop if the arbiter is gone."""
        self.notify()
        if os.getppid() != self.ppid:
            self.log.info("The arbiter is gone, shutting down: %s", self)
            self.stop(signal.SIGTERM)

    def uvicorn_options(self) -> dict[str, Any]:
        """Return the arguments of `uvicorn.Config` for this worker's configuration."""
        cfg = self.cfg
        application = self.wsgi
        if self.log.access_log_enabled:
            application = AccessLog(application, self.log, self.kind is Kind.ASGI2)
        interface = "asgi3" if self.log.access_log_enabled else INTERFACES[self.kind]
        options: dict[str, Any] = {
            # A factory that only hands the application over keeps Uvicorn from calling the application to see
            # whether it is one: https://github.com/Kludex/uvicorn/blob/main/uvicorn/config.py, Config.load
            "app": lambda: application,
            "factory": True,
            "interface": interface,
            "log_config": None,
            "access_log": False,
            "root_path": cfg.root_path,
            "forwarded_allow_ips": trusted_proxies(cfg),
            "backlog": cfg.backlog,
            "limit_max_requests": self.max_requests if cfg.max_requests else None,
            "timeout_keep_alive": cfg.keepalive,
            "timeout_graceful_shutdown": cfg.graceful_timeout * (1 - SHUTDOWN_SHARE),
            "timeout_notify": self.timeout,
            "callback_notify": self.beat,
        }
        if cfg.is_ssl:
            options |= tls_options(cfg)
        return options | {key.removeprefix("uvicorn_"): value for key, value in table_options(cfg)}


def table_options(cfg: Any) -> Iterator[tuple[str, Any]]:
    """Yield the `UVICORN_…` settings of `cfg`, by their lower-case names.

    Under plain `gunicorn -c` the configuration was made before the image's settings were known to Gunicorn, so they
    come from the environment there.
    """
    from paddock.environment import resolve

    known = cfg.settings if "uvicorn_lifespan" in cfg.settings else None
    values = None if known else resolve(os.environ).values
    for key, setting in BY_KEY.items():
        if setting.section == UVICORN:
            yield key, known[key].get() if known else values[key].value  # type: ignore[index]


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
