"""How the servers' log looks: LOG_FORMAT. What the application's own handlers can use, too."""

from __future__ import annotations

import logging
from typing import Any

from paddock.http import ids
from paddock.text.formats import ObjectFormatter, TextFormatter

__all__ = ["JsonFormatter", "TextFormatter", "formatter"]


class JsonFormatter(ObjectFormatter):
    """A line for machines, with the id of the request that is being served."""

    def context(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the request's id, if there is one, and the record has none of its own."""
        request_id = ids.current()
        return {"request_id": request_id} if request_id and "request_id" not in vars(record) else {}


def formatter(log_format: str) -> logging.Formatter:
    """Return the formatter for a value of LOG_FORMAT."""
    return JsonFormatter() if log_format == "json" else TextFormatter()
