"""The Compose example with more requests than it has threads for, for a minute: they wait, and all are answered."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import APPS, http_client
from examples.test_compose import Compose

# The subnet is the other tests', too.
pytestmark = pytest.mark.xdist_group("compose")

SECONDS = 60
CLIENTS = 60
"""Two replicas of two workers of four threads serve 16 at once."""


@pytest.fixture
def busy(engine, tools, tmp_path):
    """The example with an application of WSGI, whose requests take five seconds each."""
    stack = Compose(engine, tools, tmp_path, "compose", "compose.yaml")
    app = {"volumes": [f"{APPS / 'echo_wsgi.py'}:/app/main.py:ro"], "environment": {"APP_MODULE": "main:app"}}
    # Compose reads it, too.
    (stack.directory / "compose.override.yaml").write_text(json.dumps({"services": {"app": app}}))
    with stack.running():
        yield stack


def test_a_minute_of_overload(busy):
    address, until = f"http://127.0.0.1:{busy.port}/slow", time.monotonic() + SECONDS

    def ask(number):
        statuses = Counter()
        with http_client() as client:
            while time.monotonic() < until:
                statuses[client.get(address, params={"number": number, "seconds": 5}).status_code] += 1
        return statuses

    [proxy] = busy.containers("proxy")
    before = proxy.logs()
    with ThreadPoolExecutor(CLIENTS) as threads:
        statuses = sum(threads.map(ask, range(1, CLIENTS + 1)), Counter())

    assert statuses.keys() == {200}, proxy.logs()
    # As many as the threads can have served, and more than would be without any queue.
    assert statuses.total() > CLIENTS
    # Before there was no replica.
    assert "is DOWN" not in proxy.logs().removeprefix(before)
    assert len(busy.containers("app")) == 2
    assert {each.health() for each in busy.containers("app")} == {"healthy"}
