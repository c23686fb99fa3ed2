"""The page, as prometheus_client reads it."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from paddock.metrics.figures import Figures
from paddock.metrics.page import END, Family, render, wants_openmetrics
from paddock.metrics.slots import BUCKETS, METHODS, STATUSES, Counter, Slots
from paddock.metrics.tally import REASONS, STATES, WANTED, WorkerCounts

NAMES = {
    "paddock_http_requests": "counter",
    "paddock_http_request_duration_seconds": "histogram",
    "paddock_http_requests_in_flight": "gauge",
    "paddock_http_request_body_bytes": "counter",
    "paddock_http_response_body_bytes": "counter",
    "paddock_workers": "gauge",
    "paddock_workers_wanted": "gauge",
    "paddock_worker_restarts": "counter",
    "paddock_worker_resident_memory_bytes": "gauge",
    "paddock_worker_age_seconds": "gauge",
    "paddock_event_loop_lag_seconds": "gauge",
    "paddock_threads": "gauge",
    "paddock_threads_busy": "gauge",
    "paddock_start_time_seconds": "gauge",
    "paddock_certificate_expiry_timestamp_seconds": "gauge",
    "paddock_build": "info",
    "paddock_config": "info",
}
"""What people have in their dashboards: no name may change."""


def read(page: bytes, openmetrics: bool) -> dict[str, SimpleNamespace]:
    """Return the page's families by name, each with its kind and its samples' values by name and labels."""
    text = page.decode()
    families = openmetrics_families(text) if openmetrics else text_string_to_metric_families(text)
    return {
        family.name: SimpleNamespace(
            kind=family.type,
            help=family.documentation,
            values={(s.name, tuple(sorted(s.labels.items()))): s.value for s in family.samples},
        )
        for family in families
    }


@pytest.fixture
def figures() -> Figures:
    """A server of two workers, of which one is this process, after some requests."""
    slots, workers = Slots(), WorkerCounts()
    slot = slots.take()
    slot.occupy(os.getpid(), 1.0)
    slot.threads, slot.busy, slot.lag = 4, 3, 0.25
    slots.take().occupy(2**22 + 1, 1.0)
    counter = Counter(slot)
    for method, status, seconds in (("GET", 200, 0.004), ("GET", 200, 0.2), ("GET", 503, 45.0), ("BREW", 418, 0.001)):
        one = SimpleNamespace(method=method, status=status, seconds=seconds, received=3, sent=5)
        one.is_own = False
        counter.begun(one)
        counter.ended(one)
    counter.begun(None)
    workers[WANTED] = 3
    workers["serving"] = 2
    workers["recycled"] = 7
    return Figures(slots, workers, {"timeout": "30", "bind": 'a\\b"c\nd'}, None, 1234.5, 5678.0)


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])
def test_the_page_is_read(figures: Figures, openmetrics: bool) -> None:
    page = figures.page(openmetrics)
    families = read(page, openmetrics)

    plain = {"info": "gauge"}
    suffix = {} if openmetrics else {"info": "_info"}
    kinds = {
        name + suffix.get(kind, ""): kind if openmetrics else plain.get(kind, kind) for name, kind in NAMES.items()
    }
    assert {name: family.kind for name, family in families.items()} == kinds
    assert all(family.help for family in families.values())
    assert page.endswith(END.encode()) is openmetrics
    assert page.count(b"# TYPE") == page.count(b"# HELP") == len(NAMES)


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])
def test_the_values(figures: Figures, openmetrics: bool) -> None:
    families = read(figures.page(openmetrics), openmetrics)

    def value(name: str, family: str = "", **labels: str) -> float:
        return float(families[family or name].values[name, tuple(sorted(labels.items()))])

    def requests(**labels: str) -> float:
        return value("paddock_http_requests_total", "paddock_http_requests", **labels)

    assert requests(method="GET", status="2xx") == 2
    assert requests(method="GET", status="5xx") == 1
    assert requests(method="other", status="4xx") == 1
    assert sum(families["paddock_http_requests"].values.values()) == 4
    assert len(families["paddock_http_requests"].values) == 2 * len(STATUSES)
    duration = "paddock_http_request_duration_seconds"
    expected = {"0.0025": 0, "0.005": 1, "0.1": 1, "0.25": 2, "30.0": 2, "+Inf": 3}
    assert {le: value(f"{duration}_bucket", duration, method="GET", le=le) for le in expected} == expected
    assert value(f"{duration}_count", duration, method="GET") == 3
    assert value(f"{duration}_sum", duration, method="GET") == pytest.approx(45.204)
    assert value("paddock_http_requests_in_flight") == 1
    assert value("paddock_http_request_body_bytes_total", "paddock_http_request_body_bytes") == 12
    assert value("paddock_http_response_body_bytes_total", "paddock_http_response_body_bytes") == 20
    assert {s: value("paddock_workers", state=s) for s in STATES} == {"booting": 0, "serving": 2, "stopping": 0}
    assert value("paddock_workers_wanted") == 3
    assert value("paddock_worker_restarts_total", "paddock_worker_restarts", reason="recycled") == 7
    assert len(families["paddock_worker_restarts"].values) == len(REASONS)
    assert value("paddock_worker_resident_memory_bytes", worker="0") > 10 * 2**20
    assert len(families["paddock_worker_resident_memory_bytes"].values) == 1, "of processes that there are"
    assert value("paddock_worker_age_seconds", worker="0") > 1
    assert value("paddock_event_loop_lag_seconds", worker="0") == 0.25
    assert value("paddock_threads") == 4
    assert value("paddock_threads_busy") == 3
    assert value("paddock_start_time_seconds") == 1234.5
    assert value("paddock_certificate_expiry_timestamp_seconds") == 5678
    info = "paddock_config" if openmetrics else "paddock_config_info"
    assert value("paddock_config_info", info, timeout="30", bind='a\\b"c\nd') == 1


def test_nothing_is_said_of_methods_that_nobody_used(figures: Figures) -> None:
    assert "DELETE" in METHODS
    assert b"DELETE" not in figures.page(False)


@given(text=st.text(st.characters(blacklist_categories=("Cs",))), value=st.floats(allow_nan=False))
def test_any_label_comes_back(text: str, value: float) -> None:
    family = Family("it", "gauge", text.replace("\r", " "))
    family.add(value, it=text)

    (read_back,) = openmetrics_families((render([family], True) + END.encode()).decode())

    assert [(sample.labels, sample.value) for sample in read_back.samples] == [({"it": text}, value)]


def test_what_is_no_unicode() -> None:
    family = Family("it", "gauge", "x")
    family.add(1, it="\udcff")

    assert render([family], False).splitlines()[-1] == b'it{it="?"} 1'


def test_buckets_are_sorted() -> None:
    assert sorted(set(BUCKETS)) == list(BUCKETS)


PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,*/*;q=0.8", False),
        ("text/plain;version=0.0.4", False),
        (PROMETHEUS, True),
        ("Application/OpenMetrics-Text; version=1.0.0", True),
        ("text/plain, application/openmetrics-text;q=0.5", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=much", False),
    ],
)
def test_which_format(accept: str, wanted: bool) -> None:
    assert wants_openmetrics(accept) is wanted
