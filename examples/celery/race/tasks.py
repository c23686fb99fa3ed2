"""What no request waits for: Celery's application, its task, and its worker's sign of life."""

import os
import random
from pathlib import Path
from statistics import quantiles
from typing import Any

from celery import Celery
from celery.signals import heartbeat_sent
from pydantic import BaseModel, Field

REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost")
REDIS_TIMEOUT = 3
"""Seconds, and one more try: otherwise a Redis that does not answer holds each thread of the web for minutes."""

ALIVE = Path("/dev/shm/worker-alive")
"""The health check of the worker's container looks how old this file is: see compose.yaml."""

app = Celery("race", broker=REDIS_URL, backend=REDIS_URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"socket_connect_timeout": REDIS_TIMEOUT, "socket_timeout": REDIS_TIMEOUT},
    redis_socket_connect_timeout=REDIS_TIMEOUT,
    redis_socket_timeout=REDIS_TIMEOUT,
    result_backend_transport_options={"retry_policy": {"max_retries": 1}},
    task_publish_retry_policy={"max_retries": 1},
    # A task that hangs is ended, and every other one is done before stop_grace_period is over: see compose.yaml.
    task_time_limit=int(os.environ.get("TASK_TIME_LIMIT", "60")),
    task_track_started=True,
)


class Race(BaseModel):
    """What to simulate: laps of `lap` seconds, more or less by `spread`, so many times."""

    lap: float = Field(gt=0)
    spread: float = Field(ge=0)
    laps: int = Field(gt=0, le=1_000)
    times: int = Field(default=1_000, ge=10, le=1_000_000)


class Forecast(BaseModel):
    """The seconds that one race in ten is faster than, one in two, and nine in ten."""

    fast: float
    median: float
    slow: float


@heartbeat_sent.connect
def say_alive(**_: Any) -> None:
    """Say, every two seconds, that the worker is connected to its broker and turns its loop."""
    ALIVE.touch()


@app.task(pydantic=True)
def simulate(race: Race) -> Forecast:
    """Run a race many times; the same race has the same forecast."""
    dice = random.Random(0)
    seconds = [sum(dice.gauss(race.lap, race.spread) for _ in range(race.laps)) for _ in range(race.times)]
    tenths = quantiles(seconds, n=10)
    return Forecast(fast=round(tenths[0], 1), median=round(tenths[4], 1), slow=round(tenths[8], 1))
