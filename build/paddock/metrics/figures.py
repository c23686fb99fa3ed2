"""What the page says, with all names and what they mean."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping

import gunicorn
import uvicorn

from paddock.metrics.multiprocess import ApplicationMetrics
from paddock.metrics.page import END, Family, render
from paddock.metrics.slots import BUCKETS, METHODS, Slots
from paddock.metrics.tally import REASONS, STATES, WorkerCounts
from paddock.processes import resident


class Figures:
    """Makes the page."""

    def __init__(
        self,
        slots: Slots,
        workers: WorkerCounts,
        configuration: Mapping[str, str],
        application: ApplicationMetrics | None,
        started: float,
        certificate_until: float | None = None,
    ) -> None:
        """Take what counts, the values of settings, and two times in seconds since the epoch.

        They are the server's start, and the end of its certificate if it has one.
        """
        self.slots = slots
        self.workers = workers
        self.configuration = configuration
        self.application = application
        self.started = started
        self.certificate_until = certificate_until
        self.versions = {
            "gunicorn": gunicorn.__version__,
            "uvicorn": uvicorn.__version__,
            "python": platform.python_version(),
        }

    def page(self, openmetrics: bool) -> bytes:
        """Return the page as it is now, in the format OpenMetrics or as plain text."""
        page = render(self.families(), openmetrics)
        if self.application:
            page += self.application.page(openmetrics)
        return page + END.encode() if openmetrics else page

    def families(self) -> Iterator[Family]:
        """Yield the image's own metrics."""
        yield from self.of_requests()
        yield from self.of_workers()
        yield from self.of_server()

    def of_requests(self) -> Iterator[Family]:
        """Yield what workers have counted. A method is there from its first request on, with every class of status."""
        total = self.slots.total()
        requests = Family(
            "paddock_http_requests",
            "counter",
            "Requests whose answer has ended; not the image's own health check, nor READY_PATH.",
        )
        durations = Family(
            "paddock_http_request_duration_seconds",
            "histogram",
            "Time from the complete head of a request to the end of its answer; not of WebSockets.",
        )
        for method in METHODS:
            statuses = total.statuses(method)
            if not any(statuses.values()):
                continue
            for status, number in statuses.items():
                requests.add(number, method=method, status=status)
            durations.add_histogram(BUCKETS, total.durations(method), total.seconds[method], method=method)
        yield requests
        yield durations
        yield _gauge("paddock_http_requests_in_flight", "Requests that have begun and not ended.", total.in_flight)
        yield _counter("paddock_http_request_body_bytes", "Bytes of requests' bodies.", total.received)
        yield _counter("paddock_http_response_body_bytes", "Bytes of answers' bodies.", total.sent)

    def of_workers(self) -> Iterator[Family]:
        """Yield what the arbiter has counted, and what the kernel knows of the workers."""
        states = Family("paddock_workers", "gauge", "Worker processes by what they do.")
        for state in STATES:
            states.add(self.workers[state], state=state)
        yield states
        yield _gauge("paddock_workers_wanted", "Worker processes that there shall be.", self.workers["wanted"])
        restarts = Family("paddock_worker_restarts", "counter", "Workers that were replaced, by the reason.")
        for reason in REASONS:
            restarts.add(self.workers[reason], reason=reason)
        yield restarts
        threads = busy = 0
        memory = Family("paddock_worker_resident_memory_bytes", "gauge", "Resident memory of the worker in a slot.")
        age = Family("paddock_worker_age_seconds", "gauge", "Time since the worker in a slot was forked.")
        lag = Family("paddock_event_loop_lag_seconds", "gauge", "How late an event loop was, a second ago or less.")
        now = time.monotonic()
        for slot in self.slots.all:
            pid, born = slot.pid, slot.born
            if pid and (size := resident(pid)):
                threads += slot.threads
                busy += slot.busy
                memory.add(size, worker=str(slot.number))
                age.add(round(now - born, 3), worker=str(slot.number))
                lag.add(round(slot.lag, 6), worker=str(slot.number))
        yield memory
        yield age
        yield lag
        yield _gauge("paddock_threads", "Threads that serve requests; none with an event loop.", threads)
        yield _gauge("paddock_threads_busy", "Those at work, a second ago or less.", busy)

    def of_server(self) -> Iterator[Family]:
        """Yield what stays the same."""
        yield _gauge("paddock_start_time_seconds", "When the server was started, since the epoch.", self.started)
        if self.certificate_until is not None:
            text = "When the certificate of CERTFILE ends, since the epoch."
            yield _gauge("paddock_certificate_expiry_timestamp_seconds", text, self.certificate_until)
        versions = Family("paddock_build", "info", "Versions of what serves.")
        versions.add(1, **self.versions)
        yield versions
        configuration = Family("paddock_config", "info", "Settings in effect.")
        configuration.add(1, **self.configuration)
        yield configuration


def _gauge(name: str, text: str, value: float) -> Family:
    family = Family(name, "gauge", text)
    family.add(value)
    return family


def _counter(name: str, text: str, value: float) -> Family:
    family = Family(name, "counter", text)
    family.add(value)
    return family
