"""LOG_CONFIG is obeyed whole, or refused by name; log files that cannot be written are refused."""

import json

import pytest

from conftest import wait_until
from events import json_events, said

CONSOLE = {
    "version": 1,
    "formatters": {
        "json": {"()": "paddock.logs.formats.JsonFormatter"},
        "mine": {"format": "MINE %(name)s %(message)s"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "mine"}},
    "root": {"handlers": ["console"]},
}
TOML = """
version = 1
[formatters.mine]
format = "MINE %(name)s %(message)s"
[handlers.console]
class = "logging.StreamHandler"
formatter = "mine"
[root]
handlers = ["console"]
"""
SPELLINGS = {"json": json.dumps(CONSOLE), "toml": TOML, "py": f"LOGGING = {CONSOLE!r}\n"}

APPS = {"uvicorn": "main:asgi", "gthread": "main:wsgi", "sync": "main:wsgi"}


@pytest.mark.parametrize("worker", APPS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_line_is_as_it_says(start, mount, spelling, worker):
    path = f"/etc/log.{spelling}"
    environment = {"LOG_CONFIG": path, "APP_MODULE": APPS[worker], "WORKER_CLASS": worker, "WORKERS": "1"}
    container = start("loud.py", environment=environment, volumes=mount(path, SPELLINGS[spelling]), allow=("",))
    container.wait_for_log("MINE gunicorn.error Ready")
    container.get("/thread")
    container.wait_for_log(r"MINE python Uncaught exception in thread orders: LookupError")
    container.wait_for_log(r"MINE gunicorn.access .*GET /thread")
    container.wait_for_log("MINE shop imported")
    container.wait_for_log("MINE py.warnings .*a Python warning")
    container.stop()

    assert container.logs(stderr=False) == ""
    lines = container.logs().splitlines()
    assert all(line.startswith(("MINE ", "Traceback", "  ", "LookupError")) or not line for line in lines), lines
    assert len([line for line in lines if line.endswith("Ready")]) == 1


def test_the_images_formatter_and_files(start, folder):
    config = CONSOLE | {
        "handlers": {"file": {"class": "logging.FileHandler", "filename": "/app/log", "formatter": "json"}},
        "root": {"handlers": ["file"]},
    }
    (folder.path / "log.json").write_text(json.dumps(config))
    folder.write("main.py", 'def app(environ, start_response):\n    start_response("200 OK", [])\n    return []\n')
    environment = {"LOG_CONFIG": "/app/log.json", "WORKERS": "1"}
    container = start(volumes=folder.volumes, environment=environment)
    log = folder.path / "log"
    wait_until(lambda: log.exists() and '"Ready"' in log.read_text(), "the log")
    container.get("/")
    wait_until(lambda: "GET / " in log.read_text(), "the access log")
    container.stop()

    assert container.logs() == ""
    assert {"gunicorn", "gunicorn.access", "uvicorn"} == {event["logger"] for event in json_events(log.read_text())}


@pytest.mark.smoke
def test_it_is_read_again_on_hup_and_refused_when_it_is_broken(start, folder):
    folder.write("main.py", 'def app(environ, start_response):\n    start_response("200 OK", [])\n    return []\n')
    folder.write("log.json", SPELLINGS["json"])
    environment = {"LOG_CONFIG": "/app/log.json", "WORKERS": "1"}
    container = start(volumes=folder.volumes, environment=environment, allow=("",))
    container.wait_for_log("MINE gunicorn.error Ready")
    folder.write("log.json", "{")
    container.signal("HUP")
    container.wait_for_log("MINE gunicorn.error LOG_CONFIG='/app/log.json': line 1: ")
    container.wait_for_log("MINE gunicorn.error The reload is refused")
    folder.write("log.json", SPELLINGS["json"].replace("MINE", "OTHER"))
    container.signal("HUP")
    container.wait_for_log("OTHER gunicorn.error Reloaded")

    assert container.get("/").status_code == 200


WRONG = {
    "missing": ("/config/log.json", None, "does not exist; expected the path of a .json, .toml or .py file"),
    "folder": ("/etc", None, "expected the path of a .json, .toml or .py file that can be read"),
    "other kind": ("/etc/passwd", None, "expected the path of a .json, .toml or .py file that can be read"),
    "syntax of JSON": ("/config/log.json", '{\n"version" 1}', "line 2: Expecting ':' delimiter"),
    "syntax of TOML": ("/config/log.toml", "version = 1\nroot = \n", "line 2"),
    "syntax of Python": ("/config/log.py", "LOGGING = (\n", "SyntaxError"),
    "no dictionary": ("/config/log.json", "[]", "holds a list, no dictionary"),
    "no name": ("/config/log.py", "OTHER = {}\n", "sets no LOGGING"),
    "no version": ("/config/log.json", "{}", "dictionary doesn't specify a version"),
    "handler": (
        *("/config/log.json", '{"version": 1, "handlers": {"x": {"class": "nope.X"}}}'),
        "Unable to configure handler 'x': Cannot resolve 'nope.X': No module named 'nope'",
    ),
    "file": (
        *("/config/log.json", '{"version": 1, "handlers": {"x": {"class": "logging.FileHandler", "filename": "/x"}}}'),
        "Unable to configure handler 'x': cannot be written by user 10001",
    ),
}


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize(("path", "text", "reason"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(attempt, mount, path, text, reason, command):
    outcome = attempt(
        "loud.py",
        [command],
        environment={"LOG_CONFIG": path, "APP_MODULE": "main:asgi"},
        volumes=mount(path, text) if text else {},
    )

    assert outcome.status == 78
    (message,) = said(outcome.err)
    assert message.startswith(f"LOG_CONFIG='{path}': ")
    assert reason in message


def test_a_file_that_cannot_be_read(attempt, mount):
    outcome = attempt(
        "loud.py", environment={"LOG_CONFIG": "/config/log.json"}, volumes=mount("/config/log.json", "{}", 0o600)
    )

    assert outcome.status == 78
    assert "LOG_CONFIG='/config/log.json': cannot be read by user 10001" in outcome.err


OTHERS = ("GUNICORN_LOGCONFIG", "GUNICORN_LOGCONFIG_JSON", "GUNICORN_LOGCONFIG_DICT")


@pytest.mark.parametrize("other", OTHERS)
def test_not_beside_gunicorns_own(attempt, mount, other):
    value = '{"version": 1}' if other.endswith("DICT") else "/config/log.json"
    environment = {"LOG_CONFIG": "/config/log.json", other: value, "APP_MODULE": "main:asgi"}
    outcome = attempt("loud.py", environment=environment, volumes=mount("/config/log.json", SPELLINGS["json"]))

    assert outcome.status == 78
    expected = f"LOG_CONFIG='/config/log.json': {other} configures logging, too: unset one of them"
    assert said(outcome.err) == [expected]


def test_gunicorns_own_goes_on_working(start, mount):
    path = "/etc/log.json"
    # Gunicorn adds the sections that a file leaves out; its own loggers name handlers that this one does not have.
    config = json.dumps(CONSOLE | {"loggers": {}})
    environment = {"GUNICORN_LOGCONFIG_JSON": path, "APP_MODULE": "main:wsgi", "WORKERS": "1"}
    container = start("loud.py", environment=environment, volumes=mount(path, config), allow=("",))

    container.wait_for_log("Ready")
    container.wait_for_log("MINE shop imported")


# --- ACCESS_LOG, ERROR_LOG ---


UNWRITABLE = {
    "folder": ("/etc", "is a directory"),
    "no folder": ("/nope/log", "the directory '/nope' does not exist"),
    "file of another": ("/etc/passwd", "cannot be written by user 10001"),
    "folder of another": ("/etc/log", "cannot be written by user 10001"),
}


@pytest.mark.parametrize("name", ["ACCESS_LOG", "ERROR_LOG"])
@pytest.mark.parametrize(("path", "reason"), UNWRITABLE.values(), ids=UNWRITABLE)
def test_a_log_that_cannot_be_written_is_refused(attempt, name, path, reason):
    outcome = attempt("loud.py", environment={name: path, "APP_MODULE": "main:asgi"})

    assert outcome.status == 78
    expected = "expected -, none, or the path of a file that can be written"
    (message,) = said(outcome.err)
    assert message.startswith(f"{name}='{path}': {reason}; {expected}")


def test_a_read_only_file_system_is_named(finish):
    outcome = finish("loud.py", environment={"ERROR_LOG": "/tmp/log"}, read_only=True)

    assert outcome.status == 78
    assert "ERROR_LOG='/tmp/log': is on a read-only file system; expected" in outcome.err
