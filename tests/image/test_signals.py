"""Signals to the container's first process, at every moment: it ends by itself, soon, and what runs is finished.

What a running server does with each signal is in test_lifecycle_stop and test_lifecycle_reload.
"""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from docker.errors import APIError

from conftest import APPS as SOURCES
from conftest import wait_until

ASGI = "obedient.py"
WSGI = "obedient_wsgi.py"
APPS = (ASGI, WSGI)

ONE_WORKER = {"WORKERS": "1"}
PATIENT = {"GRACEFUL_TIMEOUT": "3600"}
"""Far more than a test waits for an end: one that comes has waited for nothing."""


def end(container, signal="SIGTERM"):
    """Send a signal; return the exit status."""
    container.raw.kill(signal)
    return container.wait_exit()


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("signal", ["SIGINT", "SIGQUIT"])
def test_idle_server_ends_at_once(start, app, signal):
    container = start(app, environment={"WORKERS": "2", **PATIENT}).wait_ready()
    wait_until(lambda: container.workers() == 2, "two workers")
    container.get()

    assert end(container, signal) == 0
    assert container.logs().count("atexit ran") >= 2


@pytest.mark.parametrize(
    ("app", "worker_class"), [(ASGI, "asgi"), (WSGI, "gunicorn.workers.sync.SyncWorker"), (WSGI, "auto")]
)
def test_sigterm_finishes_the_request_in_flight(start, app, worker_class):
    environment = ONE_WORKER | {"WORKER_CLASS": worker_class}
    container = start(app, environment=environment, allow=("is not the image's",)).wait_ready()
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(container.get, "/sleep/2")
        container.wait_for_log("began /sleep/2")
        assert end(container) == 0

        assert answer.result().text == "ok"
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


# Before it serves

SLOW_IMPORT = """
import time
print("importing", flush=True)
time.sleep(3600)
"""

SLOW_LIFESPAN = """
import asyncio

async def app(scope, receive, send):
    await receive()
    print("importing", flush=True)
    await asyncio.sleep(3600)
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
    environment = {"PRELOAD_APP": preload, "WORKERS": "2", "APP_MODULE": "main:app", **PATIENT}
    container = start(volumes=project({"main.py": SLOW_IMPORT}), environment=environment)
    container.wait_for_log("importing")

    end(container, signal)


@pytest.mark.smoke
@pytest.mark.parametrize("kind", ["lifespan", "fork"])
def test_sigterm_while_a_worker_boots(start, project, kind):
    """In lifespan startup, and between the fork and the worker's own signal handlers."""
    source = SLOW_LIFESPAN if kind == "lifespan" else (SOURCES / ASGI).read_text()
    files = {"main.py": source} | ({"gunicorn.conf.py": SLOW_FORK} if kind == "fork" else {})
    container = start(volumes=project(files), environment=PATIENT | ONE_WORKER)
    container.wait_for_log("importing")

    assert end(container) == 0


@pytest.mark.parametrize("delay", [0, 0.1, 0.2, 0.3])
def test_sigterm_while_the_others_boot(start, delay):
    # Python ignores what is raised in the callbacks of weak references, which importing has.
    ignored = ("Exception ignored while calling weakref callback", "Traceback")
    container = start(ASGI, environment={"WORKERS": "6", **PATIENT}, allow=ignored).wait_ready()
    time.sleep(delay)

    assert end(container) == 0


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT"])
def test_signal_during_a_start_hook(start, mount, signal):
    hook = "#!/bin/sh\necho hook runs\nsleep 3600\necho hook ends\n"
    volumes = mount("/docker-entrypoint.d/slow.sh", hook, 0o755)
    container = start(ASGI, volumes=volumes, environment=ONE_WORKER)
    container.wait_for_log("hook runs")

    assert end(container, signal) == {"SIGTERM": 143, "SIGINT": 130}[signal]
    assert "hook ends" not in container.logs()
    assert "Starting gunicorn" not in container.logs()


@pytest.mark.parametrize(
    ("signal", "status", "delay"),
    [
        *(("SIGTERM", 143, delay) for delay in (0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)),
        *(("SIGINT", 130, delay) for delay in (0, 0.05, 0.1, 0.2)),
    ],
)
def test_signal_in_the_first_moments(start, signal, status, delay):
    """Nothing is killed: `docker run` that is stopped at once must not take Docker's ten seconds.

    The kernel keeps from PID 1 what it has no handler for: what comes before the entrypoint's first line, and while
    that becomes `env`. These are moments that a busy machine makes long, so whoever was not heard says it again.
    https://man7.org/linux/man-pages/man7/pid_namespaces.7.html
    """
    container = start(ASGI, environment={"WORKERS": "2", **PATIENT})
    time.sleep(delay)

    def ended():
        with suppress(APIError):
            container.raw.kill(signal)
        time.sleep(1)
        return not container.running

    wait_until(ended, "the end")
    assert container.wait_exit() in (0, status)


# What a worker has begun

FORKING = """
import multiprocessing, time

def end_of_a_child():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
    child.start()
    child.terminate()
    child.join()
    return str(child.exitcode).encode()
"""

FORKING_WSGI = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [end_of_a_child()]
"""

FORKING_ASGI = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": end_of_a_child()})
"""


@pytest.mark.parametrize("source", [FORKING_ASGI, FORKING_WSGI], ids=["asgi", "wsgi"])
def test_a_forked_process_of_the_applications_dies_of_sigterm(start, project, source):
    container = start(volumes=project({"main.py": FORKING + source}), environment=ONE_WORKER | {"TIMEOUT": "0"})
    container.wait_ready()

    assert container.get().text == "-15"
    assert container.get().text == "-15"


# What does not end it


@pytest.mark.parametrize("app", APPS)
def test_orphans_are_reaped(start, app):
    container = start(app, environment=ONE_WORKER).wait_ready()

    container.run("sh", "-c", "for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do sh -c 'sleep 0.2 &'; done")
    wait_until(lambda: not any("sleep" in command for command in container.processes()), "no orphan or zombie")
    assert not any("defunct" in command for command in container.processes())
    assert container.workers() == 1
