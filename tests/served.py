"""A WSGI application behind the image's front, on a port of this process: for tests that need no container."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import uvicorn
from gunicorn.config import Config
from uvicorn.server import ServerState

from front import front
from paddock.http.record import NOBODY, Observers
from paddock.workers.watchdog import Watchdog
from paddock.workers.wsgi.environ import Environs
from paddock.workers.wsgi.exchange import Application
from paddock.workers.wsgi.hooks import hooked
from paddock.workers.wsgi.pool import Pool
from paddock.workers.wsgi.protocol import WsgiProtocol
from paddock.workers.wsgi.takeover import Tunnel


@dataclass
class Served:
    """Where it is served, and by what."""

    port: int
    worker: Any

    def connect(self) -> socket.socket:
        """Return a connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def exchange(self, request: bytes) -> bytes:
        """Send a request, which ends its connection, and return all that comes."""
        with self.connect() as client:
            client.sendall(request)
            return b"".join(iter(lambda: client.recv(65536), b""))

    def get(self, path: bytes = b"/", *fields: bytes) -> bytes:
        """Ask for a path, and return head and body."""
        head = [b"GET %b HTTP/1.1" % path, b"Host: test", b"Connection: close", *fields, b"", b""]
        return self.exchange(b"\r\n".join(head))


def awaited(application: Any) -> Any:
    """Return an ASGI application that gives no exchange to be begun."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        await application(scope, receive, send)

    return call


@contextmanager
def serving(
    application: Any,
    http: str = "auto",
    threads: int = 4,
    observers: Observers = NOBODY,
    by_coroutine: bool = False,
    **settings: Any,
) -> Iterator[Served]:
    """Serve `application` with the parser `http`, each request by a coroutine or not; `settings` are Gunicorn's."""
    cfg = Config()
    for name, value in {"threads": threads, **settings}.items():
        cfg.set(name, value)
    worker = SimpleNamespace(
        cfg=cfg,
        log=logging.getLogger("gunicorn.error"),
        watchdog=Watchdog(0),
        environs=Environs(cfg),
        body_buffer=1024 * 1024,
        logs_environ=True,
        pool=Pool(threads, lambda full: None, logging.getLogger("gunicorn.error").warning),
    )
    started, stop = threading.Event(), asyncio.Event()
    served = Served(0, worker)

    served_application = Application(hooked(application, worker), worker)

    async def serve(protocol: Any) -> None:
        loop = worker.pool.loop = asyncio.get_running_loop()
        config = uvicorn.Config(
            awaited(served_application) if by_coroutine else served_application,
            interface="asgi3",
            http=protocol,
            ws="none",
            log_config=None,
            proxy_headers=False,
        )
        config.load()
        state = ServerState()
        worker.served = lambda: state.total_requests
        worker.tunnels = lambda: [each for each in state.connections if isinstance(each, Tunnel)]
        server = await loop.create_server(
            lambda: protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        served.port = server.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    with (
        front(http, observers, base=WsgiProtocol, pool=worker.pool) as protocol,
        contextlib.ExitStack() as stack,
    ):
        thread = threading.Thread(target=asyncio.run, args=(serve(protocol),))
        thread.start()
        stack.callback(thread.join)
        stack.callback(lambda: worker.pool.loop.call_soon_threadsafe(stop.set))
        started.wait()
        yield served
