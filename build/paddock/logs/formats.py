"""How the servers' log looks: LOG_FORMAT. What the application's own handlers can use, too."""

from __future__ import annotations

import logging
from typing import Any

from paddock.http import ids, traces
from paddock.text.formats import ObjectFormatter, TextFormatter

__all__ = ["JsonFormatter", "TextFormatter", "formatter"]


class JsonFormatter(ObjectFormatter):
    """A line for machines, with the id of the request that is being served, and of its trace."""

    def context(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the ids that there are, but for those that the record has of its own."""
        found = {"request_id": ids.current(), **traces.current()}
        return {name: value for name, value in found.items() if value and name not in vars(record)}


def formatter(log_format: str) -> logging.Formatter:
    """Return the formatter for a value of LOG_FORMAT."""
    return JsonFormatter() if log_format == "json" else TextFormatter()
