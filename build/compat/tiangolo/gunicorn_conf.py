"""Gunicorn's settings by the variables of tiangolo/uvicorn-gunicorn; `python /gunicorn_conf.py` prints them.

WORKERS_PER_CORE counts the processors of the container, though, and not those of the machine.
https://github.com/tiangolo/uvicorn-gunicorn-docker/blob/master/docker-images/gunicorn_conf.py
"""

import json
import logging
import os
import re
import sys

if __name__ == "__main__":
    sys.path.append("/opt/paddock/lib")

from paddock.settings.sizing import read_limits
from paddock.text.formats import TextFormatter

host = os.getenv("HOST", "0.0.0.0")  # noqa: S104
port = os.getenv("PORT", "80")
workers_per_core = float(os.getenv("WORKERS_PER_CORE", "1"))
use_max_workers = int(os.getenv("MAX_WORKERS") or 0) or None


def number_of_workers():
    """Return WEB_CONCURRENCY; else so many for each processor, 2 at least, MAX_WORKERS at most."""
    if given := os.getenv("WEB_CONCURRENCY"):
        return int(given)
    number = max(int(workers_per_core * read_limits().processors), 2)
    return min(number, use_max_workers or number)


workers = number_of_workers()
bind = os.getenv("BIND") or f"{host}:{port}"
loglevel = os.getenv("LOG_LEVEL", "info")
accesslog = os.getenv("ACCESS_LOG", "-") or None
errorlog = os.getenv("ERROR_LOG", "-") or None
graceful_timeout = int(os.getenv("GRACEFUL_TIMEOUT", "120"))
timeout = int(os.getenv("TIMEOUT", "120"))
keepalive = int(os.getenv("KEEP_ALIVE", "5"))


class GunicornLines(TextFormatter):
    """The image's lines with the beginning that Gunicorn's own have, which people look for in their logs."""

    def format(self, record):
        """Return the record as text."""
        return re.sub(r"^(\S+) \[(\w+)\] \[(\d+)\] [\w.]+:", r"[\1] [\3] [\2]", super().format(record), count=1)


def on_starting(server):
    """Let the log look as that image's does."""
    for name in ("gunicorn.error", "uvicorn", "uvicorn.error"):
        for handler in logging.getLogger(name).handlers:
            if type(handler.formatter) is TextFormatter:
                handler.setFormatter(GunicornLines())
    server.log.info("Using worker: %s", os.getenv("WORKER_CLASS") or "uvicorn.workers.UvicornWorker")


if __name__ == "__main__":
    SHOWN = ("loglevel", "workers", "bind", "graceful_timeout", "timeout", "keepalive", "errorlog", "accesslog")
    print(
        json.dumps({name: globals()[name] for name in (*SHOWN, "workers_per_core", "use_max_workers", "host", "port")})
    )
