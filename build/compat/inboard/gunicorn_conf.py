"""Gunicorn's settings by the variables of inboard, its formats of log lines among them.

The one difference: WORKERS_PER_CORE counts the processors of the container and not those of the machine.
https://inboard.bws.bio/environment
"""

import importlib.util
import logging
import os
import sys
from pathlib import Path

from paddock.settings.sizing import read_limits

bind = os.environ["BIND"]
timeout = int(os.environ.get("TIMEOUT", "120"))
graceful_timeout = int(os.environ.get("GRACEFUL_TIMEOUT", "120"))
keepalive = int(os.environ.get("KEEP_ALIVE", "5"))
loglevel = os.environ.get("LOG_LEVEL", "info")


def number_of_workers():
    """Return the lesser of MAX_WORKERS and WEB_CONCURRENCY; without them so many for each processor, 2 at least."""
    if given := [int(os.environ[name]) for name in ("MAX_WORKERS", "WEB_CONCURRENCY") if os.environ.get(name)]:
        return min(given)
    return max(int(float(os.environ.get("WORKERS_PER_CORE", "1")) * read_limits().processors), 2)


workers = number_of_workers()


class Unfiltered(logging.Filter):
    """Leaves out what holds one of the texts in LOG_FILTERS."""

    def __init__(self, texts):
        super().__init__()
        self.texts = texts

    def filter(self, record):
        """Tell whether a line is written."""
        message = record.getMessage()
        return not any(text in message for text in self.texts)


FORMATS = {
    "simple": {"format": "%(levelname)-10s %(message)s"},
    "verbose": {
        "format": "%(asctime)-30s %(process)-10d %(name)-15s %(module)-15s %(levelname)-10s %(message)s",
        "datefmt": "%Y-%m-%d %H:%M:%S %z",
    },
    "gunicorn": {
        "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
        "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
    },
    "uvicorn": {
        "()": "uvicorn.logging.DefaultFormatter",
        "format": "%(levelprefix)s %(message)s",
        "use_colors": {"true": True, "false": False}.get(os.environ.get("LOG_COLORS", "").lower(), sys.stdout.isatty()),
    },
}


LOGGERS = {
    name: {"propagate": True}
    for name in ("fastapi", "gunicorn.access", "gunicorn.error", "uvicorn", "uvicorn.access", "uvicorn.error")
}


def logging_configuration():
    """Return the dictionary of LOGGING_CONF, else that of LOG_FORMAT."""
    if name := os.environ.get("LOGGING_CONF"):
        path = Path(name)
        spec = (
            importlib.util.spec_from_file_location("confspec", path)
            if path.is_file() and path.suffix == ".py"
            else importlib.util.find_spec(name)
        )
        if not spec:
            raise ImportError(f"Unable to import {name}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        # Gunicorn would add loggers of its own, whose handlers that dictionary need not have.
        return {"loggers": LOGGERS, **module.LOGGING_CONFIG}
    texts = [text.strip() for text in os.environ.get("LOG_FILTERS", "").split(",") if text.strip()]
    level = loglevel.upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": FORMATS,
        "filters": {"texts": {"()": Unfiltered, "texts": texts}},
        "handlers": {
            "default": {
                "class": "logging.StreamHandler",
                "formatter": os.environ.get("LOG_FORMAT", "simple"),
                "filters": ["texts"],
                "level": level,
                "stream": "ext://sys.stdout",
            }
        },
        "root": {"handlers": ["default"], "level": level},
        "loggers": LOGGERS,
    }


if os.environ.get("LOGGING_CONF") or os.environ.get("LOG_FORMAT", "simple") not in ("text", "json"):
    logconfig_dict = logging_configuration()
