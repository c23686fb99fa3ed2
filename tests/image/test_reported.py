"""What people have met in such set-ups, and what stays away from this image: agents, pods, time zones, streams."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import wait_until

ASGI, WSGI = "asgi.py", "wsgi.py"
BOTH = pytest.mark.parametrize("app", [ASGI, WSGI])


@pytest.mark.parametrize("app", ["apps.agents:asgi", "apps.agents:wsgi"])
@pytest.mark.parametrize(("agent", "sees"), [("newrelic", r"apps\.agents:.+"), ("elastic", "[0-9a-f]{16}")])
def test_an_agent_around_the_command_sees_the_requests(start, image_of_kinds, app, agent, sees):
    """https://github.com/benoitc/gunicorn/issues/1045, https://github.com/elastic/apm-agent-python/issues/1967"""
    environment = {
        "APP_MODULE": app,
        "WORKERS": "2",
        # Neither of them finds somebody to report to.
        "NEW_RELIC_LICENSE_KEY": "0" * 40,
        "NEW_RELIC_DEVELOPER_MODE": "true",
        "ELASTIC_APM_SERVICE_NAME": "test",
        "ELASTIC_APM_SERVER_URL": "http://127.0.0.1:9",
    }
    around = {"newrelic": ["newrelic-admin", "run-program"], "elastic": ["elasticapm-run"]}[agent]
    container = start(
        image=image_of_kinds,
        command=[*around, "paddock", "serve"],
        environment=environment,
        allow=("urllib3.connectionpool", "elasticapm"),
    ).wait_ready()

    wait_until(lambda: re.fullmatch(sees, container.get(f"/{agent}").text), "an agent that sees a request")
    assert container.stop() == 0


@BOTH
def test_two_containers_of_one_pod(start, app):
    """They share the network and /dev/shm, and each has its own health: Kubernetes runs them so."""
    first = start(app, ipc_mode="shareable", environment={"WORKERS": "1"}).wait_ready()
    shared = f"container:{first.raw.id}"
    second = start(
        app, environment={"WORKERS": "1", "PORT": "8001"}, network_mode=shared, ipc_mode=shared, user="12345"
    ).wait_ready()

    assert "127.0.0.1:8000 answered" in first.run("paddock", "health")
    assert "127.0.0.1:8001 answered" in second.run("paddock", "health")
    assert (first.get().status_code, first.get(port=8001).status_code) == (200, 200)
    assert second.stop() == 0
    assert "127.0.0.1:8000 answered" in first.run("paddock", "health")


@BOTH
def test_a_process_between_docker_and_the_server(start, app):
    container = start(app, init=True, environment={"WORKERS": "2"}).wait_ready()

    assert container.get().status_code == 200
    assert "healthy" in container.run("paddock", "health")
    assert container.stop() == 0
    assert container.logs().count("atexit ran") >= 2


@pytest.mark.parametrize(
    ("zone", "offset"), [("Asia/Kolkata", "+05:30"), ("Etc/GMT+3", "-03:00"), ("No/Such", "+00:00")]
)
def test_log_times_are_of_the_time_zone(start, zone, offset):
    container = start(ASGI, environment={"WORKERS": "1", "TZ": zone}).wait_ready()
    container.get("/seen")

    container.wait_for_log(r"GET /seen")
    lines = [line for line in container.logs().splitlines() if re.match(r"\d{4}-", line)]
    assert {line.split()[0][-6:] for line in lines} == {offset}


@BOTH
def test_every_address_where_there_is_no_ipv6(start, app):
    container = start(
        app,
        environment={"WORKERS": "1", "BIND": "[::]:8000"},
        sysctls={"net.ipv6.conf.all.disable_ipv6": "1", "net.ipv6.conf.lo.disable_ipv6": "1"},
    ).wait_ready()

    assert container.get().status_code == 200
    assert "healthy" in container.run("paddock", "health")


def test_a_secret_that_ends_as_windows_ends_lines(start, tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "module").write_bytes(b"main:app\r\n")
    (tmp_path / "workers").write_bytes(b"2\r\n")
    container = start(
        ASGI,
        environment={"APP_MODULE_FILE": "/secrets/module", "WORKERS_FILE": "/secrets/workers"},
        volumes={str(tmp_path): {"bind": "/secrets", "mode": "ro"}},
    ).wait_ready()

    assert container.get().status_code == 200
    wait_until(lambda: container.workers() == 2, "two workers")


def test_event_streams_end_before_their_worker_is_recycled(start, image_of_kinds):
    """https://github.com/sysid/sse-starlette/issues/8, https://github.com/Kludex/uvicorn/issues/2201"""
    environment = {"APP_MODULE": "apps.events:app", "WORKERS": "1", "MAX_REQUESTS": "3", "GRACEFUL_TIMEOUT": "100"}
    container = start(image=image_of_kinds, environment=environment).wait_ready()
    first = container.children()

    with ThreadPoolExecutor() as threads:
        streams = [threads.submit(container.get, "/events/30") for _ in range(4)]
        wait_until(lambda: container.children() - first, "another worker")
        texts = [stream.result().text for stream in streams]

    assert [len(re.findall(r"^data: \d+\r?$", text, re.MULTILINE)) for text in texts] == [30] * 4
    wait_until(lambda: not container.children() & first, "the end of the first worker")
    assert container.stop() == 0
