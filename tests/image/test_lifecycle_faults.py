"""Workers that hang, are killed or run out of memory, READY_PATH, and what PRELOAD_APP makes unsafe."""

import json
import re
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from conftest import PATIENCE, wait_until

BOTH = pytest.mark.parametrize("app", ["faults_asgi.py", "faults_wsgi.py"])

KILLED = (r"\[CRITICAL\]", r"\[ERROR\].*Worker \d+", "Traceback", "Connections were cut off")
"""What the log says of a worker that was killed, or left with a thread that hangs."""

TIMEOUT = 3
READY_PATH = "/-/ready"


@pytest.fixture
def server(start):
    """Start an application with one worker that is killed after three seconds."""

    def run(app, allow=(), workers=1, **environment):
        values = {"WORKERS": str(workers), "TIMEOUT": str(TIMEOUT), "GRACEFUL_TIMEOUT": "8"} | environment
        return start(app, environment=values, allow=allow).wait_ready()

    return run


def ask_and_forget(container, path):
    """Send a request that will never be answered; return the connection."""
    client = socket.create_connection((container.address, 8000))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client


def status(container, path, **options):
    """Return the status that a request gets; None when the connection fails."""
    try:
        return container.get(path, **options).status_code
    except httpx.TransportError:
        return None


# --- Hangs ---


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("app", "path", "words", "place"),
    [
        (
            "faults_asgi.py",
            "/block",
            r"The event loop has been blocked for \d+\.\d seconds by GET /block\.",
            "blocking",
        ),
        (
            "faults_wsgi.py",
            "/stuck",
            r"Thread \S+ has been stuck in the application for \d+\.\d seconds by GET /stuck\.",
            "deadlock",
        ),
    ],
)
def test_worker_that_hangs_says_where_and_is_replaced(server, app, path, words, place):
    container = server(app, allow=KILLED)
    first = container.get().text
    began = time.monotonic()
    with ask_and_forget(container, path) as client:
        client.settimeout(PATIENCE)
        assert client.recv(1) == b""
        assert time.monotonic() - began > TIMEOUT - 1
    second = wait_until(lambda: status(container, "/") == 200 and container.get().text, "a new worker")
    assert second != first
    log = container.logs()
    assert len(re.findall(words, log)) == 1, log
    # Said once: the dump on SIGABRT would say it again.
    assert len(re.findall(rf'main\.py", line \d+, in {place}', log)) == 1, log
    assert "Fatal Python error" not in log


NEIGHBOURS = """
import time

def app(environ, start_response):
    seconds = float(environ["PATH_INFO"].strip("/") or 0)
    print(f"{seconds} begins", flush=True)
    time.sleep(seconds)
    start_response("200 OK", [])
    return [b"after %.1f" % seconds]
"""


def test_a_thread_that_hangs_costs_its_neighbours_nothing(start, mount):
    environment = {"WORKERS": "1", "THREADS": "4", "TIMEOUT": "4", "GRACEFUL_TIMEOUT": "60"}
    container = start(volumes=mount("/app/main.py", NEIGHBOURS), environment=environment, allow=KILLED).wait_ready()
    first = container.children()
    with ThreadPoolExecutor() as threads:
        stuck = threads.submit(container.get, "/12")
        container.wait_for_log("12.0 begins")
        time.sleep(2)
        beside = threads.submit(container.get, "/3.5")
        container.wait_for_log("is replaced: one of its threads hangs")
        # Its successor serves.
        assert container.get("/0").text == "after 0.0"

        assert beside.result().text == "after 3.5"
        assert stuck.result().text == "after 12.0"
    wait_until(lambda: not container.children() & first, "the end of the worker with the thread")


def test_a_request_within_timeout_keeps_its_worker(start, mount):
    environment = {"WORKERS": "1", "TIMEOUT": "20"}
    container = start(volumes=mount("/app/main.py", NEIGHBOURS), environment=environment).wait_ready()
    before = container.children()

    assert container.get("/13").text == "after 13.0"
    assert container.children() == before
    assert "is replaced" not in container.logs()


STREAM = """
import time

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first,"
    time.sleep(8)
    yield b"second"
"""


def test_a_stream_with_pauses_is_not_stuck(start, mount):
    environment = {"WORKERS": "1", "TIMEOUT": "3"}
    container = start(volumes=mount("/app/main.py", STREAM), environment=environment).wait_ready()

    assert container.get().text == "first,second"


@pytest.mark.smoke
def test_worker_that_hangs_with_the_gil_says_where(server):
    container = server("faults_asgi.py", allow=(*KILLED, "Fatal Python error"))
    with ask_and_forget(container, "/hold-the-gil") as client:
        client.settimeout(PATIENCE)
        assert client.recv(1) == b""
    assert "in holding_the_gil" in container.wait_for_log(r'main\.py", line \d+ in holding_the_gil')
    wait_until(lambda: status(container, "/") == 200, "a new worker")


def test_worker_that_hangs_at_once_is_replaced(start):
    container = start("faults_asgi.py", environment={"WORKERS": "1", "TIMEOUT": str(TIMEOUT)}, allow=KILLED)

    def hang():
        try:
            return ask_and_forget(container, "/block")
        except OSError:
            return None

    # It waits in the kernel until the worker accepts, so the event loop is blocked before it first turns.
    wait_until(hang, "a connection").close()
    container.wait_for_log(r"Worker \d+ has been silent")


HANGING = """
import os, time

async def app(scope, receive, send):
    assert scope["type"] == "http"
    print("hangs:", os.getpid(), flush=True)
    time.sleep(3600)
"""

ABORTED = """
import time

def worker_abort(worker):
    time.sleep(0.3)
    print("aborted:", worker.pid, flush=True)
"""


def test_workers_that_hang_at_once_have_their_hooks_run(start, mount):
    """Each has a second for `worker_abort`, however often the arbiter looks meanwhile."""
    volumes = mount("/app/main.py", HANGING) | mount("/app/gunicorn_conf.py", ABORTED)
    container = start(volumes=volumes, environment={"WORKERS": "2", "TIMEOUT": "3"}, allow=KILLED).wait_ready()
    wait_until(lambda: len(container.children()) == 2, "two workers")

    def pids(word):
        return re.findall(rf"{word}: (\d+)", container.logs())

    def both_aborted():
        before = len(pids("hangs"))

        def hang():
            connections.enter_context(ask_and_forget(container, "/"))
            return len(pids("hangs")) >= before + 2

        wait_until(hang, "two workers that hang")
        both = set(pids("hangs")[before : before + 2])
        ended = r"\[ERROR\].*Worker (\d+) (?:ended|was killed)"
        wait_until(lambda: both <= set(re.findall(ended, container.logs())), "the end of both")
        return both <= set(pids("aborted"))

    with ExitStack() as connections:
        # A second is little on a machine that is busy with something else.
        wait_until(both_aborted, "the hooks of both")


def test_hang_is_one_json_object(start):
    environment = {"WORKERS": "1", "TIMEOUT": str(TIMEOUT), "LOG_FORMAT": "json"}
    container = start("faults_asgi.py", environment=environment, allow=("Traceback",))
    container.wait_for_log('"message": "Ready"')
    ask_and_forget(container, "/block").close()
    line = container.wait_for_log(r".*The event loop has been blocked.*")

    record = json.loads(line)
    assert record["level"] == "critical"
    assert "in blocking" in record["stack"]


@pytest.mark.parametrize("path", ["/stream", "/events"])
def test_long_answer_is_no_hang(server, path):
    container = server("faults_wsgi.py")
    began = time.monotonic()

    assert container.get(path).status_code == 200
    assert time.monotonic() - began > TIMEOUT + 2


def test_slow_client_is_no_hang(server):
    container = server("faults_wsgi.py")
    first = container.get().text
    reading = ask_and_forget(container, "/file")
    sending = socket.create_connection((container.address, 8000))
    sending.sendall(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
    for _ in range(TIMEOUT + 3):
        time.sleep(1)
        sending.sendall(b"x")
    sending.sendall(b"x" * (10 - TIMEOUT - 3))

    assert b"200 OK" in sending.recv(1000)
    assert container.get().text == first
    with reading, sending, reading.makefile("rb") as file:
        while file.readline().strip():
            pass
        assert len(file.read(20_000_000)) == 20_000_000


def test_blocking_startup_is_no_hang(server):
    container = server("faults_asgi.py", SLOW_STARTUP="5")

    assert container.get().status_code == 200


# --- Ends ---


@BOTH
def test_killed_worker_is_said_and_replaced(server, app):
    container = server(app, allow=KILLED, workers=2)
    pid = container.get().text
    container.run("python", "-c", f"import os; os.kill({pid}, 9)")

    container.wait_for_log(rf"Worker {pid} was killed by SIGKILL, not for lack of memory")
    wait_until(lambda: container.workers() == 2, "two workers")
    assert {container.get().status_code for _ in range(20)} == {200}


def test_lack_of_memory_is_said_with_limit_and_sizes(start):
    container = start(
        "faults_asgi.py", environment={"WORKERS": "2"}, mem_limit="200m", memswap_limit="200m", allow=KILLED
    ).wait_ready()
    wait_until(lambda: container.workers() == 2, "two workers")
    ask_and_forget(container, "/allocate").close()

    line = container.wait_for_log(r"Worker \d+ was killed by the kernel.*")
    assert "because the container has reached its memory limit of 200 MiB. It held " in line
    assert re.search(r"It held 1?\d\d MiB when last seen; the other workers hold \d+ MiB \(pid \d+\)\. ", line), line
    assert "MAX_WORKER_MEMORY" in line
    wait_until(lambda: status(container, "/") == 200, "an answer")


# --- READY_PATH ---


@pytest.mark.smoke
@pytest.mark.parametrize("app", ["asgi.py", "wsgi.py"])
def test_workers_without_room_for_their_threads_wait_for_it(start, app):
    """Threads count as processes where those are limited; what serves goes on."""
    container = start(app, environment={"WORKERS": "6"}, pids_limit=8).allow("No worker can be started").wait_ready()
    container.wait_for_log("No worker can be started: .* It is tried again every")
    container.wait_for_log("Worker exiting")

    assert {container.get().status_code for _ in range(20)} == {200}
    subprocess.run(["docker", "update", "--pids-limit", "100", container.raw.id], check=True)
    wait_until(lambda: container.workers() == 6, "all workers")
    assert container.stop() == 0


@pytest.mark.parametrize("app", ["obedient.py", "obedient_wsgi.py"])
def test_live_path(start, app):
    """With every thread, or as many requests as there may be, at work."""
    busy = {"UVICORN_LIMIT_CONCURRENCY": "1"} if app == "obedient.py" else {"THREADS": "1"}
    environment = {"WORKERS": "1", "LIVE_PATH": "/live", "READY_PATH": "/ready", "DRAIN_DELAY": "30", **busy}
    container = start(app, environment=environment).wait_ready()
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(container.get, "/sleep/3")
        container.wait_for_log("began /sleep/3")
        assert [container.get(path).text for path in ("/live", "/ready")] == ["alive", "ready"]
        assert container.run("paddock", "health", "--live") == "healthy: the server is ready\n"
        assert answer.result().status_code == 200
    container.signal("TERM")
    wait_until(lambda: container.get("/ready").status_code == 503, "the drain")
    assert container.get("/live").text == "alive"
    assert container.run("paddock", "health", "--live") == "healthy: the server is draining\n"


def test_containers_without_a_server_have_checks(start):
    container = start(command="sleep 600")
    assert container.run("paddock", "health", "--exec", "python", "-c", "print('up')").endswith("succeeded: up\n")
    assert container.attempt("paddock", "health", "--exec", "false").status == 1
    container.run("touch", "/tmp/alive")
    assert container.run("paddock", "health", "--file", "/tmp/alive", "--newer-than", "600").startswith("healthy: ")
    assert container.attempt("paddock", "health", "--file", "/tmp/dead", "--newer-than", "600").status == 1


@pytest.mark.parametrize(
    ("app", "slow"),
    [("faults_asgi.py", "SLOW_IMPORT"), ("faults_asgi.py", "SLOW_STARTUP"), ("faults_wsgi.py", "SLOW_IMPORT")],
)
def test_ready_path_while_starting(start, app, slow):
    environment = {"WORKERS": "1", "READY_PATH": READY_PATH, slow: "4"}
    container = start(app, environment=environment)
    container.wait_for_log("Listening at")

    def ask():
        try:
            return container.get(READY_PATH)
        except httpx.TransportError:
            return None

    answer = wait_until(ask, "an answer")
    assert (answer.status_code, answer.text) == (503, "starting")
    assert answer.headers["retry-after"] == "1"
    assert status(container, "/anything") == 503
    seen = []
    while not seen or seen[-1] != 200:
        seen.append(status(container, READY_PATH))
        assert len(seen) < 10_000
    # No connection was refused, reset or left without an answer on the way.
    assert set(seen) == {503, 200}
    # Once ready, never "starting" again.
    assert {container.get(READY_PATH).text for _ in range(20)} == {"ready"}
    container.wait_ready()
    wait_until(lambda: container.workers() == 1, "the end of the process that answered at the start")
    assert READY_PATH not in container.logs()
    assert container.stop() == 0


@BOTH
def test_ready_path_while_draining(start, app):
    environment = {"WORKERS": "1", "READY_PATH": READY_PATH, "DRAIN_DELAY": "1800", "GRACEFUL_TIMEOUT": "3600"}
    container = start(app, environment=environment).wait_ready()
    assert container.get(READY_PATH).text == "ready"
    assert container.get("/").status_code == 200
    slow = threading.Thread(target=container.get, args=("/slow",))
    slow.start()
    container.raw.kill(signal="TERM")

    answer = wait_until(lambda: (answer := container.get(READY_PATH)).status_code == 503 and answer, "readiness to end")
    assert answer.text == "draining"
    assert answer.headers["connection"] == "close"
    assert container.get("/").status_code == 200
    slow.join()
    container.raw.kill(signal="INT")
    assert container.wait_exit() == 0
    assert READY_PATH not in container.logs(stderr=False)


@BOTH
def test_without_ready_path_the_application_answers(server, app):
    assert server(app).get("/ready").text.isdecimal()


# --- PRELOAD_APP ---


@pytest.mark.smoke
def test_unsafe_import_is_named_once(start):
    environment = {"WORKERS": "2", "PRELOAD_APP": "true"}
    container = start("unsafe_import.py", environment=environment, allow=(r"\[WARNING\].*PRELOAD_APP",)).wait_ready()
    container.wait_for_log("PRELOAD_APP")

    (line,) = [line for line in container.logs().splitlines() if "PRELOAD_APP" in line]
    assert "threads, which no worker will have: ticker;" in line
    assert "bound to 127.0.0.1:5432, connected to 127.0.0.1:5432" in line
    assert "event loops, which no worker will run: 1." in line


@BOTH
def test_safe_import_is_silent(start, app):
    container = start(app, environment={"WORKERS": "2", "PRELOAD_APP": "true"}).wait_ready()

    assert container.get().status_code == 200
