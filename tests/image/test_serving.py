"""The server starts, answers and stops, for both kinds of application."""

import pytest

from conftest import wait_until

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize(("app", "kind"), [("asgi.py", "asgi"), ("wsgi.py", "wsgi")])
def test_serves_and_stops_cleanly(start, app, kind):
    container = start(app, environment={"WORKERS": "2"}).wait_healthy()

    assert container.get().json()["kind"] == kind
    wait_until(lambda: container.workers() == 2, "two workers")
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


SILENCING = """
import logging.config

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        # Unless told not to, this disables every logger that it does not name.
        logging.config.dictConfig({"version": 1, "root": {"level": "CRITICAL"}})
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    assert scope["path"] != "/broken"
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body"})
"""


def test_application_that_configures_logging_silences_itself_alone(start, project):
    container = start(
        volumes=project({"main.py": SILENCING}),
        environment={"WORKERS": "1"},
        allow=("Exception in ASGI application", "Traceback"),
    ).wait_ready()

    assert [container.get(path).status_code for path in ("/fine", "/broken")] == [200, 500]
    container.wait_for_log(r'"GET /fine HTTP/1.1" 200')
    container.wait_for_log(r'"GET /broken HTTP/1.1" 500')
    container.wait_for_log(r"assert scope\[\"path\"\] != \"/broken\"")
    assert container.stop() == 0
    assert "uvicorn: Application shutdown complete" in container.logs()
