"""What docs/speed.md says: CPU time a request, and what threads come to, beside other servers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmarks import mixed
from benchmarks.ratios import CONNECTIONS, Comparison, Figure, Ratio, spread
from benchmarks.servers import UNTIL_READY, Contender, Server

OFF, TEXT, JSON, METRICS = "Paddock, log off", "Paddock", "Paddock, JSON lines", "Paddock, metrics"
UVICORN, UVICORN_WORKER = "`uvicorn`", "`gunicorn -k uvicorn_worker.UvicornWorker`"
GTHREAD, GRANIAN, UWSGI = "`gunicorn -k gthread`", "Granian", "uWSGI"

MIXED_CONNECTIONS = 8
"""Twice the threads: enough that quick requests have to wait at times, and not for a queue that has no end."""

PADDOCK = {
    OFF: {"ACCESS_LOG": "none"},
    TEXT: {},
    JSON: {"LOG_FORMAT": "json"},
    METRICS: {"METRICS_BIND": "0.0.0.0:9090"},
}

# Uvicorn and uWSGI log unless told otherwise, the others when told so.
PEERS = {
    "ASGI": {
        UVICORN: ("uvicorn --host 0.0.0.0 main:app", "", "--no-access-log"),
        UVICORN_WORKER: ("gunicorn -b 0.0.0.0 -k uvicorn_worker.UvicornWorker main:app", "--access-logfile -", ""),
        GRANIAN: ("granian --host 0.0.0.0 --interface asgi main:app", "--access-log", ""),
    },
    "WSGI": {
        GTHREAD: ("gunicorn -b 0.0.0.0 -k gthread --threads 4 main:app", "--access-logfile -", ""),
        GRANIAN: ("granian --host 0.0.0.0 --interface wsgi --blocking-threads 4 main:app", "--access-log", ""),
        UWSGI: (
            "uwsgi --http11-socket 0.0.0.0:8000 --master --threads 4 --need-app --module main:app",
            "--logto /dev/stdout",
            "--disable-logging",
        ),
    },
}
"""By kind of application: how each server is started, and what turns its access log on and off."""


def off(peer: str) -> str:
    """Return what tables call a server whose access log is off."""
    return f"{peer}, log off"


def _paddock(image: str, app: str, name: str) -> Contender:
    answers = (UNTIL_READY, "9090/metrics") if name == METRICS else (UNTIL_READY,)
    environment = {"WORKERS": "1", "THREADS": "4"} | PADDOCK[name]
    return Contender(name, image, ("paddock", "serve"), app, environment, logs=name != OFF, answers=answers)


def _peer(image: str, app: str, kind: str, name: str, logs: bool = True) -> Contender:
    command, with_log, without = PEERS[kind][name]
    words = f"{command} {with_log if logs else without}".split()
    return Contender(name if logs else off(name), image, tuple(words), app, logs=logs)


def _cpu(server: Server, wrk: str, seconds: int, cpu: str) -> float:
    return server.load(wrk, seconds, CONNECTIONS, cpuset_cpus=cpu).cpu_each


CPU = Figure("CPU time a request", _cpu)


def _rate_of(path: str) -> Figure:
    def measure(server: Server, wrk: str, seconds: int, cpu: str) -> float:
        return server.load(wrk, seconds, CONNECTIONS, path, cpuset_cpus=cpu).rate

    return Figure("requests/s", measure)


def _p99(server: Server, wrk: str, seconds: int, cpu: str) -> float:
    # The clients are on this process's CPU, which is that of wrk; and they need longer, since they ask less.
    times = mixed.quick(server.address(), 4 * seconds, MIXED_CONNECTIONS)
    return statistics.quantiles(times, n=100)[-1] * 1e3


def _application(title: str, kind: str, app: str, ratios: Sequence[Ratio], quiet: bool = False) -> Comparison:
    """Return the CPU time of an application on all servers of its kind; with their access logs off too, if `quiet`."""

    def contenders(image: str, peers: str) -> list[Contender]:
        return [
            *(_paddock(image, app, name) for name in PADDOCK),
            *(_peer(peers, app, kind, name) for name in PEERS[kind]),
            *(_peer(peers, app, kind, name, logs=False) for name in PEERS[kind] if quiet),
        ]

    return Comparison(title, contenders, tuple(ratios), CPU)


def _threads(title: str, figure: Figure, peer: str) -> Comparison:
    """Return what four threads come to, beside those of one peer."""

    def contenders(image: str, peers: str) -> list[Contender]:
        return [_paddock(image, "threads.py", TEXT), _peer(peers, "threads.py", "WSGI", peer)]

    return Comparison(title, contenders, (Ratio(TEXT, peer, goal=1.0),), figure)


COMPARISONS = {
    "wsgi": _application(
        "WSGI, bare",
        "WSGI",
        "bare_wsgi.py",
        [Ratio(TEXT, GTHREAD, goal=0.35), Ratio(OFF, off(GTHREAD), goal=0.40), Ratio(TEXT, GRANIAN, goal=1.0)],
        quiet=True,
    ),
    "flask": _application("Flask", "WSGI", "with_flask.py", [Ratio(TEXT, GRANIAN, goal=1.0)]),
    "django": _application("Django", "WSGI", "with_django.py", [Ratio(TEXT, GRANIAN, goal=1.0)]),
    "asgi": _application(
        "ASGI, bare",
        "ASGI",
        "bare.py",
        [Ratio(TEXT, GRANIAN, goal=0.50), Ratio(TEXT, OFF, goal=1.20), Ratio(JSON, TEXT, goal=1.1)],
        quiet=True,
    ),
    "fastapi": _application("FastAPI", "ASGI", "with_fastapi.py", [Ratio(TEXT, UVICORN, goal=0.45)]),
    "sleep": _threads("WSGI that sleeps 10 ms on 4 threads", _rate_of("/sleep"), GRANIAN),
    "compute": _threads("WSGI that computes for 5 ms on 4 threads", _rate_of("/compute"), GTHREAD),
    "mixed": _threads("WSGI, 1 of 10 requests sleeps 200 ms", Figure("99th percentile of the others", _p99), GTHREAD),
}


def ratios(measured: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return all ratios of a run as Markdown, by what was to be reached."""
    lines = ["| | to reach | measured | lowest to highest |", "|---|---|---|---|"]
    lines += [
        f"| {comparison.title}: {comparison.figure.name}, {ratio.this} / {ratio.that} "
        f"| {ratio.goal:.2f} | {spread(measured[name], ratio)} |"
        for name, comparison in COMPARISONS.items()
        for ratio in comparison.ratios
    ]
    return "\n".join(lines)


def times(measured: Mapping[str, Sequence[Mapping[str, float]]], names: Sequence[str]) -> str:
    """Return the microseconds of CPU time a request of all servers as Markdown, with a column for each of `names`."""
    columns = [COMPARISONS[name].title for name in names]
    lines = [f"| | {' | '.join(columns)} |", f"|---{'|---' * len(names)}|"]
    for server in measured[names[0]][0]:
        cells = [_median(measured[name], server) for name in names]
        lines.append(f"| {server} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _median(pairs: Sequence[Mapping[str, float]], server: str) -> str:
    """Return the middle of what was measured of a server, or nothing where it was not."""
    return f"{statistics.median(pair[server] for pair in pairs):.0f} µs" if server in pairs[0] else ""
