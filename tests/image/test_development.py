"""RELOAD=true: what a change does, what broken code does, what Ctrl-C does."""

import re
from contextlib import ExitStack, suppress

import httpx
import pytest
from websockets.sync.client import connect as connect_websocket

from conftest import wait_until
from sources import ASGI, SOURCES, WSGI
from wire import asking, received_until

RELOAD = {"RELOAD": "true", "GRACEFUL_TIMEOUT": "3600"}
"""Workers that hang are killed after three seconds, whatever GRACEFUL_TIMEOUT says; no test waits for that."""


@pytest.fixture
def develop(start, folder):
    """Start a server that watches the folder."""

    def run(allow=(), **options):
        environment = RELOAD | options.pop("environment", {})
        volumes = {str(folder.path): {"bind": "/app", "mode": options.pop("mode", "rw")}}
        return start(volumes=volumes, environment=environment, allow=allow, **options)

    return run


def answers(container, text):
    """Whether the application answers so; a worker that goes may cut the request off."""
    with suppress(httpx.HTTPError):
        return container.get().text == text


def reloads(container):
    """Return what the log says of every reload."""
    return re.findall(r"Reloading: (.+)", container.logs())


# --- Changes ---


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("source", "options"),
    [
        (ASGI, {}),
        (WSGI, {"mode": "ro", "read_only": True, "user": "12345:12345"}),
        (WSGI, {"environment": {"WATCHFILES_FORCE_POLLING": "true"}}),
    ],
    ids=["asgi", "read-only", "polling"],
)
def test_every_kind_of_change(develop, folder, source, options):
    folder.code(source, "b'old'")
    container = develop(**options).wait_ready()
    assert container.get().text == "old"
    assert "/app; WORKERS=1, TIMEOUT=0, BOOT_TIMEOUT=0 unless" in container.logs()

    # Of one length, in one second perhaps: Python's own cache could not tell them apart.
    for text in ("new", "two"):
        folder.code(source, f"b'{text}'")
        wait_until(lambda text=text: answers(container, text), f"the code that says {text}")
    # As editors save: another file in the place of the first.
    folder.write("main.py~", source.format(first="import shop", answer="shop.name"))
    folder.write("shop.py", "name = b'shop'")
    (folder.path / "main.py~").rename(folder.path / "main.py")
    wait_until(lambda: answers(container, "shop"), "the code that was moved there")
    # A package in the place of a module.
    (folder.path / "shop").mkdir()
    folder.write("shop/__init__.py", "name = b'package'")
    (folder.path / "shop.py").unlink()
    wait_until(lambda: answers(container, "package"), "the package")

    assert len(reloads(container)) == 4, container.logs()
    assert not list(folder.path.rglob("__pycache__"))
    assert container.stop() == 0


def test_many_files_at_once_are_one_change(develop, folder):
    folder.code(ASGI, "b'old'")
    container = develop().wait_ready()
    for number in range(200):
        folder.write(f"module_{number}.py", "")
    folder.code(ASGI, "b'new'")
    wait_until(lambda: answers(container, "new"), "the new code")

    assert reloads(container) == ["main.py, module_0.py, module_1.py and 198 more changed"]


def test_what_does_not_matter(develop, folder):
    folder.code(ASGI, "b'old'")
    for directory in ("static", "tests", "env", ".git", "web/node_modules", "templates"):
        (folder.path / directory).mkdir(parents=True)
    folder.write("env/pyvenv.cfg", "")
    environment = {
        "RELOAD_DIRS": "/app,/usr/local/share",
        "RELOAD_INCLUDES": "*.html,.env",
        "RELOAD_EXCLUDES": "tests, *_pb2.py",
    }
    container = develop(environment=environment).wait_ready()
    for name in ("a.txt", "a_pb2.py", ".b.py", "env/a.py", ".git/a.py", "web/node_modules/a.py", "tests/a.py"):
        folder.write(name, "")
    folder.write("templates/a.html", "")
    folder.write(".env", "")
    container.wait_for_log("Reloading")

    assert reloads(container) == [".env, templates/a.html changed"]


@pytest.mark.parametrize("workers", ["1", "3"])
def test_all_workers_are_new(develop, folder, workers):
    folder.code(ASGI, "b'%d' % os.getpid()")
    container = develop(environment={"WORKERS": workers} if workers != "1" else {}).wait_ready()

    def pids():
        with suppress(httpx.HTTPError):
            return {container.get().text for _ in range(20)}
        return set()

    old = wait_until(lambda: len(found := pids()) == int(workers) and found, f"{workers} workers")
    folder.write("another.py", "")
    new = wait_until(lambda: len(found := pids()) == int(workers) and not found & old and found, "new workers")
    assert len(new) == int(workers)


def test_a_request_in_flight_does_not_keep_the_old_code(develop, folder):
    """Nor does one that blocks the event loop, as a debugger does."""
    slow = "import time\nasync def wait(): time.sleep(600)"
    folder.code(ASGI, "(await wait()) if scope['path'] == '/slow' else b'old'", slow)
    container = develop().wait_ready()
    with asking(container.address, "/slow"):
        folder.code(ASGI, "b'new'")
        wait_until(lambda: answers(container, "new"), "the new code")
    assert re.search(r"INFO.*did not leave within 3 seconds: killed", container.logs())


def test_requests_wait_for_the_new_code(develop, folder):
    folder.code(ASGI, "b'old'")
    container = develop().wait_ready()
    folder.code(ASGI, "b'new'", "import time\nprint('importing', flush=True)\ntime.sleep(2)")
    container.wait_for_log("importing")
    assert container.get().text == "new"


# --- Broken code ---

BROKEN = {
    "def broken(:": "SyntaxError: invalid syntax",
    "import nothing_of_that_name": "`nothing_of_that_name` is not installed",
    "raise SystemExit(1)": "main called exit while it was imported",
    "os._exit(1)": "ended with exit status 1",
    "os.kill(os.getpid(), 11)": "was ended by SIGSEGV",
}
FAILING_STARTUP = ASGI.replace('message["type"] + ".complete"', '"lifespan.startup.failed", "message": "no database"')


def failures(container):
    """Return how often the application has failed to start."""
    return container.logs().count("Waiting for a change")


@SOURCES
def test_broken_code_waits_for_a_change(develop, folder, source):
    """At the first start and later, any number of times: the server neither ends nor tries again and again."""
    folder.code(source, "b'old'", "1 / 0")
    container = develop(allow=("",))
    for number, (first, reason) in enumerate({"1 / 0": "ZeroDivisionError: division by zero", **BROKEN}.items(), 1):
        folder.code(source, "b'broken'", first)
        wait_until(lambda number=number: failures(container) == number, f"the failure of {first}")
        answer = container.get()
        assert answer.status_code == 503
        assert answer.text.startswith("The application does not start, and the log says why.")
        assert container.logs().count(reason) == 1, container.logs()

    folder.code(source, "b'mended'")
    wait_until(lambda: answers(container, "mended"), "the mended code")
    assert len(re.findall("Booting worker", container.logs())) == len(BROKEN) + 2
    assert container.stop() == 0


def test_failing_startup_waits_for_a_change(develop, folder):
    folder.code(ASGI, "b'old'")
    container = develop(allow=("Application startup failed", "no database")).wait_ready()
    folder.code(FAILING_STARTUP, "b'broken'")
    wait_until(lambda: failures(container) == 1, "the failure")
    assert container.get().status_code == 503

    # What was wrong may be elsewhere, a database perhaps: SIGHUP tries again.
    container.signal("HUP")
    wait_until(lambda: failures(container) == 2, "another failure")
    folder.code(ASGI, "b'mended'")
    wait_until(lambda: answers(container, "mended"), "the mended code")


def test_broken_configuration_waits_for_a_change(develop, folder):
    folder.code(ASGI, "b'%d' % os.getpid()")
    container = develop(allow=("gunicorn_conf.py: line 1",)).wait_ready()
    folder.write("gunicorn_conf.py", "workers = many")
    wait_until(lambda: failures(container) == 1, "the failure")
    assert container.get().status_code == 503

    folder.write("gunicorn_conf.py", "workers = 2")
    wait_until(lambda: container.logs().count("Ready") == 2, "the mended configuration")
    wait_until(lambda: len({container.get().text for _ in range(10)}) == 2, "two workers")


def test_a_later_worker_that_fails_is_no_end(develop, folder):
    """One that serves goes on; without RELOAD five such deaths end the server."""
    first = "if os.path.exists('/tmp/first'): raise SystemExit(1)\nopen('/tmp/first', 'w').close()"
    folder.code(ASGI, "b'here'", first)
    container = develop(environment={"WORKERS": "3"}, allow=("",)).wait_ready()
    wait_until(lambda: failures(container) == 1, "the failure")
    assert answers(container, "here")
    assert container.logs().count("Booting worker") <= 3


def test_without_its_watcher_the_server_ends(develop, folder):
    folder.code(ASGI, "b'here'")
    container = develop(allow=("",)).wait_ready()
    container.run("sh", "-c", "kill -9 $(ls /proc | grep -E '^[0-9]+$' | sort -n | sed -n 2p)")
    assert container.wait_exit() == 1
    assert "the process that watches for changes has ended" in container.logs()


# --- Ctrl-C ---

TERMINAL = {"tty": True, "stdin_open": True}


def ctrl_c(container):
    """Press Ctrl-C in the container's terminal, twice; return its exit status."""
    with container.raw.attach_socket(params={"stdin": 1, "stream": 1}) as terminal, terminal._sock as keys:
        keys.sendall(b"\x03")
        container.wait_for_log("Worker exiting|Shutting down|did not stop")
        keys.sendall(b"\x03")
        return container.wait_exit()


@pytest.mark.smoke
@pytest.mark.parametrize("app", ["echo_asgi.py", "echo_wsgi.py"])
def test_ctrl_c_with_everything_open(start, app):
    allow = ("Cancel [0-9]+ running task", "cut off", "Cut off")
    container = start(app, environment=RELOAD, allow=allow, **TERMINAL).wait_ready()
    address = container.address
    with ExitStack() as connections:
        connections.enter_context(asking(address, "/slow?seconds=600"))
        for path in ("/stream?seconds=600&parts=2", "/"):
            received_until(connections.enter_context(asking(address, path)), b"\r\n\r\n")
        if app == "echo_asgi.py":
            connections.enter_context(connect_websocket(f"ws://{address}:8000/", proxy=None))
        container.wait_for_log("slow begins")
        status = ctrl_c(container)
    assert status == 0
    assert "atexit ran" in container.logs()
    if app == "echo_asgi.py":
        assert "lifespan.shutdown" in container.logs()


@pytest.mark.parametrize(
    ("first", "sign"),
    [
        ("def broken(:", "Waiting for a change"),
        ("import time\nprint('importing', flush=True)\ntime.sleep(600)", "importing"),
    ],
    ids=["broken", "in the middle of a reload"],
)
@SOURCES
def test_ctrl_c_without_a_worker(develop, folder, source, first, sign):
    folder.code(source, "b'old'")
    container = develop(allow=("ERROR|Error|Traceback",), **TERMINAL).wait_ready()
    folder.code(source, "b'new'", first)
    container.wait_for_log(sign)

    status = ctrl_c(container)
    assert status == 0


def test_ctrl_c_with_a_blocked_event_loop(start):
    container = start("echo_asgi.py", environment=RELOAD, allow=("ERROR",), **TERMINAL).wait_ready()
    with asking(container.address, "/block?seconds=600"):
        container.wait_for_log("block begins")
        status = ctrl_c(container)
    assert status == 1
    assert "did not stop within 3 seconds" in container.logs()
