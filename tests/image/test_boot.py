"""What happens from the import to the first request: once for each worker, and once in the log when it fails."""

import re

import pytest

from conftest import wait_until
from events import text_events

SERVES = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})
"""

SERVES_WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "6")])
    return [b"served"]
"""

SERVER_FRAME = re.compile(r'File "[^"]*(/gunicorn/|/uvicorn/|/paddock/|importlib|/asyncio/|/uvloop/)')
"""A line of a traceback that is not the application's."""

HOW = [
    pytest.param({"WORKERS": "4"}, id="four"),
    pytest.param({"WORKERS": "4", "PRELOAD_APP": "true"}, id="preload"),
]

# Name: files beside `main.py`, its source, the traceback's last line, and the advice.
BROKEN = {
    "import-error": (
        {"main.py": "import settings_of_mine\n"},
        "ModuleNotFoundError: No module named 'settings_of_mine'",
        "`settings_of_mine` is not installed in the application's environment (/opt/venv): add it to your dependencies",
    ),
    "name": (
        {"main.py": "from json import dump, no_such_thing\n"},
        "ImportError: cannot import name 'no_such_thing' from 'json'",
        "a package of another version than the application expects, or modules that import each other?",
    ),
    "syntax": (
        {"main.py": "app = (\n"},
        "SyntaxError: '(' was never closed",
        "/app/main.py is not valid for Python 3.",
    ),
    "exception": (
        {"main.py": "import broken\napp = broken.app\n", "broken.py": "def connect():\n    1 / 0\n\nconnect()\n"},
        "ZeroDivisionError: division by zero",
        "the application failed while it was imported",
    ),
    "exit": (
        {"main.py": "import sys\nsys.exit(3)\n"},
        "SystemExit: 3",
        'main called exit while it was imported: keep that under `if __name__ == "__main__":`',
    ),
    "base-exception": (
        {"main.py": "class Quit(BaseException):\n    pass\n\nraise Quit('no')\n"},
        "main.Quit: no",
        "the application failed while it was imported",
    ),
    "silenced": (
        {"main.py": "import logging.config\nlogging.config.dictConfig({'version': 1})\n1 / 0\n"},
        "ZeroDivisionError: division by zero",
        "the application failed while it was imported",
    ),
    "factory": (
        {"main.py": "def create_app():\n    return len(5)\n"},
        "TypeError: object of type 'int' has no len()",
        "main:create_app() failed, which makes the application",
    ),
}


@pytest.mark.parametrize("environment", HOW)
@pytest.mark.parametrize("broken", BROKEN)
def test_failure_is_told_once(attempt, project, broken, environment):
    files, last_line, advice = BROKEN[broken]
    outcome = attempt(volumes=project(files), environment={"APP_MODULE": "main", **environment} | spec(broken))

    assert outcome.status == 1
    assert outcome.out == ""
    assert outcome.err.count(last_line) == 1, outcome.err
    assert not SERVER_FRAME.search(outcome.err), outcome.err
    assert outcome.err.count("Traceback (most recent call last)") == (0 if broken == "syntax" else 1), outcome.err
    (failure,) = [event for event in text_events(outcome.err) if event.level == "ERROR" and event.block]
    assert failure.message.startswith(advice)
    assert failure.block[-1].startswith(last_line)


def spec(broken):
    return {"APP_MODULE": "main:create_app"} if broken == "factory" else {}


@pytest.mark.smoke
@pytest.mark.parametrize("broken", BROKEN)
def test_check_tells_the_same(attempt, project, broken):
    files, last_line, advice = BROKEN[broken]
    outcome = attempt(command=["check"], volumes=project(files), environment={"APP_MODULE": "main"} | spec(broken))

    assert outcome.status == 1
    assert outcome.out == ""
    assert outcome.err.count(last_line) == outcome.err.count(advice) == 1
    (failure,) = text_events(outcome.err)
    assert failure.logger == "paddock"
    assert failure.message.startswith(advice)
    assert failure.block[-1].startswith(last_line)
    assert not SERVER_FRAME.search(outcome.err)


def test_traceback_has_every_frame_of_the_application(attempt, project):
    outcome = attempt(volumes=project(BROKEN["exception"][0]), environment={"APP_MODULE": "main"})

    frames = re.findall(r'File "([^"]*)", line (\d+)', outcome.err)
    assert frames == [("/app/main.py", "1"), ("/app/broken.py", "4"), ("/app/broken.py", "2")]


def test_application_that_is_named_for_a_server_is_not_taken_for_one(attempt, project):
    """Frames are left out by module, not by words in a path."""
    files = {"gunicorn_app/__init__.py": "", "gunicorn_app/main.py": "raise LookupError('mine')\n"}
    outcome = attempt(volumes=project(files), environment={"APP_MODULE": "gunicorn_app.main:app"})

    assert 'File "/app/gunicorn_app/main.py", line 1' in outcome.err


CRASHES = {
    "exit-1": "import os\nos._exit(1)\n",
    "exit-0": "import os\nos._exit(0)\n",
    "segfault": "import ctypes\nctypes.string_at(0)\n",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
}


@pytest.mark.parametrize(("crash", "workers"), [*((crash, "4") for crash in CRASHES), ("exit-1", "1")])
def test_crash_at_import_ends_the_container(finish, project, crash, workers):
    """Not the endless respawn of a server that nobody can reach."""
    files = {"main.py": CRASHES[crash] + SERVES}
    outcome = finish(volumes=project(files), environment={"WORKERS": workers})

    assert outcome.status == 1
    assert outcome.err.count("Booting worker") == 1
    assert outcome.err.count("before it could serve") == 1
    assert "Traceback" not in outcome.err
    # A crash is dumped with every frame, and nothing else shows the server's own.
    assert ('File "/opt/paddock' in outcome.err) == (crash == "segfault")


LIFESPAN_FAILS = """
async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""

LIFESPAN_RAISES = """
def connect():
    raise ConnectionError("no database")

async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    connect()
"""


@pytest.mark.parametrize("workers", ["1", "4"])
@pytest.mark.parametrize(
    ("source", "lifespan"), [(LIFESPAN_FAILS, "auto"), (LIFESPAN_FAILS, "on"), (LIFESPAN_RAISES, "on")]
)
def test_lifespan_that_fails_ends_the_start(attempt, project, source, lifespan, workers):
    environment = {"UVICORN_LIFESPAN": lifespan, "WORKERS": workers}
    outcome = attempt(volumes=project({"main.py": source}), environment=environment)

    assert outcome.status == 1
    assert outcome.err.count("ConnectionError: no database" if source is LIFESPAN_RAISES else "no database") == 1
    assert outcome.err.count("Booting worker") == 1
    assert "HaltServer" not in outcome.err


@pytest.mark.parametrize(
    ("bind", "status", "why"),
    [
        ("0.0.0.0:8000,127.0.0.1:8000", 1, "in use"),
        ("192.0.2.1:8000", 1, "Invalid address"),
        ("fd://99", 78, "BIND='fd://99': this descriptor is no socket"),
    ],
)
def test_an_address_that_cannot_be_listened_on_ends_the_start(finish, bind, status, why):
    outcome = finish("asgi.py", environment={"BIND": bind, "WORKERS": "1"})

    assert outcome.status == status
    assert why in outcome.err
    assert f"paddock: BIND='{bind}': " in outcome.err
    assert "Traceback" not in outcome.err
    assert "Ready" not in outcome.err


# Who imports it

COUNTED = """
import os
print(f"imported by {os.getpid()} child of {os.getppid()}", flush=True)
"""

FACTORY = (
    COUNTED
    + SERVES.replace("def app(", "def application(")
    + """
def create_app():
    print(f"made by {os.getpid()}", flush=True)
    return application
"""
)


@pytest.mark.smoke
@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_each_worker_imports_it_once_and_the_arbiter_never(start, project, kind):
    source = COUNTED + (SERVES if kind == "asgi" else SERVES_WSGI)
    container = start(volumes=project({"main.py": source}), environment={"WORKERS": "3"}).wait_ready()

    wait_until(lambda: container.logs().count("imported by") == 3, "three imports")
    container.get()
    imports = re.findall(r"imported by (\d+) child of (\d+)", container.logs())
    assert len({pid for pid, _ in imports}) == 3
    assert {parent for _, parent in imports} == {"1"}
    assert container.stop() == 0
    assert container.logs().count("imported by") == 3


def test_factory_is_called_once_in_each_worker(start, project):
    environment = {"WORKERS": "2", "APP_MODULE": "main:create_app"}
    container = start(volumes=project({"main.py": FACTORY}), environment=environment).wait_ready()

    wait_until(lambda: container.logs().count("made by") == 2, "two applications")
    for _ in range(5):
        assert container.get().text == "served"
    made = re.findall(r"made by (\d+)", container.logs())
    imported = re.findall(r"imported by (\d+)", container.logs())
    assert sorted(made) == sorted(imported)
    assert len(set(made)) == 2


def test_preload_imports_it_once_in_the_arbiter(start, project):
    environment = {"WORKERS": "3", "PRELOAD_APP": "true", "APP_MODULE": "main:create_app"}
    container = start(volumes=project({"main.py": FACTORY}), environment=environment).wait_ready()

    wait_until(lambda: container.workers() == 3, "three workers")
    for _ in range(5):
        assert container.get().text == "served"
    assert re.findall(r"(imported|made) by (\d+)", container.logs()) == [("imported", "1"), ("made", "1")]


SLOW_TO_SERVE = (
    """
import time
print("import begins", flush=True)
time.sleep(1.5)
print("import ends", flush=True)
"""
    + SERVES
)


def test_first_worker_boots_alone(start, project):
    """The others follow when it serves, and then together."""
    container = start(volumes=project({"main.py": SLOW_TO_SERVE}), environment={"WORKERS": "3"})

    container.wait_for_log("import begins")
    assert container.workers() == 1
    container.wait_ready()
    wait_until(lambda: container.logs().count("import ends") == 3, "three workers")
    events = re.findall(r"import begins|import ends|Ready", container.logs())
    assert events[0:2] == ["import begins", "import ends"]
    assert events.index("Ready") in (2, 3)
    # Both of the others had begun before one of them was done.
    assert [event for event in events if event != "Ready"][2:4] == ["import begins", "import begins"]


FAILS_LATER = (
    """
import os
from pathlib import Path
marker = Path("/tmp/first")
if marker.exists():
    raise RuntimeError("only the first can be imported")
marker.touch()
"""
    + SERVES
)


def test_workers_that_cannot_follow_end_the_server(finish, project):
    """The first serves and none of the others can: no endless respawn, and a reason."""
    outcome = finish(volumes=project({"main.py": FAILS_LATER}), environment={"WORKERS": "2"})

    assert outcome.status == 1
    assert "RuntimeError: only the first can be imported" in outcome.err
    assert outcome.err.count("Booting worker") <= 7
    assert "5 workers in 10 seconds ended before they could serve" in outcome.err


# How it is started

WRAPPED = "import os, sys; os.execvp('paddock', ['paddock', 'serve'])"


def test_started_by_a_wrapper(start):
    """As `opentelemetry-instrument paddock serve` does it."""
    container = start("asgi.py", ["python", "-c", WRAPPED], environment={"WORKERS": "1"}).wait_ready()

    assert container.get().json()["ppid"] == 1
    assert container.stop() == 0


@pytest.mark.parametrize("command", [None, ["python", "-c", WRAPPED]], ids=["plain", "wrapped"])
def test_sitecustomize_runs_first(start, project, command):
    """How agents for tracing and coverage get into the process, the arbiter and every worker."""
    hook = "import os, sys\nprint('sitecustomize of', os.path.basename(sys.argv[0] or '-'), flush=True)\nMARK = 1\n"
    source = "import sitecustomize\nassert sitecustomize.MARK == 1\n" + SERVES
    volumes = project({"main.py": source, "agent/sitecustomize.py": hook})
    container = start(command=command, volumes=volumes, environment={"PYTHONPATH": "/app/agent", "WORKERS": "1"})
    container.wait_ready()

    assert container.get().text == "served"
    assert "sitecustomize of" in container.logs()
    assert container.stop() == 0


def test_pythonpath_comes_before_what_is_installed(start, project):
    files = {"main.py": "from vendored import app\n", "lib/vendored.py": SERVES}
    container = start(volumes=project(files), environment={"PYTHONPATH": "/app/lib", "WORKERS": "1"}).wait_ready()

    assert container.get().text == "served"
