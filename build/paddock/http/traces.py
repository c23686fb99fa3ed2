"""Traces that a request belongs to, as W3C's Trace Context and OpenTelemetry say: https://www.w3.org/TR/trace-context/"""

from __future__ import annotations

import re
import sys
from typing import Any

from paddock.http.ids import CURRENT

TRACE_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})(?P<span_id>[0-9a-f]{16})-[0-9a-f]{2}"
)
"""A valid field; later versions may have more behind it."""


def of_field(value: str | None) -> dict[str, str]:
    """Return the `trace_id` and the `span_id` of a header field; nothing of one that is not valid, or not there."""
    match = TRACE_PARENT.match(value) if value else None
    return match.groupdict() if match else {}


def of_record(record: Any) -> dict[str, str]:
    """Return those that the client of a request has sent."""
    return of_field(record.field("traceparent"))


def current() -> dict[str, str]:
    """Return those of OpenTelemetry's span where there is one, else those that the client of the request has sent."""
    # Only the application's own import: who has it, has it for this. It may be in the middle of it.
    if current_span := getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None):
        span = current_span().get_span_context()
        if span.is_valid:
            return {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
    record = CURRENT.get()
    return of_record(record) if record else {}
