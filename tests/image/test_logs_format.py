"""One format for all that a container writes: in JSON every line parses, from the first to the last."""

from contextlib import suppress

import httpx
import pytest
from docker.errors import APIError

from conftest import wait_until
from events import json_events, text_events

WORKERS = {
    "uvicorn": {"APP_MODULE": "main:asgi"},
    "asgi": {"APP_MODULE": "main:asgi", "WORKER_CLASS": "asgi"},
    "gthread": {"APP_MODULE": "main:wsgi"},
    "sync": {"APP_MODULE": "main:wsgi", "WORKER_CLASS": "gunicorn.workers.sync.SyncWorker"},
}
"""Every worker class, and an application for it."""

JSON = {"LOG_FORMAT": "json", "WORKERS": "2", "APP_MODULE": "main:asgi"}


def events_of(container_or_outcome):
    """Every line of both outputs, each of which has to be an event."""
    logs = getattr(container_or_outcome, "logs", None)
    if logs:
        return json_events(logs(stdout=False)) + json_events(logs(stderr=False))
    return json_events(container_or_outcome.err) + json_events(container_or_outcome.out)


def only(events, **wanted):
    """The event that has the fields `wanted`, of which `message` is a part."""
    words = wanted.pop("message", "")
    found = [event for event in events if wanted.items() <= event.items() and words in event["message"]]
    assert len(found) == 1, events
    return found[0]


# --- Starts that fail ---


FAILURES = {
    "variable": ({"WORKERS": "four"}, None, 78, "WORKERS='four': expected auto"),
    "several": ({"WORKERS": "four", "TIMEOUT": "x"}, None, 78, "TIMEOUT='x': expected"),
    "flag": ({}, ["--workers", "x"], 78, "invalid int value: 'x'"),
    "unknown flag": ({}, ["--nope"], 78, "--nope"),
    "format as a flag": ({"LOG_FORMAT": "", "TIMEOUT": "x"}, ["--log-format", "json"], 78, "TIMEOUT='x'"),
    "unknown flag beside the format": ({"LOG_FORMAT": ""}, ["--nope", "--log-format", "json"], 78, "--nope"),
    "unknown argument beside the format": (
        {"LOG_FORMAT": "", "GUNICORN_CMD_ARGS": "--log-format=json --nope"},
        None,
        78,
        "--nope",
    ),
    "Gunicorn's arguments": ({"GUNICORN_CMD_ARGS": "--bind"}, None, 78, "--bind"),
    "ssl_version": ({"GUNICORN_SSL_VERSION": "5", "TIMEOUT": "x"}, None, 78, "TIMEOUT='x'"),
    "no application": ({"APP_MODULE": "nope:app"}, None, 1, "is nope copied there?"),
    "no attribute": ({"APP_MODULE": "main:nope"}, None, 1, "main has no attribute nope"),
    "import": ({"AT_IMPORT": "raise"}, None, 1, "the application failed while it was imported"),
    "import, preloaded": ({"AT_IMPORT": "raise", "PRELOAD_APP": "true"}, None, 1, "the application failed while"),
    "import, checked": ({"AT_IMPORT": "raise"}, ["check"], 1, "the application failed while it was imported"),
    "exit": ({"AT_IMPORT": "exit"}, None, 1, "main called exit while it was imported"),
    "crash": ({"AT_IMPORT": "crash"}, None, 1, "was ended by SIGSEGV"),
    "boot timeout": (
        {"AT_IMPORT": "sleep", "BOOT_TIMEOUT": "1"},
        None,
        1,
        "has not come to serve within BOOT_TIMEOUT=1",
    ),
    "boot timeout, GIL": ({"AT_IMPORT": "gil", "BOOT_TIMEOUT": "1"}, None, 1, "has not come to serve within"),
    "lifespan": ({"LIFESPAN": "startup", "UVICORN_LIFESPAN": "on"}, None, 1, "Application startup failed"),
    "lifespan says so": ({"LIFESPAN": "startup.failed"}, None, 1, "LookupError: in lifespan"),
    "secret": ({"SECRETS_ENV": "PW", "PW_FILE": "/nope"}, None, 78, "PW_FILE='/nope': cannot be read"),
    "worker class": ({"WORKER_CLASS": "nope"}, None, 78, "WORKER_CLASS='nope': cannot be loaded"),
    "no such command": ({}, ["nope"], 127, "nope: not found"),
    "no program": ({}, ["/etc/passwd"], 126, "/etc/passwd: Permission denied"),
}


@pytest.mark.parametrize(("environment", "command", "status", "said"), FAILURES.values(), ids=FAILURES)
def test_a_start_that_fails_says_so_in_json(attempt, environment, command, status, said):
    outcome = attempt("loud.py", command, environment=JSON | environment)

    assert outcome.status == status
    assert said in only(events_of(outcome), message=said)["message"]


FILES = {
    "hook that fails": ("/docker-entrypoint.d/1.sh", "#!/bin/sh\nexit 3\n", 0o755, 1, "1.sh failed with exit status 3"),
    "hook that is skipped": ("/docker-entrypoint.d/1.sh", "#!/bin/sh\n", 0o644, 78, "1.sh is skipped: it is not exec"),
    "syntax": ("/app/gunicorn_conf.py", "workers = \n", 0o644, 78, "gunicorn_conf.py: line 1: SyntaxError"),
    "value": ("/app/gunicorn_conf.py", "workers = 'x'\n", 0o644, 78, "workers (/app/gunicorn_conf.py)"),
    "format in the file": ("/app/gunicorn_conf.py", "log_format = 'json'\ntimeout = 'x'\n", 0o644, 78, "timeout (/app"),
    "hook of Gunicorn's": (
        *("/app/gunicorn_conf.py", "def post_fork(arbiter, worker):\n    1 / 0\n", 0o644),
        *(1, "The hook post_fork has failed"),
    ),
    "environment": ("/app/.venv/pyvenv.cfg", "", 0o644, 78, "/app/.venv is not used"),
}


@pytest.mark.parametrize(("path", "text", "mode", "status", "said"), FILES.values(), ids=FILES)
def test_a_file_that_is_wrong_is_named_in_json(attempt, mount, path, text, mode, status, said):
    # What is but a warning or a remark is seen in a start that fails for another reason.
    wrong = {"WORKERS": "four"} if path.startswith("/app/.venv") else {}
    wrong |= {"AT_IMPORT": "raise"} if "skipped" in said else {}
    outcome = attempt("loud.py", environment=JSON | wrong, volumes=mount(path, text, mode))

    assert outcome.status == (1 if wrong.get("AT_IMPORT") else status)
    assert only(events_of(outcome), message=said)


def test_a_port_that_is_taken(start, finish):
    first = start("loud.py", environment=JSON, allow=("a Python warning",))
    first.wait_for_log('"message": "Ready"')
    outcome = finish("loud.py", environment=JSON, network_mode=f"container:{first.raw.id}")

    assert outcome.status == 1
    assert any("8000" in event["message"] and event["level"] == "error" for event in events_of(outcome))


# --- Everything that can happen to a server ---


def ask(container, path):
    """Send a request that may have no answer."""
    with suppress(httpx.HTTPError):
        container.get(path)


SEEN = {
    "/log": {"level": "info", "logger": "shop", "message": "a line\nand another"},
    "/raise": {"level": "error"},
    "/destructor": {"level": "warning", "logger": "python", "message": "Fails.__del__"},
    "/thread": {"level": "error", "logger": "python", "message": "Uncaught exception in thread orders: LookupError"},
    "/crash": {"level": "error", "logger": "gunicorn", "message": "was ended by SIGSEGV"},
    "/kill": {"level": "error", "logger": "gunicorn", "message": "was killed by SIGKILL"},
    "/hang": {"level": "critical", "logger": "gunicorn", "message": "has been silent for TIMEOUT=3 seconds: killed"},
    "/gil": {"level": "critical", "logger": "gunicorn", "message": "has been silent for TIMEOUT=3 seconds: killed"},
}
"""The event, and there is one, of each path of the application."""


THREAD_HANGS = {"/hang": {"level": "info", "logger": "gunicorn", "message": "is replaced: one of its threads hangs"}}
"""What becomes of a worker whose event loop turns on."""


def seen(container, wanted, after=0):
    """Wait for the event that has the fields `wanted`, `after` so many others. The last line may be on its way yet."""
    return wait_until(
        lambda: [
            event
            for event in json_events(container.logs(stdout=False).rpartition("\n")[0])[after:]
            if {**wanted, "message": ""}.items() <= {**event, "message": ""}.items()
            and wanted.get("message", "") in event["message"]
        ],
        f"{wanted} in the log",
    )[-1]


@pytest.mark.smoke
@pytest.mark.parametrize("worker", WORKERS)
def test_a_whole_life_is_json(start, worker):
    environment = JSON | WORKERS[worker] | {"TIMEOUT": "3", "GRACEFUL_TIMEOUT": "2", "AT_EXIT": "1"}
    container = start("loud.py", environment=environment, allow=("",))
    seen(container, {"message": "Ready"})
    events_of_paths = SEEN | (THREAD_HANGS if worker == "gthread" else {})
    for path, wanted in events_of_paths.items():
        before = len(json_events(container.logs(stdout=False)))
        ask(container, path)
        seen(container, wanted, after=before)
        wait_until(lambda: container.workers() == 2, "two workers")
    if "asgi" in environment["APP_MODULE"]:
        ask(container, "/task")
        seen(container, {"logger": "asyncio", "level": "error"})
    for name, words in (
        ("HUP", "Reload"),
        ("TTIN", "Handling signal: ttin"),
        ("TTOU", "Handling signal: ttou"),
        ("USR1", "Handling signal: usr1"),
        ("USR2", "SIGUSR2 is not supported"),
    ):
        container.signal(name)
        seen(container, {"message": words})
    wait_until(lambda: container.workers() == 2, "two workers")
    container.stop()

    events = events_of(container)
    (imported, *_) = [event for event in events if event["message"] == "imported"]
    assert imported["time_"] == "extra"
    assert any(event["logger"] == "py.warnings" and "a Python warning" in event["message"] for event in events)
    assert any("in /app/main.py:" in event["message"] and "no number" in event["message"] for event in events)
    assert any(event["message"] == "x" * 100_000 for event in events)
    assert any("Segmentation fault" in event.get("stack", "") for event in events) or worker in ("asgi", "sync")
    assert [event["message"] for event in events if "Shutting down" in event["message"]]


@pytest.mark.parametrize("worker", ["uvicorn", "gthread"])
def test_a_dump_is_part_of_the_event(start, worker):
    environment = JSON | WORKERS[worker] | {"TIMEOUT": "3"}
    container = start("loud.py", environment=environment, allow=("",))
    seen(container, {"message": "Ready"})
    ask(container, "/gil")

    # By exit status or by SIGKILL: the one thread comes to see the signal, and another does not.
    event = seen(container, {"logger": "gunicorn", "level": "error", "message": "ended "})
    assert "Fatal Python error: Aborted" in event["stack"]
    assert "main.py" in event["stack"]


@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize("name", ["INT", "QUIT", "TERM"])
def test_every_way_to_stop_is_json(start, worker, name):
    container = start("loud.py", environment=JSON | WORKERS[worker], allow=("",))
    seen(container, {"message": "Ready"})
    container.signal(name)
    container.wait_exit()

    assert only(events_of(container), message="Shutting down: Master")


def test_a_shutdown_that_fails_is_json(start):
    environment = JSON | {"LIFESPAN": "shutdown", "UVICORN_LIFESPAN": "on", "WORKERS": "1"}
    container = start("loud.py", environment=environment, allow=("",))
    seen(container, {"message": "Ready"})
    container.stop()

    assert [event for event in events_of(container) if "LookupError: in lifespan" in event.get("exception", "")]


def test_a_reload_that_is_refused_is_json(start, folder):
    folder.write("main.py", 'def wsgi(environ, start_response):\n    start_response("200 OK", [])\n    return []\n')
    folder.write("gunicorn_conf.py", "threads = 2\n")
    environment = JSON | {"APP_MODULE": "main:wsgi"}
    container = start(environment=environment, volumes=folder.volumes, allow=("",))
    seen(container, {"message": "Ready"})
    folder.write("gunicorn_conf.py", "threads = 'x'\n")
    container.signal("HUP")
    seen(container, {"message": "The reload is refused"})
    folder.write("gunicorn_conf.py", "threads = \n")
    container.signal("HUP")
    seen(container, {"message": "line 1: SyntaxError"})
    container.stop()

    assert events_of(container)


def test_the_signals_of_the_end_find_who_listens(start):
    """asyncio's own event loop closes what signals are written to before it stops to listen."""
    environment = JSON | {"UVICORN_LOOP": "asyncio", "WORKERS": "1", "READY_PATH": "/ready"}
    for _ in range(3):
        container = start("loud.py", environment=environment, allow=("a Python warning",))
        seen(container, {"message": "Ready"})
        # Until it has ended.
        with suppress(APIError):
            for _ in range(20):
                container.signal("TERM")
        container.wait_exit()
        assert not [event for event in events_of(container) if "wakeup" in event["message"]]


# --- The application's own loggers ---


@pytest.mark.parametrize("preload", ["true", "false"])
@pytest.mark.parametrize("worker", WORKERS)
def test_loggers_of_the_application_speak_without_being_configured(start, worker, preload):
    environment = WORKERS[worker] | {"WORKERS": "1", "PRELOAD_APP": preload}
    allow = ("a Python warning", "is not the image's")
    container = start("loud.py", environment=environment, allow=allow).wait_ready()
    container.get("/log")
    container.wait_for_log("and another")

    events = text_events(container.logs(stdout=False))
    assert [event.message for event in events if event.logger == "shop"][:2] == ["imported", r"a line\nand another"]


def test_loggers_speak_in_a_check(attempt):
    outcome = attempt("loud.py", ["check"], environment={"APP_MODULE": "main:asgi"})

    assert outcome.status == 0
    assert [event.message for event in text_events(outcome.err) if event.logger == "shop"] == ["imported"]


def test_other_commands_have_logging_to_themselves(attempt):
    script = "import logging; logging.warning('mine')"
    outcome = attempt(command=["python", "-c", script], environment={"LOG_FORMAT": "json"})

    assert (outcome.status, outcome.err) == (0, "WARNING:root:mine\n")


# --- Text ---


@pytest.mark.smoke
@pytest.mark.parametrize("worker", WORKERS)
def test_text_is_one_line_an_event_and_indented_tracebacks(start, worker):
    container = start("loud.py", environment={"WORKERS": "1"} | WORKERS[worker], allow=("",)).wait_ready()
    for path in ("/log", "/raise", "/thread"):
        ask(container, path)
    container.wait_for_log("Uncaught exception in thread orders")
    container.wait_for_log("no such order")
    container.stop()

    events = text_events(container.logs(stdout=False))
    (failed,) = [event for event in events if "LookupError: no such order" in event.block]
    assert (failed.level, failed.block[-1]) == ("ERROR", "{}")
