"""The worker class for ASGI."""

from __future__ import annotations

import logging
import os
import re
from typing import Any

from paddock.application.kinds import Kind
from paddock.errors import closed
from paddock.http.interface import Receive, Scope, Send
from paddock.workers.front.worker import LoopWorker


class UvicornWorker(LoopWorker):
    """Serves an ASGI application on one event loop."""

    def run(self) -> None:
        """Serve until told to stop, then run lifespan shutdown."""
        logging.getLogger("uvicorn.error").addFilter(say_closed)
        super().run()

    def application(self) -> Any:
        """Return the application as one of ASGI 3."""
        return asgi3(self.wsgi) if self.kind is Kind.ASGI2 else self.wsgi


def asgi3(application: Any) -> Any:
    """Return an ASGI 2 application as one of ASGI 3.

    https://asgi.readthedocs.io/en/latest/specs/main.html#legacy-applications
    """

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await application(scope)(receive, send)

    return call


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
