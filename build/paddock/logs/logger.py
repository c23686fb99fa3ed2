"""Gunicorn's logger, for everything that the servers, the image and Python's logging print."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from gunicorn import glogging

from paddock.logs.access import UNLOGGED, AccessLog, access_log, is_own_way
from paddock.logs.formats import formatter
from paddock.logs.output import replaced
from paddock.settings import own
from paddock.workers.exchange import Answered

SERVERS = ("gunicorn.error", "gunicorn.access", "uvicorn.error")
"""The servers' own loggers."""


class ServerLogger(logging.Logger):
    """A logger that cannot be disabled.

    `dictConfig` and `fileConfig` disable every logger that they do not name, unless told not to, and applications call
    them: a failed start would have no reason, and there would be neither tracebacks nor an access log.
    https://docs.python.org/3/library/logging.config.html#dictionary-schema-details
    """

    @property
    def disabled(self) -> bool:
        """Always False."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        pass


class Logger(glogging.Logger):  # type: ignore[misc]
    """Gunicorn's logger, with the image's format, for the application's loggers and Uvicorn's as well."""

    own_handlers: tuple[logging.Handler, ...] = ()
    access_lines: AccessLog | None = None
    """What writes the access log's lines for Gunicorn's worker classes."""

    def setup(self, cfg: Any) -> None:
        """Make the handlers that `cfg` asks for. A user's own logging configuration is obeyed and left alone."""
        self.access_lines = None
        super().setup(cfg)
        if cfg.logconfig or cfg.logconfig_dict or cfg.logconfig_json:
            return
        log_format = own(cfg, "log_format")
        access = formatter("json") if log_format == "json" else logging.Formatter("%(message)s")
        for log, form in ((self.error_log, formatter(log_format)), (self.access_log, access)):
            log.handlers = [replaced(handler) for handler in log.handlers]
            for handler in log.handlers:
                handler.setFormatter(form)
                # How Gunicorn knows the handlers that it shall remove when it is set up again.
                handler._gunicorn = True
        self.adopt()

    def access(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: Any) -> None:
        """Write the access log's line for a request of one of Gunicorn's worker classes; the image's write their own.

        A subclass that makes `atoms` of its own gets them into its lines.
        """
        if UNLOGGED in environ:
            return
        if is_own_way(type(self)):
            super().access(resp, req, environ, request_time)
        elif not hasattr(req, "exchange") and self.access_log_enabled:
            self.access_lines = self.access_lines or access_log(self, self.cfg)
            if self.access_lines:
                self.access_lines.ended(Answered.by_gunicorn(resp, req, dict(environ), request_time))

    def adopt(self) -> None:
        """Send what the application and Uvicorn log to the same place as the server's own log.

        The application may configure the root logger in another way, which then holds for itself alone.
        """
        root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn.error")
        for log in (root, uvicorn):
            for handler in self.own_handlers:
                log.removeHandler(handler)
            for handler in self.error_log.handlers:
                log.addHandler(handler)
            log.setLevel(self.loglevel)
        self.own_handlers = tuple(self.error_log.handlers)
        uvicorn.propagate = False
        for name in SERVERS:
            logging.getLogger(name).__class__ = ServerLogger
        logging.captureWarnings(True)
