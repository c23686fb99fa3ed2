"""GUNICORN_STATSD_HOST: what Gunicorn's own logger sends by UDP, for requests of the image's workers, too.

https://gunicorn.org/reference/settings/#statsd_host
"""

from __future__ import annotations

from gunicorn.instrument.statsd import Statsd

from paddock.http.record import Record
from paddock.logs.logger import Logger


class StatsdLogger(Statsd, Logger):  # type: ignore[misc]
    """The image's logger, which counts what it logs; an observer of requests, whose duration is in milliseconds."""

    # Gunicorn's writes a line of its own.
    access = Logger.access

    def ended(self, record: Record) -> None:
        """Send what Gunicorn sends of a request, unless it is the image's own."""
        if record.is_own:
            return
        self.timer("gunicorn.request.duration", record.seconds * 1000)
        self.increment("gunicorn.requests", 1)
        self.increment(f"gunicorn.request.status.{record.status}", 1)
