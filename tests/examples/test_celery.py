"""The Celery example: its Compose file, its two services of one image, and what Docker thinks of their health."""

import pytest

from conftest import wait_until

SPA = {"lap": 107.0, "spread": 0.5, "laps": 44}
LONG = {**SPA, "times": 100_000}
ENDLESS = {**SPA, "laps": 1_000, "times": 1_000_000}

# Health is looked at more often than users do.
ON_TOP = """
services:
  web:
    environment: &environment
      TASK_TIME_LIMIT: "{time_limit}"
      WORKERS: "2"
    ports: !reset []
  worker:
    environment: *environment
    healthcheck:
      interval: 1s
      retries: 1
  redis:
    image: {tools}:redis
    command: redis-server --protected-mode no --save ''
"""


@pytest.fixture
def race(compose, tools):
    """Start the project."""
    return lambda time_limit: compose("celery", ON_TOP.format(tools=tools, time_limit=time_limit))


def order(web, simulation):
    """Order a simulation; return where to look for it."""
    answer = web.post("/races", json=simulation)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/races/{answer.json()['id']}"
    return answer.headers["location"]


def wait_for(web, ordered, state):
    """Wait until an order is in `state`; return the answer."""

    def read():
        answer = web.get(ordered).json()
        return answer["state"] == state and answer

    return wait_until(read, f"{state} at {ordered}")


def test_the_worker_does_what_the_web_orders_and_both_stop_cleanly(race):
    race = race(time_limit=60)
    web, worker = race.service("web"), race.service("worker")

    assert web.get("/health").json() == {"status": "ok"}
    assert web.get("/races/00000000-0000-0000-0000-000000000000").json() == {"state": "PENDING"}
    assert web.post("/races", json={**SPA, "laps": 0}).status_code == 422
    done = wait_for(web, order(web, SPA), "SUCCESS")["forecast"]
    assert done["fast"] < done["median"] < done["slow"]
    assert done["median"] == pytest.approx(107 * 44, abs=5)
    assert worker.raw.image == web.raw.image

    ordered = order(web, LONG)
    wait_for(web, ordered, "STARTED")
    assert worker.stop() == 0
    assert "Warm shutdown" in worker.logs()
    assert web.get(ordered).json()["state"] == "SUCCESS"
    assert web.stop() == 0
    for container in (web, worker):
        container.assert_silent()
        assert "ERROR" not in container.logs()


def test_a_worker_is_healthy_while_it_works_and_only_then(race):
    race = race(time_limit=3)
    web, worker, redis = map(race.service, ("web", "worker", "redis"))

    # What hangs in a task is ended, and the worker goes on.
    failed = wait_for(web, order(web, ENDLESS), "FAILURE")
    assert failed["error"] == "TimeLimitExceeded(3,)"
    works(web, worker)

    # A broker that is there and does not answer is the worst: no connection breaks.
    with redis.paused():
        assert web.post("/races", json=SPA).status_code == 503
        assert web.get("/races/00000000-0000-0000-0000-000000000000").status_code == 503
        wait_until(lambda: worker.health() == "unhealthy", "an unhealthy worker")
        assert worker.run("paddock", "health") == "healthy: no Paddock server runs here, and nothing else is checked\n"
        assert "answered GET /health with 200" in web.run("paddock", "health")
    works(web, worker)

    worker.signal("STOP")
    wait_until(lambda: worker.health() == "unhealthy", "an unhealthy worker")
    worker.signal("CONT")
    works(web, worker)


def works(web, worker):
    """Wait until the worker is healthy, and see that it works."""
    wait_until(lambda: worker.health() == "healthy", "a healthy worker")
    wait_for(web, order(web, SPA), "SUCCESS")
