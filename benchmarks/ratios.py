"""Figures of one server as a share of another's, in pairs that were measured side by side."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import docker

from benchmarks.servers import UNTIL_READY, Contender, Server

CONNECTIONS = 32

WARM_UP = 1
"""Seconds of load before a server is measured."""


@dataclass(frozen=True)
class Figure:
    """What is measured of each server."""

    name: str
    """What tables call it."""

    of: Callable[[Server, str, int, str], float]
    """Measures a server with the wrk of an image, for some seconds, on a CPU."""


def _rate(server: Server, wrk: str, seconds: int, cpu: str) -> float:
    return server.load(wrk, seconds, CONNECTIONS, cpuset_cpus=cpu).rate


RATE = Figure("requests/s", _rate)


@dataclass(frozen=True)
class Ratio:
    """A question that a comparison answers: what is the figure of `this`, with that of `that` as 1?"""

    this: str
    that: str
    goal: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Contenders that are measured in one run, and what is asked about them."""

    title: str
    contenders: Callable[[str, str], Sequence[Contender]]
    """Makes them of the images under test and of the peers."""

    ratios: tuple[Ratio, ...]
    figure: Figure = RATE


DEFAULT = "Paddock, access log on"
OFF = "Paddock, access log off"
UVICORN = "plain `uvicorn`, access log on"
GUNICORN = "`gunicorn -k uvicorn_worker.UvicornWorker`, access log on"
METRICS = "Paddock with `METRICS_BIND`"
NO_METRICS = "Paddock without"


def _paddock(name: str, image: str, environment: Mapping[str, str], **more: Any) -> Contender:
    return Contender(name, image, ("paddock", "serve"), "bare.py", {"WORKERS": "1", **environment}, **more)


def access_log(image: str, peers: str) -> list[Contender]:
    """Return Paddock with its access log and without it, and its peers with theirs."""
    gunicorn = ("gunicorn", "-k", "uvicorn_worker.UvicornWorker", "--access-logfile", "-", "-b", "0.0.0.0:8000")
    return [
        _paddock(OFF, image, {"ACCESS_LOG": "none"}, logs=False),
        _paddock(DEFAULT, image, {}),
        Contender(UVICORN, peers, ("uvicorn", "main:app", "--host", "0.0.0.0"), "bare.py"),  # noqa: S104 # in its container
        Contender(GUNICORN, peers, (*gunicorn, "main:app"), "bare.py"),
    ]


def metrics(image: str, peers: str) -> list[Contender]:
    """Return Paddock with metrics and without them."""
    return [
        _paddock(NO_METRICS, image, {}),
        _paddock(METRICS, image, {"METRICS_BIND": "0.0.0.0:9090"}, answers=(UNTIL_READY, "9090/metrics")),
    ]


COMPARISONS = {
    "access-log": Comparison(
        "What the access log costs",
        access_log,
        (Ratio(DEFAULT, OFF, goal=0.72), Ratio(DEFAULT, UVICORN, goal=2.0), Ratio(DEFAULT, GUNICORN, goal=2.0)),
    ),
    "metrics": Comparison("What metrics cost", metrics, (Ratio(METRICS, NO_METRICS, goal=0.97),)),
}


def measure(
    engine: docker.DockerClient,
    contenders: Sequence[Contender],
    peers: str,
    cpus: tuple[int, int],
    pairs: int,
    seconds: int,
    figure: Figure = RATE,
) -> Iterator[dict[str, float]]:
    """Yield a figure of every contender, by name, `pairs` times.

    Each time all of them are started anew, because one process is not as fast as the next, and measured there and back
    again: A B C C B A. So what makes the machine slower or faster meanwhile touches all of them. Each has one CPU, the
    first of `cpus`, and wrk the second.
    """
    server, client = map(str, cpus)
    for _ in range(pairs):
        with ExitStack() as stack:
            servers = [stack.enter_context(Server(engine, each, cpuset_cpus=server)) for each in contenders]
            for each in servers:
                each.load(peers, WARM_UP, CONNECTIONS, cpuset_cpus=client)
            found: dict[str, list[float]] = {each.name: [] for each in contenders}
            for each in [*servers, *reversed(servers)]:
                found[each.contender.name].append(figure.of(each, peers, seconds, client))
            yield {name: statistics.mean(both) for name, both in found.items()}


@dataclass(frozen=True)
class Spread:
    """The middle of several figures, the lowest and the highest."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} | {self.low:.2f} to {self.high:.2f}"


def spread(rates: Sequence[Mapping[str, float]], ratio: Ratio) -> Spread:
    """Return what `ratio` came to in the pairs of a run."""
    found = [pair[ratio.this] / pair[ratio.that] for pair in rates]
    return Spread(statistics.median(found), min(found), max(found))


def table(comparison: Comparison, rates: Sequence[Mapping[str, float]]) -> str:
    """Return the ratios of a run as Markdown."""
    lines = [
        f"| {comparison.figure.name}, median of {len(rates)} pairs | ratio | lowest to highest | goal |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {ratio.this} / {ratio.that} | {spread(rates, ratio)} | {'' if ratio.goal is None else ratio.goal} |"
        for ratio in comparison.ratios
    ]
    return "\n".join(lines)
