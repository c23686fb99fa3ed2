"""Gunicorn's logger, for everything that the servers, the image and Python's logging print."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from logging.config import dictConfig
from typing import Any

from gunicorn import glogging

from paddock.http.record import UNLOGGED, Answered
from paddock.logs.access import AccessLog, access_log
from paddock.logs.formats import formatter
from paddock.settings.classes import is_own_way
from paddock.settings.environment import own
from paddock.settings.parsers import LEVELS
from paddock.start import log_config as configuration
from paddock.start import messages
from paddock.text.formats import IMAGE
from paddock.text.output import replaced

ADOPTED = ("uvicorn", "uvicorn.error", "uvicorn.access", messages.PYTHON)
"""Loggers that write where Gunicorn's own does."""

SERVERS = ("gunicorn.error", "gunicorn.access", *ADOPTED)
"""The servers' own loggers, and that of what Python says itself."""


class Logger(glogging.Logger):  # type: ignore[misc]
    """Gunicorn's logger, with the image's format, for the application's loggers, Uvicorn's and Python's as well."""

    LOG_LEVELS = LEVELS
    own_handlers: tuple[logging.Handler, ...] = ()
    access_lines: AccessLog | None = None
    """What writes the access log's lines for Gunicorn's worker classes."""

    def setup(self, cfg: Any) -> None:
        """Make the handlers that `cfg` asks for. A user's own logging configuration is obeyed and left alone."""
        self.access_lines = None
        messages.end(logging.getLogger())
        messages.catch()
        if path := own(cfg, "log_config"):
            self.obey(cfg, configuration.read(path))
            return
        self.error_log.propagate = self.access_log.propagate = False
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

    def obey(self, cfg: Any, config: dict[str, Any]) -> None:
        """Apply the user's configuration `config`, and add nothing to it.

        The servers' loggers propagate to the root logger, and LOG_LEVEL is the level, where it does not say otherwise.
        """
        self.cfg = cfg
        self._access_log_enabled = self._compute_access_log_enabled()
        self.loglevel = self.LOG_LEVELS.get(cfg.loglevel.lower(), logging.INFO)
        messages.end(logging.getLogger(IMAGE))
        loggers = [logging.getLogger(name) for name in (None, *SERVERS, IMAGE)]
        ours = (*self.own_handlers, *self.error_log.handlers, *self.access_log.handlers)
        for log in loggers:
            for handler in ours:
                log.removeHandler(handler)
            log.setLevel(self.loglevel)
            log.propagate = True
        self.access_log.setLevel(logging.INFO)
        messages.protect(*SERVERS, IMAGE)
        dictConfig(config)
        # For a reload, which may bring another configuration or none.
        self.own_handlers = tuple(handler for log in loggers for handler in log.handlers)
        for handler in self.own_handlers:
            handler._gunicorn = True  # type: ignore[attr-defined]

    def access(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: Any) -> None:
        """Write the access log's line for a request of one of Gunicorn's worker classes; the image's write their own.

        A subclass that makes `atoms` of its own gets them into its lines.
        """
        if UNLOGGED in environ:
            return
        if is_own_way(type(self)):
            super().access(resp, req, environ, request_time)
        elif not hasattr(req, "record") and self.access_log_enabled:
            self.access_lines = self.access_lines or access_log(self, self.cfg)
            if self.access_lines:
                self.access_lines.ended(Answered.by_gunicorn(resp, req, dict(environ), request_time))

    def adopt(self) -> None:
        """Send what the application, Uvicorn and Python log to the same place as the server's own log.

        The application may configure the root logger in another way, which then holds for itself alone.
        """
        for name in (None, *ADOPTED):
            log = logging.getLogger(name)
            for handler in self.own_handlers:
                log.removeHandler(handler)
            for handler in self.error_log.handlers:
                log.addHandler(handler)
            log.setLevel(self.loglevel)
            log.propagate = False
        self.own_handlers = tuple(self.error_log.handlers)
        messages.protect(*SERVERS)
