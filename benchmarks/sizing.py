"""What docs/sizing.md says in figures: memory, CPU and threads, by their number."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import docker

from benchmarks.servers import Contender, Load, Server

WORKERS_IN_MEMORY = (1, 2, 4, 8)
CPUS = (0.25, 0.5, 1, 2)
WORKERS = (1, 2, 4)
THREADS = (1, 2, 4, 8, 16, 32)

CONNECTIONS = 32

PSS = """
for pid in 1 $(cat /proc/1/task/1/children); do cat /proc/$pid/smaps_rollup; done
"""
"""Shell: what each process of the server holds, shared pages divided among those that share them."""

THROTTLED = """
cat /sys/fs/cgroup/cpu.stat 2>/dev/null || cat /sys/fs/cgroup/cpu/cpu.stat
"""
"""Shell: how often the CPU quota stopped the container, in both versions of cgroups."""


def memory(engine: docker.DockerClient, example: str, peers: str, seconds: int) -> Iterator[dict[str, Any]]:
    """Yield the memory of the FastAPI example in MiB, idle and after a load, by workers and `PRELOAD_APP`."""
    for preload in (False, True):
        for workers in WORKERS_IN_MEMORY:
            environment = {"API_KEY": "key", "WORKERS": str(workers), "PRELOAD_APP": str(preload).lower()}
            contender = Contender("FastAPI", example, ("paddock", "serve"), environment=environment)
            with Server(engine, contender) as server:
                _wait_workers(server, workers)
                idle = _pss(server)
                server.load(peers, seconds, CONNECTIONS)
                yield {"preload": preload, "workers": workers, "idle": idle, "used": _pss(server)}


def cpus(engine: docker.DockerClient, image: str, peers: str, pairs: int, seconds: int) -> Iterator[dict[str, Any]]:
    """Yield requests a second, latency and throttling of an application that computes, by CPU quota and workers."""
    runs: dict[tuple[float, int], list[tuple[Load, float]]] = {}
    for _ in range(pairs):
        for quota in CPUS:
            for workers in WORKERS:
                environment = {"WORKERS": str(workers)}
                contender = Contender("busy", image, ("paddock", "serve"), "busy.py", environment)
                with Server(engine, contender, nano_cpus=int(quota * 1e9)) as server:
                    _wait_workers(server, workers)
                    server.load(peers, 1, CONNECTIONS)
                    periods, throttled = _throttled(server)
                    load = server.load(peers, seconds, CONNECTIONS)
                    periods, throttled = (b - a for a, b in zip((periods, throttled), _throttled(server), strict=True))
                    runs.setdefault((quota, workers), []).append((load, throttled / max(1, periods)))
    for (quota, workers), loads in runs.items():
        yield {
            "cpus": quota,
            "workers": workers,
            "rate": _median(loads, lambda run: run[0].rate),
            "p50": _median(loads, lambda run: run[0].p50),
            "p99": _median(loads, lambda run: run[0].p99),
            "throttled": _median(loads, lambda run: run[1]),
        }


def threads(engine: docker.DockerClient, image: str, peers: str, seconds: int) -> Iterator[dict[str, Any]]:
    """Yield requests a second of a WSGI application that waits, by `THREADS`, with one worker."""
    for number in THREADS:
        environment = {"WORKERS": "1", "THREADS": str(number)}
        contender = Contender("waiting", image, ("paddock", "serve"), "waiting.py", environment)
        with Server(engine, contender) as server:
            # Nothing before it to warm up: what waits for a thread when wrk leaves would still be in the way.
            load = server.load(peers, seconds, CONNECTIONS)
            yield {"threads": number, "rate": round(load.rate, 1), "p50": round(load.p50, 1)}


def _wait_workers(server: Server, workers: int) -> None:
    """Wait until Uvicorn has said in so many workers that it serves."""
    server.wait_for(lambda: server.log().count("Application startup complete") == workers, f"{workers} workers")


def _pss(server: Server) -> float:
    kibibytes = re.findall(r"^Pss: +(\d+) kB$", server.run("sh", "-c", PSS), re.MULTILINE)
    return round(sum(map(int, kibibytes)) / 1024, 1)


def _throttled(server: Server) -> tuple[int, int]:
    """Return the periods in which the container ran, and those in which its quota was used up before their end."""
    counts = dict(line.split() for line in server.run("sh", "-c", THROTTLED).splitlines())
    return int(counts["nr_periods"]), int(counts["nr_throttled"])


def _median(runs: list[tuple[Load, float]], key: Callable[[tuple[Load, float]], float]) -> float:
    return round(statistics.median(map(key, runs)), 2)
