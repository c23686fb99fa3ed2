"""SIGTERM, SIGINT and SIGQUIT: what is finished, what is told, what runs, and with which status it ends."""

import re
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_websocket

from conftest import wait_until
from wire import answer, asking, connect, received, received_until, request

APPS = pytest.mark.parametrize("app", ["echo_asgi.py", "echo_wsgi.py"])

GRACEFUL = 3600
"""GRACEFUL_TIMEOUT of these tests: far more than they wait for an end, so one that comes has waited for nothing."""

HOOKS = """
def worker_exit(server, worker):
    print(f"worker_exit ran in {worker.pid}", flush=True)

def on_exit(server):
    print("on_exit ran", flush=True)
"""


@pytest.fixture
def server(start, mount):
    """Start one worker with hooks that say when they run."""

    def run(app, *, allow=(), **environment):
        values = {"WORKERS": "1", "GRACEFUL_TIMEOUT": str(GRACEFUL)} | environment
        volumes = mount("/app/gunicorn_conf.py", HOOKS)
        # A file inside a mount of its own: the application is mounted beside it.
        return start(app, environment=values, volumes=volumes, allow=allow).wait_ready()

    return run


def ended(container, signal="TERM"):
    """Send a signal; return the exit status."""
    container.signal(signal)
    return container.wait_exit()


def assert_shut_down(container, app):
    """Everything ran that runs at the end of a worker and of the server."""
    log = container.logs()
    wanted = ["atexit ran in", "worker_exit ran in", "on_exit ran"]
    wanted += ["lifespan.shutdown in"] if "asgi" in app else []
    assert [line for line in wanted if line not in log] == [], log


# --- SIGTERM ---


@APPS
def test_without_connections(server, app):
    container = server(app)
    assert ended(container) == 0
    assert_shut_down(container, app)


@pytest.mark.smoke
@APPS
def test_request_is_finished(server, app):
    container = server(app)
    with asking(container.address, "/slow?seconds=2&number=7") as client:
        container.wait_for_log("slow begins")
        container.signal("TERM")
        head, body = answer(client)
        assert "200 OK" in head
        assert "connection: close" in head.lower()
        assert body.startswith(b"7:")
        assert received(client) == b""

    assert container.wait_exit() == 0
    assert_shut_down(container, app)
    log = container.logs()
    assert log.index("slow is done") < log.index("lifespan.shutdown" if "asgi" in app else "atexit ran")
    assert log.rindex("lifespan.shutdown" if "asgi" in app else "slow is done") < log.index("atexit ran")


def test_request_that_takes_longer_than_timeout_is_no_hang(server):
    """The event loop goes on telling the arbiter that it turns."""
    container = server("echo_asgi.py", TIMEOUT="5")
    with asking(container.address, "/slow?seconds=10&number=7") as client:
        container.wait_for_log("slow begins")
        container.signal("TERM")
        assert answer(client)[1].startswith(b"7:")

    assert container.wait_exit() == 0
    assert_shut_down(container, "echo_asgi.py")


@APPS
def test_stream_is_finished(server, app):
    container = server(app)
    with asking(container.address, "/stream?seconds=2&parts=8&size=800") as client:
        container.wait_for_log("stream begins")
        container.signal("TERM")
        assert received(client).endswith(b"\r\n0\r\n\r\n")

    assert container.wait_exit() == 0
    assert_shut_down(container, app)


@pytest.mark.smoke
def test_websocket_is_told(server):
    container = server("echo_asgi.py")
    with connect_websocket(f"ws://{container.address}:8000/", proxy=None) as client:
        client.send("hello")
        assert client.recv(10).endswith("hello")
        status = ended(container)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(10)

    assert closed.value.rcvd.code in (1001, 1012)
    assert status == 0
    assert_shut_down(container, "echo_asgi.py")


def test_endless_stream_learns_of_the_stop(server):
    """Uvicorn's `Server.handle_exit` is called, where sse-starlette listens, but not while new streams are accepted."""
    container = server("endless_asgi.py", DRAIN_DELAY="2", GRACEFUL_TIMEOUT="3600")
    with asking(container.address, "/") as client:
        container.wait_for_log("stream begins")
        began = time.monotonic()
        container.signal("TERM")
        received_until(client, b"farewell\r\n0\r\n\r\n")
        assert time.monotonic() - began > 1.9

    assert container.wait_exit() == 0
    assert container.logs().count("handle_exit 15 in") == 1
    assert_shut_down(container, "endless_asgi.py")


@APPS
@pytest.mark.parametrize("said", ["nothing", "half a request", "a whole request"])
def test_idle_connections_hold_nothing_up(server, app, said):
    """Connections without a request in flight: one that never sent a byte, one that stalls, one that is kept alive."""
    container = server(app)
    clients = [connect(container.address) for _ in range(3)]
    for client in clients:
        if said == "half a request":
            client.sendall(request("/")[:-4])
        if said == "a whole request":
            client.sendall(request("/"))
            answer(client)
    # The connections have reached the application's process when a later one was answered.
    assert container.get().status_code == 200
    status = ended(container)
    for client in clients:
        client.close()

    assert status == 0
    assert_shut_down(container, app)


@pytest.mark.smoke
@pytest.mark.parametrize("path", ["/slow?seconds=3600", "/stream?seconds=3600&parts=36000"])
def test_shutdown_code_runs_when_time_is_up_asgi(server, path):
    """Tasks are cancelled in time for lifespan shutdown; the end is clean, and the log says what was cut off."""
    container = server("echo_asgi.py", allow=("WARNING|ERROR|Traceback|Cancelled",), GRACEFUL_TIMEOUT="20")
    with asking(container.address, path) as client:
        container.wait_for_log("(slow|stream) begins")
        status = ended(container)
        if "slow" in path:
            assert "slow was cancelled" in container.logs()
            assert re.match(rb"HTTP/1.1 5|$", received(client))
    assert_shut_down(container, "echo_asgi.py")
    assert container.logs().count("lifespan.shutdown") == 1
    assert status == 0
    assert "SIGKILL" not in container.logs()


@pytest.mark.smoke
@pytest.mark.parametrize("path", ["/slow?seconds=3600", "/stream?seconds=3600&parts=36000"])
def test_shutdown_code_runs_when_time_is_up_wsgi(server, path):
    """A thread cannot be cancelled, but it keeps no shutdown code from running."""
    container = server("echo_wsgi.py", allow=("WARNING|ERROR",), GRACEFUL_TIMEOUT="12")
    with asking(container.address, path):
        container.wait_for_log("(slow|stream) begins")
        ended(container)

    assert_shut_down(container, "echo_wsgi.py")


def test_worker_that_must_be_killed_is_told_and_makes_the_status(server):
    """A blocked event loop runs no shutdown code: the log says so, and the status is not 0."""
    container = server("echo_asgi.py", allow=("ERROR|CRITICAL",), GRACEFUL_TIMEOUT="2")
    with asking(container.address, "/block?seconds=3600"):
        container.wait_for_log("block begins")
        status = ended(container)

    assert status == 1
    assert re.search(r"[Kk]illed 1 worker.*GRACEFUL_TIMEOUT", container.logs())


def test_second_container_stop_waits_for_every_worker(start):
    container = start("echo_asgi.py", environment={"WORKERS": "3"}).wait_ready()
    wait_until(lambda: len(container.children()) == 3, "three workers")
    wait_until(lambda: container.logs().count("lifespan.startup") == 3, "three that serve")

    assert container.stop() == 0
    assert container.logs().count("lifespan.shutdown") == 3


# --- DRAIN_DELAY ---


@APPS
def test_drain_delay(server, app):
    """Between SIGTERM and the end of accepting: ready says no, answers come and announce the end of the connection."""
    container = server(app, DRAIN_DELAY="1800", READY_PATH="/ready")
    address = container.address
    assert container.get("/ready").status_code == 200
    with connect(address) as old:
        old.sendall(request("/"))
        assert "connection: close" not in answer(old)[0].lower()

        container.signal("TERM")
        wait_until(lambda: container.get("/ready").status_code == 503, "a container that is not ready")
        old.sendall(request("/?number=1"))
        head, body = answer(old)
        assert "connection: close" in head.lower()
        assert body.startswith(b"1:")
        assert received(old) == b""
        fresh = container.get("/?number=2")
        assert fresh.headers["connection"] == "close"
        assert fresh.content.startswith(b"2:")

    assert ended(container, "INT") == 0
    assert_shut_down(container, app)


@APPS
def test_drain_delay_is_not_over_early(server, app):
    container = server(app, DRAIN_DELAY="2")
    began = time.monotonic()
    assert ended(container) == 0
    assert time.monotonic() - began > 1.9


@pytest.mark.parametrize("delay", ["8", "9", "20"])
def test_drain_delay_must_leave_time(attempt, delay):
    outcome = attempt("echo_asgi.py", environment={"DRAIN_DELAY": delay, "GRACEFUL_TIMEOUT": "8"})
    assert outcome.status == 78
    assert "DRAIN_DELAY" in outcome.err
    assert "Traceback" not in outcome.err


# --- SIGINT, SIGQUIT ---


@APPS
@pytest.mark.parametrize("signal", ["INT", "QUIT"])
def test_quick_end(server, app, signal):
    """Requests are cut off, shutdown code runs all the same."""
    container = server(app, allow=("WARNING|ERROR|Traceback|Cancelled",))
    with asking(container.address, "/slow?seconds=3600"):
        container.wait_for_log("slow begins")
        status = ended(container, signal)

    assert status == 0
    assert "SIGKILL" not in container.logs()
    assert_shut_down(container, app)


@APPS
def test_quick_end_after_a_graceful_one(server, app):
    container = server(app, allow=("WARNING|ERROR|Traceback|Cancelled",))
    with asking(container.address, "/slow?seconds=3600"):
        container.wait_for_log("slow begins")
        container.signal("TERM")
        container.signal("INT")
        assert ended(container, "INT") == 0
    assert "Killed" not in container.logs()


# --- During the start ---


KINDS = {
    "asgi": """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})
""",
    "wsgi": """
def app(environ, start_response):
    start_response("204 No Content", [])
    return []
""",
}


SWALLOWS = """
import time

class Swallowing:
    def __del__(self):
        print("importing", flush=True)
        time.sleep(3600)

Swallowing()
"""


@pytest.mark.parametrize("kind", KINDS)
def test_an_import_that_swallows_exceptions_holds_no_stop_up(start, mount, kind):
    """Python ignores what is raised in `__del__` and in the callbacks of weak references, which importing has."""
    volumes = mount("/app/main.py", SWALLOWS + KINDS[kind])
    environment = {"GRACEFUL_TIMEOUT": str(GRACEFUL)}
    container = start(volumes=volumes, environment=environment, allow=("Exception ignored", "Traceback"))
    container.wait_for_log("importing")

    assert ended(container) == 0
    assert "Ready" not in container.logs()


HASTY = """
import os, signal

set_handler = signal.signal

def set_and_be_told(number, handler):
    before = set_handler(number, handler)
    if number == signal.SIGTERM and handler == signal.SIG_DFL:
        os.kill(os.getpid(), number)
    return before

signal.signal = set_and_be_told
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_booting_worker_is_at_no_moment_without_its_handlers(start, mount, kind):
    """A signal that came at such a moment would kill it, and look like a crash."""
    container = start(volumes=mount("/app/main.py", HASTY + KINDS[kind]), environment={"WORKERS": "1"}).wait_ready()

    assert container.stop() == 0


def test_stream_of_a_client_that_left_holds_nothing_up(server):
    """A client that leaves is no reason to wait for what it asked for."""
    container = server("echo_asgi.py", allow=("WARNING|ERROR|Cancelled",), GRACEFUL_TIMEOUT="12")
    with asking(container.address, "/stream?seconds=3600&parts=36000&size=60000") as client:
        received_until(client, b"\r\n\r\n")
    ended(container)
    assert_shut_down(container, "echo_asgi.py")


LAST_MOMENTS = """
import atexit, os, time

def linger(name):
    os.write(2, f"worker {os.getpid()} is at {name}\\n".encode())
    while not os.path.exists(f"/tmp/{name}"):
        time.sleep(0.01)

atexit.register(linger, "exit-hook")
"""


@pytest.mark.parametrize(("kind", "loop"), [("asgi", "uvloop"), ("asgi", "asyncio"), ("wsgi", "")])
def test_a_second_signal_finds_a_worker_in_its_last_moments(start, mount, kind, loop):
    """It ends what it is at, also when the event loop or the interpreter has taken its handlers away."""
    conf = "def worker_exit(server, worker):\n    from main import linger\n    linger('worker-exit')\n"
    volumes = mount("/app/main.py", LAST_MOMENTS + KINDS[kind]) | mount("/app/gunicorn_conf.py", conf)
    container = start(volumes=volumes, environment={"WORKERS": "1", "UVICORN_LOOP": loop}).wait_ready()
    container.signal("TERM")
    for moment in ("worker-exit", "exit-hook"):
        pid = container.wait_for_log(rf"(?<=worker )\d+(?= is at {moment})")
        container.run("sh", "-c", f"kill -TERM {pid}; touch /tmp/{moment}")

    assert container.wait_exit() == 0


# --- What the application leaves behind ---


THREAD = """
import threading, time
threading.Thread(target=time.sleep, args=(3600,)).start()
"""


@pytest.mark.parametrize("preload", ["true", "false"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_thread_holds_no_end_up(start, mount, kind, preload):
    environment = {"PRELOAD_APP": preload, "GRACEFUL_TIMEOUT": "12"}
    allow = ("PRELOAD_APP: the import made what does not survive the fork",)
    volumes = mount("/app/main.py", THREAD + KINDS[kind])
    container = start(volumes=volumes, environment=environment, allow=allow).wait_ready()

    assert ended(container) == 0
    assert "Killed" not in container.logs()


@pytest.mark.parametrize("preload", ["true", "false"])
def test_a_thread_holds_no_failed_start_up(start, mount, preload):
    volumes = mount("/app/main.py", THREAD + KINDS["wsgi"] + "import nothing_of_this_name")
    container = start(volumes=volumes, environment={"PRELOAD_APP": preload, "GRACEFUL_TIMEOUT": "12"}, allow=("",))

    assert container.wait_exit() == 1
    assert container.logs().count("No module named 'nothing_of_this_name'") == 1


@pytest.mark.parametrize(("last", "status"), [("", 0), ("import nothing_of_this_name", 1)])
def test_a_thread_holds_no_check_up(finish, mount, last, status):
    assert finish(command=["check"], volumes=mount("/app/main.py", THREAD + KINDS["wsgi"] + last)).status == status


INTERRUPTED = """
import os, signal, uvloop

make = uvloop.new_event_loop

def be_told():
    loop = make()
    try:
        os.close(os.open("/tmp/told", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return loop
    os.kill(os.getpid(), signal.SIGQUIT)
    return loop

uvloop.new_event_loop = be_told
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_is_told_while_it_makes_its_event_loop_closes_it(start, mount, kind):
    """What nobody closes, uvloop complains of."""
    container = start(volumes=mount("/app/main.py", INTERRUPTED + KINDS[kind]), environment={"WORKERS": "1"})
    wait_until(lambda: container.logs().count("Booting worker") == 2, "the next worker")
    container.wait_ready()

    assert container.stop() == 0


BOOTING = """
import os, signal

try:
    os.close(os.open("/tmp/told", os.O_CREAT | os.O_EXCL))
    os.kill(os.getpid(), signal.SIGTERM)
except FileExistsError:
    pass
"""


def test_a_worker_of_gunicorns_on_an_event_loop_ends_when_it_is_told_while_it_boots(start, mount):
    """Its handlers are the event loop's, which takes no signal before it runs."""
    container = start(
        volumes=mount("/app/main.py", BOOTING + KINDS["asgi"]),
        environment={"WORKERS": "1", "WORKER_CLASS": "asgi"},
        allow=("is not the image's",),
    )
    wait_until(lambda: container.logs().count("Booting worker") == 2, "the next worker")
    container.wait_ready()

    assert container.stop() == 0


BULKY = """
import os, time

class Bulky:
    def __del__(self, write=os.write, sleep=time.sleep):
        write(2, b"taken apart\\n")
        sleep(3600)

bulky = Bulky()
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_is_not_taken_apart(start, mount, kind):
    """A large application's modules take seconds to, when everything that matters is done."""
    environment = {"WORKERS": "1", "GRACEFUL_TIMEOUT": str(GRACEFUL)}
    container = start(volumes=mount("/app/main.py", BULKY + KINDS[kind]), environment=environment).wait_ready()

    assert ended(container) == 0
    assert "taken apart" not in container.logs()


@pytest.mark.parametrize(("last", "warned"), [("paddock serve", True), ("exec paddock serve", False)])
def test_a_shell_that_is_pid_1_is_warned_of(start, mount, last, warned):
    """It hands on no signal, so a stop would wait for nothing."""
    volumes = mount("/app/main.py", KINDS["wsgi"])
    container = start(command=["sh", "-c", f"true && {last}; true"], volumes=volumes, allow=("PID 1 is sh",))
    container.wait_for_log("Ready")

    said = "PID 1 is sh, which hands on no signal" in container.logs()
    assert said is warned
