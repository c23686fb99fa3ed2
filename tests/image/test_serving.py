"""The server starts, answers and stops, for both kinds of application."""

import pytest


@pytest.mark.parametrize(("app", "kind"), [("asgi.py", "asgi"), ("wsgi.py", "wsgi")])
def test_serves_and_stops_cleanly(start, app, kind):
    container = start(app, environment={"WORKERS": "2"}).wait_healthy()

    assert container.get().json()["kind"] == kind
    assert container.workers() == 2
    assert container.stop() == 0
    assert container.logs().count("atexit ran") >= 2


def test_lifespan_runs_around_everything(start):
    container = start("asgi.py", environment={"WORKERS": "1"}).wait_ready()

    assert container.stop() == 0
    events = [line for line in container.logs(stderr=False).splitlines() if line.startswith("lifespan.")]
    assert events == ["lifespan.startup", "lifespan.shutdown"]


def test_arbiter_is_the_first_process(start):
    container = start("asgi.py", environment={"WORKERS": "1"}).wait_ready()

    assert container.get().json()["ppid"] == 1
    assert "/opt/paddock/lib/paddock" in container.host.file("/proc/1/cmdline").content_string
