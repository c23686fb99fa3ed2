"""Clients of which one request in ten takes long, and how long the others take meanwhile."""

from __future__ import annotations

import http.client
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

from benchmarks.servers import Failed

SLOW_EACH = 10


def quick(address: str, seconds: float, connections: int) -> list[float]:
    """Return the seconds that each quick request took.

    Each of `connections` asks again as soon as it has its answer: for `/slow` each tenth time, not all of them at once,
    else for `/`. These are some hundred requests a second, which wrk could not tell apart.

    Raises:
        Failed: when a request failed.
    """
    with ThreadPoolExecutor(connections) as clients:
        ask = partial(_ask, address, time.monotonic() + seconds)
        return list(itertools.chain.from_iterable(clients.map(ask, range(connections))))


def _ask(address: str, end: float, first: int) -> list[float]:
    """Return the seconds that each quick request of one client took."""
    times = []
    with closing(http.client.HTTPConnection(address, 8000, timeout=30)) as connection:
        for number in itertools.count(first):
            begin = time.monotonic()
            if begin > end:
                break
            path = "/" if number % SLOW_EACH else "/slow"
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise Failed(f"{path} was answered with {response.status}")
            if path == "/":
                times.append(time.monotonic() - begin)
    return times
