"""A worker whose threads are all busy leaves new connections to the others, for as long as one of them has room."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest

from conftest import wait_until


@pytest.fixture
def container(start):
    """Two workers that serve, of one thread each."""
    environment = {"WORKERS": "2", "THREADS": "1", "READY_PATH": "/ready", "TIMEOUT": "0"}
    container = start("held_wsgi.py", environment=environment).wait_ready()
    wait_until(lambda: len({container.get().text for _ in range(20)}) == 2, "both workers to serve")
    return container


@pytest.fixture
def hold(container):
    """Return what has a worker hold a request until the test ends, and names the workers that hold one."""
    with ThreadPoolExecutor() as clients:
        requests = []

        def held():
            return set(re.findall(r"held-(\d+)", container.run("ls", "/tmp")))

        def begin():
            requests.append(clients.submit(container.get, "/hold"))
            return wait_until(lambda: len(held()) == len(requests) and held(), "a worker to hold the request")

        yield begin
        container.run("touch", "/tmp/released")
        assert {request.result().status_code for request in requests} == {200}


def test_new_connections_go_to_the_worker_that_has_room(container, hold):
    busy = hold()
    for _ in range(40):
        assert container.get().text not in busy


def test_readiness_is_answered_when_every_thread_of_every_worker_is_busy(container, hold):
    hold()
    hold()
    for _ in range(40):
        assert container.get("/ready").status_code == 200


def test_the_health_check_is_answered_when_every_thread_of_every_worker_is_busy(container, hold):
    hold()
    hold()
    for _ in range(4):
        assert container.run("paddock", "health").startswith("healthy")


def test_a_worker_that_is_killed_leaves_no_room_behind(container, hold):
    """Who is there takes all until its successor serves, and leaves connections to that."""
    busy = hold()
    killed = container.get().text
    container.allow(f"Worker {killed} ")
    container.run("python", "-c", f"import os; os.kill({killed}, 9)")
    for _ in range(10):
        assert container.get("/ready").status_code == 200

    def is_answered():
        # Until the successor serves, it may wait for the one that is busy.
        with suppress(httpx.TimeoutException):
            return container.get(timeout=1).status_code == 200

    wait_until(is_answered, "its successor to serve")
    for _ in range(10):
        assert container.get().text not in busy | {killed}
