"""The ids of a trace, from the client's header and from OpenTelemetry."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from paddock.http import traces
from paddock.http.ids import CURRENT
from paddock.logs.formats import JsonFormatter

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = {"trace_id": TRACE, "span_id": SPAN}
OF_SPAN = {"trace_id": f"{7:032x}", "span_id": f"{9:016x}"}


@pytest.mark.parametrize(
    ("field", "ids"),
    [
        (f"00-{TRACE}-{SPAN}-01", SENT),
        (f"00-{TRACE}-{SPAN}-00", SENT),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-bring", SENT),
        (f"ff-{TRACE}-{SPAN}-01", {}),
        (f"00-{'0' * 32}-{SPAN}-01", {}),
        (f"00-{TRACE}-{'0' * 16}-01", {}),
        (f"00-{TRACE.upper()}-{SPAN}-01", {}),
        (f"00-{TRACE[1:]}-{SPAN}-01", {}),
        ("", {}),
        (None, {}),
    ],
)
def test_field(field: str | None, ids: dict[str, str]) -> None:
    assert traces.of_field(field) == ids


@pytest.fixture
def request_of_a_trace() -> Iterator[None]:
    """A request is being served whose client sent the ids."""
    fields = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    token = CURRENT.set(SimpleNamespace(request_id="its-id", field=fields.get))
    yield
    CURRENT.reset(token)


def span(valid: bool) -> SimpleNamespace:
    """The module `opentelemetry.trace` as it is inside a span, or outside."""
    context = SimpleNamespace(is_valid=valid, trace_id=7, span_id=9)
    return SimpleNamespace(get_current_span=lambda: SimpleNamespace(get_span_context=lambda: context))


@pytest.mark.parametrize(
    ("api", "ids"), [(None, SENT), (SimpleNamespace(), SENT), (span(valid=False), SENT), (span(valid=True), OF_SPAN)]
)
def test_a_line_of_the_log_has_the_ids(
    request_of_a_trace: None, monkeypatch: pytest.MonkeyPatch, api: SimpleNamespace | None, ids: dict[str, str]
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", api)
    record = logging.LogRecord("shop", logging.INFO, __file__, 1, "ordered", None, None)

    line = json.loads(JsonFormatter().format(record))

    assert line.items() >= {"request_id": "its-id", **ids}.items()


def test_nothing_is_said_outside_of_requests() -> None:
    record = logging.LogRecord("shop", logging.INFO, __file__, 1, "ordered", None, None)

    assert not {"request_id", "trace_id", "span_id"} & json.loads(JsonFormatter().format(record)).keys()
