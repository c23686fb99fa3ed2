"""Signals to the container's first process, at every moment: it ends by itself, soon, and what runs is finished."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from conftest import APPS as SOURCES
from conftest import wait_until

ASGI = "obedient.py"
WSGI = "obedient_wsgi.py"
APPS = (ASGI, WSGI)

SOON = 3.0
"""Seconds that an end may take which waits for nothing: far below GRACEFUL_TIMEOUT and Docker's ten seconds."""

ONE_WORKER = {"WORKERS": "1"}


def end(container, signal="SIGTERM"):
    """Send a signal; return the exit status and the seconds that it took."""
    begun = time.monotonic()
    container.raw.kill(signal)
    status = container.wait_exit()
    return status, time.monotonic() - begun


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT", "SIGQUIT"])
def test_idle_server_ends_at_once(start, app, signal):
    container = start(app, environment={"WORKERS": "2"}).wait_ready()
    wait_until(lambda: container.workers() == 2, "two workers")
    container.get()

    status, seconds = end(container, signal)
    assert status == 0
    assert seconds < SOON
    assert container.logs().count("atexit ran") >= 2
    if signal == "SIGTERM" and app == ASGI:
        assert container.logs().count("lifespan.shutdown") == container.logs().count("lifespan.startup") == 2


@pytest.mark.parametrize(
    ("app", "environment"),
    [(ASGI, {}), (WSGI, {}), (ASGI, {"WORKER_CLASS": "asgi"}), (WSGI, {"WORKER_CLASS": "sync"})],
)
def test_sigterm_finishes_the_request_in_flight(start, app, environment):
    container = start(app, environment=environment | ONE_WORKER).wait_ready()
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(container.get, "/sleep/2")
        container.wait_for_log("began /sleep/2")
        status, seconds = end(container)

        assert answer.result().text == "ok"
    assert status == 0
    assert 1 < seconds < 2 + SOON
    log = container.logs()
    assert "ended /sleep/2" in log
    last = [line for line in log.splitlines() if line in ("ended /sleep/2", "lifespan.shutdown", "atexit ran")]
    # The worker's own; the arbiter imported nothing.
    assert last == ["ended /sleep/2", *(["lifespan.shutdown"] if app == ASGI else []), "atexit ran"]


def test_no_new_connection_while_it_stops(start):
    container = start(ASGI, environment=ONE_WORKER).wait_ready()
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(container.get, "/sleep/3")
        container.wait_for_log("began /sleep/3")
        address = container.address
        container.raw.kill("SIGTERM")
        wait_until(lambda: refused(address), "a listener that is closed")
        assert container.running

        assert answer.result().text == "ok"
    assert container.wait_exit() == 0


def refused(address):
    try:
        socket.create_connection((address, 8000), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_lifespan_shutdown_runs_though_a_request_never_ends(start):
    """Uvicorn gives up before the arbiter kills."""
    container = start(ASGI, environment={"GRACEFUL_TIMEOUT": "4", **ONE_WORKER}).wait_ready()
    container.allow("timeout graceful shutdown exceeded", "A request was cut off")
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(container.get, "/sleep/60")
        container.wait_for_log("began /sleep/60")
        status, seconds = end(container)

        assert isinstance(answer.exception(), httpx.HTTPError) or answer.result().status_code >= 500
    assert status == 0
    assert 2 < seconds < 4
    assert container.logs().splitlines().count("lifespan.shutdown") == 1
    assert "atexit ran" in container.logs()


@pytest.mark.parametrize("app", APPS)
def test_docker_stop_with_idle_connections(start, app):
    container = start(app, environment={"WORKERS": "2"}).wait_ready()
    with httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=8)) as client:
        with ThreadPoolExecutor(8) as threads:
            url = f"http://{container.address}:8000/sleep/0.2"
            answers = list(threads.map(lambda _: client.get(url), range(8)))
        assert all(answer.text == "ok" for answer in answers)

        begun = time.monotonic()
        assert container.stop(seconds=10) == 0
        assert time.monotonic() - begun < SOON


# Before it serves

SLOW_IMPORT = """
import time
print("importing", flush=True)
time.sleep(60)
"""

SLOW_LIFESPAN = """
import asyncio

async def app(scope, receive, send):
    await receive()
    print("importing", flush=True)
    await asyncio.sleep(60)
"""

SLOW_FORK = """
import time

def post_fork(server, worker):
    print("importing", flush=True)
    time.sleep(1)
"""


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT", "SIGQUIT"])
@pytest.mark.parametrize("preload", ["false", "true"])
def test_signal_while_the_application_is_imported(start, project, preload, signal):
    environment = {"PRELOAD_APP": preload, "WORKERS": "2", "APP_MODULE": "main:app"}
    container = start(volumes=project({"main.py": SLOW_IMPORT}), environment=environment)
    container.wait_for_log("importing")

    _, seconds = end(container, signal)
    assert seconds < SOON


@pytest.mark.parametrize("kind", ["lifespan", "fork"])
def test_sigterm_while_a_worker_boots(start, project, kind):
    """In lifespan startup, and between the fork and the worker's own signal handlers."""
    source = SLOW_LIFESPAN if kind == "lifespan" else (SOURCES / ASGI).read_text()
    files = {"main.py": source} | ({"gunicorn.conf.py": SLOW_FORK} if kind == "fork" else {})
    container = start(volumes=project(files), environment={"GRACEFUL_TIMEOUT": "8", **ONE_WORKER})
    container.wait_for_log("importing")

    status, seconds = end(container)
    assert status == 0
    assert seconds < SOON


@pytest.mark.parametrize("delay", [0, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_sigterm_while_the_others_boot(start, delay):
    container = start(ASGI, environment={"WORKERS": "6"}).wait_ready()
    time.sleep(delay)

    status, seconds = end(container)
    assert status == 0
    # Six workers begin and end on two cores.
    assert seconds < 2 * SOON


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT"])
def test_signal_during_a_start_hook(start, mount, signal):
    hook = "#!/bin/sh\necho hook runs\nsleep 60\necho hook ends\n"
    volumes = mount("/docker-entrypoint.d/slow.sh", hook, 0o755)
    container = start(ASGI, volumes=volumes, environment=ONE_WORKER)
    container.wait_for_log("hook runs")

    status, seconds = end(container, signal)
    assert status == {"SIGTERM": 143, "SIGINT": 130}[signal]
    assert seconds < SOON
    assert "hook ends" not in container.logs()
    assert "Starting gunicorn" not in container.logs()


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("delay", [0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3])
def test_sigterm_in_the_first_moments(start, app, delay):
    """Nothing is killed: `docker run` that is stopped at once must not take Docker's ten seconds."""
    container = start(app, environment={"WORKERS": "2"})
    time.sleep(delay)

    status, seconds = end(container)
    assert status in (0, 143)
    assert seconds < 2 * SOON


@pytest.mark.parametrize("delay", [0.05, 0.1, 0.15, 0.2, 0.3])
def test_ctrl_c_in_the_first_moments(start, delay):
    container = start(ASGI, environment={"WORKERS": "2"})
    time.sleep(delay)

    status, seconds = end(container, "SIGINT")
    assert status in (0, 130)
    assert seconds < 2 * SOON


# What does not end it


@pytest.mark.parametrize("app", APPS)
def test_hup_replaces_the_workers(start, app):
    container = start(app, environment={"WORKERS": "2"}).wait_ready()
    wait_until(lambda: container.workers() == 2, "two workers")
    container.raw.kill("SIGHUP")

    container.wait_for_log("Handling signal: hup")
    wait_until(lambda: container.logs().count("atexit ran") == 2 and container.workers() == 2, "two other workers")
    assert container.get().text == "ok"
    assert container.stop() == 0


def test_hup_reads_the_gunicorn_file_again(start, project):
    volumes = project({"main.py": (SOURCES / ASGI).read_text(), "gunicorn.conf.py": "workers = 1"})
    container = start(volumes=volumes).wait_ready()
    assert container.workers() == 1

    (Path(next(iter(volumes))) / "gunicorn.conf.py").write_text("workers = 3\n")
    container.raw.kill("SIGHUP")
    wait_until(lambda: container.workers() == 3, "three workers")
    assert container.get().text == "ok"
    assert container.stop() == 0


@pytest.mark.parametrize("wrong", ["workers = 'many'\n", "workers = (\n", "import nothing_of_mine\n"])
def test_hup_with_a_wrong_gunicorn_file_is_refused(start, project, wrong):
    volumes = project({"main.py": (SOURCES / ASGI).read_text(), "gunicorn.conf.py": "workers = 2"})
    container = start(volumes=volumes, allow=("ERROR.*gunicorn.conf.py", "ERROR.*refused")).wait_ready()
    wait_until(lambda: container.workers() == 2, "two workers")
    before = container.processes()

    (Path(next(iter(volumes))) / "gunicorn.conf.py").write_text(wrong)
    container.raw.kill("SIGHUP")
    container.wait_for_log("The reload is refused, the server goes on as it was")
    assert container.get().text == "ok"
    assert container.processes() == before
    assert "atexit ran" not in container.logs()
    assert container.stop() == 0


def test_ttin_and_ttou_change_the_number_of_workers(start):
    container = start(ASGI, environment={"WORKERS": "2"}).wait_ready()
    wait_until(lambda: container.workers() == 2, "two workers")

    container.raw.kill("SIGTTIN")
    wait_until(lambda: container.workers() == 3, "three workers")
    for left in (2, 1):
        container.raw.kill("SIGTTOU")
        wait_until(lambda left=left: container.workers() == left, f"{left} workers")
    container.raw.kill("SIGTTOU")
    container.wait_for_log("(?s)(ttou.*){3}")
    assert container.get().text == "ok"
    assert container.workers() == 1
    assert container.stop() == 0


def test_usr1_and_winch_are_harmless(start):
    container = start(ASGI, environment=ONE_WORKER).wait_ready()

    for signal in ("SIGUSR1", "SIGWINCH", "SIGPIPE", "SIGALRM"):
        container.raw.kill(signal)
    assert container.get().text == "ok"
    assert container.workers() == 1
    assert container.stop() == 0


def test_usr2_is_refused(start):
    """A second server below PID 1 would end with it, and with the container."""
    message = "SIGUSR2 is not supported in a container"
    container = start(ASGI, environment={"WORKERS": "2"}, allow=(message,)).wait_ready()
    wait_until(lambda: container.workers() == 2, "two workers")
    before = container.processes()

    container.raw.kill("SIGUSR2")
    container.wait_for_log(message)
    assert container.processes() == before
    assert container.get().text == "ok"
    assert container.stop() == 0


def test_killed_worker_is_replaced(start):
    container = start(ASGI, environment={"WORKERS": "2"}, allow=("SIGKILL",)).wait_ready()
    wait_until(lambda: container.workers() == 2, "two workers")

    container.run("sh", "-c", "kill -9 $(ls /proc | grep -E '^[0-9]+$' | sort -n | sed -n 2p)")
    container.wait_for_log("SIGKILL")
    wait_until(lambda: container.logs().count("lifespan.startup") == 3, "another worker")
    assert container.workers() == 2
    assert container.get().text == "ok"


@pytest.mark.parametrize("app", APPS)
def test_orphans_are_reaped(start, app):
    container = start(app, environment=ONE_WORKER).wait_ready()

    for _ in range(12):
        container.run("sh", "-c", "sleep 0.2 & exit 0")
    wait_until(lambda: not any("sleep" in command for command in container.processes()), "no orphan or zombie")
    assert not any("defunct" in command for command in container.processes())
    assert container.workers() == 1
