"""The health check: what Docker calls healthy, in every way that the server can listen, and why not when it is not."""

import re
import socket
import time

import docker.types
import pytest

from conftest import UNREACHABLE, wait_until

ASGI = "obedient.py"
WSGI = "obedient_wsgi.py"

ONE_WORKER = {"WORKERS": "1"}


def health(container, **options):
    """Run the check as Docker does; return its exit status and the one line that it says."""
    status, output = container.raw.exec_run(["paddock", "health"], **options)
    lines = output.decode().splitlines()
    assert len(lines) == 1, lines
    return status, lines[0]


def healthy(container):
    status, line = health(container)
    assert (status, line.partition(" ")[0]) == (0, "healthy:"), line
    return line


def unhealthy(container):
    status, line = health(container)
    assert (status, line.partition(" ")[0]) == (1, "unhealthy:"), line
    return line


def records(container):
    """What `docker inspect` shows of the checks that Docker made."""
    container.raw.reload()
    return container.raw.attrs["State"]["Health"]["Log"]


@pytest.mark.smoke
@pytest.mark.parametrize("app", [ASGI, WSGI])
def test_docker_calls_it_healthy_before_the_interval_is_over(start, app):
    """While it starts, Docker asks every second."""
    container = start(app, environment=ONE_WORKER, healthcheck=None).wait_healthy()

    check = container.raw.attrs["Config"]["Healthcheck"]
    assert check["StartInterval"] == 1_000_000_000 < check["Interval"]
    last = records(container)[-1]
    assert last["ExitCode"] == 0
    assert last["Output"] == "healthy: 127.0.0.1:8000 answered GET / with 200\n"


def test_docker_shows_one_line_of_reason(start):
    check = docker.types.Healthcheck(interval=500_000_000, retries=1, start_period=1_000_000)
    environment = {"HEALTHCHECK_PATH": "/status/503", **ONE_WORKER}
    container = start(ASGI, environment=environment, healthcheck=check).wait_ready()

    wait_until(lambda: container.health() == "unhealthy", "an unhealthy container")
    last = wait_until(lambda: [r for r in records(container) if "503" in r["Output"]], "a reason")[-1]
    assert last["ExitCode"] == 1
    assert last["Output"] == (
        "unhealthy: 127.0.0.1:8000 answered GET /status/503 with 503, where 2xx or 3xx is healthy\n"
    )


@pytest.mark.parametrize(
    ("app", "status", "well"),
    [
        *((ASGI, 200, True), (ASGI, 204, True), (ASGI, 302, True), (ASGI, 404, False), (ASGI, 500, False)),
        *((WSGI, 204, True), (WSGI, 404, False)),
    ],
)
def test_path_that_was_named_has_to_succeed(start, app, status, well):
    container = start(app, environment={"HEALTHCHECK_PATH": f"/status/{status}", **ONE_WORKER}).wait_ready()

    line = (healthy if well else unhealthy)(container)
    assert f"GET /status/{status} with {status}" in line


@pytest.mark.parametrize(("status", "well"), [(200, True), (307, True), (401, True), (404, True), (500, False)])
def test_without_a_path_all_but_a_server_error_is_healthy(start, status, well):
    container = start("answers.py", environment=ONE_WORKER | {"STATUS": str(status)}).wait_ready()

    line = (healthy if well else unhealthy)(container)
    assert f"GET / with {status}" in line


def test_query_of_the_path_is_sent(start):
    container = start(ASGI, environment={"HEALTHCHECK_PATH": "/status/200?deep=1&x=%20", **ONE_WORKER}).wait_ready()

    assert "GET /status/200?deep=1&x=%20 with 200" in healthy(container)


@pytest.mark.parametrize(
    ("app", "environment", "asked"),
    [
        (ASGI, {"PORT": "9123"}, "127.0.0.1:9123"),
        (WSGI, {"HOST": "127.0.0.1", "PORT": "80"}, "127.0.0.1:80"),
        (WSGI, {"BIND": "0.0.0.0:9001,0.0.0.0:9002"}, "127.0.0.1:9001"),
        (ASGI, {"BIND": "unix:/tmp/app.sock"}, "/tmp/app.sock"),
        (WSGI, {"BIND": "unix:/tmp/app.sock"}, "/tmp/app.sock"),
        (ASGI, {"BIND": "unix:/tmp/app.sock,0.0.0.0:8000"}, "/tmp/app.sock"),
        (ASGI, {"BIND": "[::]:8000"}, "::1:8000"),
        (WSGI, {"BIND": "[::1]:8000,127.0.0.1:8000"}, "::1:8000"),
        (ASGI, {"GUNICORN_CMD_ARGS": "--bind 0.0.0.0:9999"}, "127.0.0.1:9999"),
    ],
    ids=lambda value: next(iter(value.values())) if isinstance(value, dict) else value.removeprefix("obedient"),
)
def test_it_asks_where_the_server_listens(start, app, environment, asked):
    options = {}
    if "::" in asked:
        options["sysctls"] = {"net.ipv6.conf.all.disable_ipv6": "0", "net.ipv6.conf.lo.disable_ipv6": "0"}
    container = start(app, environment=environment | ONE_WORKER, allow=(UNREACHABLE,), **options).wait_ready()

    assert f" {asked} answered GET / with 200" in healthy(container)


def test_one_listener_that_can_be_reached_is_enough(start):
    container = start(ASGI, environment={"BIND": "unix:/tmp/a.sock,unix:/tmp/b.sock", **ONE_WORKER}).wait_ready()

    container.run("rm", "/tmp/a.sock")
    assert " /tmp/b.sock answered" in healthy(container)
    container.run("rm", "/tmp/b.sock")
    assert unhealthy(container).count("no such file or directory") == 2


@pytest.mark.parametrize("value", ["v1", "v2", "auto"])
@pytest.mark.parametrize("app", [ASGI, WSGI])
def test_proxy_protocol(start, app, value):
    environment = {"PROXY_PROTOCOL": value, "PROXY_ALLOW_IPS": "192.0.2.1", **ONE_WORKER}
    container = start(app, environment=environment).wait_ready()

    healthy(container)


def test_a_proxy_in_the_environment_is_ignored(start):
    names = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")
    container = start(ASGI, environment=dict.fromkeys(names, "http://192.0.2.1:1") | ONE_WORKER).wait_ready()

    healthy(container)


def test_any_user_may_ask(start):
    container = start(ASGI, environment=ONE_WORKER).wait_ready()

    for user in ("12345:54321", "0", "10001:0"):
        status, line = health(container, user=user)
        assert status == 0, line


def test_any_environment_will_do(start):
    """`docker exec` and orchestrators start it with what they like."""
    container = start(ASGI, environment={"WORKER_TMP_DIR": "/tmp", **ONE_WORKER}).wait_ready()

    nothing = ["env", "-i", "/opt/paddock/bin/paddock", "health"]
    status, output = container.raw.exec_run(nothing)
    assert status == 0, output
    assert output.decode().startswith("healthy: 127.0.0.1:8000 answered")


@pytest.mark.parametrize(
    ("command", "init"),
    [
        (["sleep", "60"], False),
        (["sleep", "60"], True),
        (["python", "-c", "import time; time.sleep(60)"], False),
        (["sh", "-c", "sleep 60; :"], False),
    ],
)
def test_a_container_that_serves_nothing_is_not_called_sick(start, command, init):
    container = start(ASGI, command, init=init)

    assert healthy(container) == "healthy: no Paddock server runs here, and nothing else is checked"


def test_init_in_front_of_the_server(start):
    container = start(ASGI, init=True, environment=ONE_WORKER).wait_ready()

    assert "answered GET / with 200" in healthy(container)
    assert container.stop() == 0


def test_server_below_a_shell(start):
    command = ["sh", "-c", "paddock serve; exit $?"]
    container = start(ASGI, command, environment=ONE_WORKER, allow=("PID 1 is sh",)).wait_ready()

    assert "answered GET / with 200" in healthy(container)


SLOW = """
import time
print("importing", flush=True)
time.sleep(3)

def app(environ, start_response):
    start_response("200 OK", [])
    return []
"""


@pytest.mark.parametrize("preload", ["false", "true"])
def test_a_start_is_not_healthy_yet(start, mount, preload):
    container = start(volumes=mount("/app/main.py", SLOW), environment={"PRELOAD_APP": preload, **ONE_WORKER})

    # From the first moment on, whatever runs then: the shell, Python, the import.
    while "importing" not in container.logs():
        status, line = health(container)
        assert (status, line) == (1, "unhealthy: the server is starting")
    assert unhealthy(container) == "unhealthy: the server is starting"
    container.wait_ready()
    healthy(container)


def test_a_start_hook_is_part_of_the_start(start, mount):
    volumes = mount("/docker-entrypoint.d/slow.sh", "#!/bin/sh\necho hook runs\nsleep 2\n", 0o755)
    container = start(ASGI, volumes=volumes, environment=ONE_WORKER)

    container.wait_for_log("hook runs")
    assert unhealthy(container) == "unhealthy: the server is starting"
    container.wait_ready()
    healthy(container)


def test_a_hung_event_loop_is_unhealthy_in_time(start):
    """Docker ends a check after 5 seconds, and then there would be no reason."""
    container = start(ASGI, environment={"TIMEOUT": "60", "GRACEFUL_TIMEOUT": "1", **ONE_WORKER}).wait_ready()
    occupy(container, "/block/30")
    container.wait_for_log("began /block/30")

    begun = time.monotonic()
    line = unhealthy(container)
    assert time.monotonic() - begun > 3
    # Of the check itself, which Docker would have ended after 5 s.
    assert line == "unhealthy: 127.0.0.1:8000: no answer within 4 s"
    container.raw.kill()


def occupy(container, path):
    """Send a request and do not wait for the answer."""
    connection = socket.create_connection((container.address, 8000), timeout=10)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    CONNECTIONS.append(connection)


CONNECTIONS = []


@pytest.fixture(autouse=True)
def connections():
    """Close what a test left open."""
    yield
    while CONNECTIONS:
        CONNECTIONS.pop().close()


def test_a_draining_server_is_unhealthy(start):
    container = start(ASGI, environment={"GRACEFUL_TIMEOUT": "20", **ONE_WORKER}).wait_ready()
    occupy(container, "/sleep/3")
    container.wait_for_log("began /sleep/3")
    container.raw.kill("SIGTERM")

    container.wait_for_log("Handling signal: term")
    assert unhealthy(container) == "unhealthy: the server is draining: it was told to stop"
    assert container.wait_exit() == 0


def test_a_state_file_of_another_container_is_not_believed(start, tmp_path):
    """The containers of a pod share /dev/shm."""
    shared = tmp_path / "shm"
    shared.mkdir()
    shared.chmod(0o1777)
    volumes = {str(shared): {"bind": "/dev/shm", "mode": "rw"}}
    server = start(ASGI, volumes=volumes, environment=ONE_WORKER).wait_ready()
    other = start(command=["sleep", "60"], volumes=volumes)

    assert "answered GET / with 200" in healthy(server)
    assert healthy(other) == "healthy: no Paddock server runs here, and nothing else is checked"


@pytest.mark.smoke
def test_it_starts_as_little_python_as_can_be(start):
    """It runs every few seconds in every container: no table of settings, no server, no HTTP library."""
    container = start(ASGI, environment=ONE_WORKER).wait_ready()

    script = container.run("cat", "/opt/paddock/bin/paddock")
    flags = re.search(r"exec \"\$home/python\" (.*) -c", script)[1].split()
    code = re.search(r"-c \\\n\s+\"(.*)\"", script)[1].replace("$home", "/opt/paddock")
    status, output = container.raw.exec_run(["/opt/paddock/python", *flags, "-X", "importtime", "-c", code])
    assert status == 0, output
    imported = {line.rpartition("|")[2].strip() for line in output.decode().splitlines() if "import time:" in line}
    assert "paddock.health.check" in imported
    expected = {"paddock", "paddock.health", "paddock.health.check", "paddock.health.state"}
    assert {name for name in imported if name.startswith("paddock")} == expected
    unwanted = {"argparse", "gunicorn", "uvicorn", "json", "re", "http", "urllib", "ssl", "logging", "site", "typing"}
    assert not imported & unwanted
    assert len(imported) < 60, sorted(imported)
