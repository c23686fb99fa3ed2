"""What `docker run IMAGE …` does: serve, check, config, settings, health, and any other command untouched."""

import json
import re
from contextlib import suppress

import httpx
import pytest

from conftest import wait_until
from events import said, text_events
from paddock.settings.table import SETTINGS

# Serving


@pytest.mark.parametrize(
    ("command", "workers"),
    [
        ([], 1),
        (["serve"], 1),
        (["main:app"], 1),
        (["serve", "main:app"], 1),
        (["--workers", "2"], 2),
        (["-w2"], 2),
        (["serve", "--workers=2", "main:app"], 2),
        (["main:app", "--workers", "2", "--uvicorn-server-header", "true"], 2),
    ],
)
def test_serves(start, command, workers):
    container = start("observed.py", command, environment={"WORKERS": "1"}).wait_ready()

    assert container.get().status_code == 200
    wait_until(lambda: container.workers() >= workers, f"{workers} workers")
    assert container.workers() == workers


def test_serves_the_application_that_is_named(start, mount):
    other = mount(
        "/app/other.py",
        "def create_app(name):\n    def app(environ, start_response):\n        "
        "start_response('200 OK', [])\n        return [name.encode()]\n    return app\n",
    )
    container = start("observed.py", ["other:create_app('by name')"], volumes=other).wait_ready()

    assert container.get().text == "by name"


# check


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("app", "environment", "said"),
    [
        ("observed.py", {"WORKERS": "3"}, "main:app: ASGI 3, served by 3 workers of class uvicorn"),
        ("observed_wsgi.py", {"WORKERS": "1"}, "main:app: WSGI, served by 1 worker"),
        ("observed_wsgi.py", {"WORKER_CLASS": "sync", "WORKERS": "2"}, "served by 2 workers of class gthread"),
        ("observed.py", {"APP_MODULE": "main:app", "PRELOAD_APP": "true"}, "main:app: ASGI 3"),
    ],
)
def test_check(attempt, app, environment, said):
    outcome = attempt(app, ["check"], environment=environment)

    assert outcome.status == 0, outcome.err
    assert said in outcome.out
    assert len(outcome.out.splitlines()) == 1
    assert outcome.err == ""


def test_check_finds_no_application(attempt):
    outcome = attempt(command=["check"])

    assert outcome.status == 78
    assert outcome.out == ""
    (event,) = text_events(outcome.err)
    assert event.logger == "paddock"
    assert "no application found in /app" in event.message


def test_check_serves_nothing_and_takes_flags(attempt):
    outcome = attempt("observed.py", ["check", "--worker-class", "gthread"])

    assert outcome.status == 78
    assert "serves WSGI applications only" in outcome.err
    assert "lifespan.startup" not in outcome.out
    assert "Listening" not in outcome.err


def test_check_finds_everything_that_a_start_would(attempt):
    outcome = attempt(
        "observed.py", ["check"], environment={"WORKERS": "four", "REQUIRED_ENV": "A", "CERTFILE": "/nope"}
    )

    assert outcome.status == 78
    assert len(outcome.err.splitlines()) == 3


# config and settings


def test_config_is_complete(attempt):
    outcome = attempt(command=["config", "--json"])

    names = [row["name"] for row in json.loads(outcome.out)]
    assert outcome.status == 0
    assert {setting.name for setting in SETTINGS} <= set(names)
    assert {"GUNICORN_BACKLOG", "GUNICORN_UMASK"} <= set(names)
    assert len(names) == len(set(names))


def test_config_does_not_show_secrets(attempt, mount):
    outcome = attempt(
        command=["config", "--json"],
        environment={"KEYFILE_PASSWORD_FILE": "/run/secrets/it", "GUNICORN_RAW_ENV": "DB_PASSWORD=hunter2"},
        volumes=mount("/run/secrets/it", "hunter2"),
    )

    assert outcome.status == 0
    assert "hunter2" not in outcome.out + outcome.err
    rows = {row["name"]: row for row in json.loads(outcome.out)}
    assert rows["KEYFILE_PASSWORD"]["origin"] == "/run/secrets/it"
    assert rows["KEYFILE_PASSWORD"]["value"]


@pytest.mark.smoke
def test_settings_as_a_table(attempt):
    outcome = attempt(command=["settings"])

    lines = outcome.out.splitlines()
    assert outcome.status == 0
    assert lines[0].split() == ["NAME", "DEFAULT", "EXPECTED", "HELP"]
    assert [line.split()[0] for line in lines[1:]] == [setting.name for setting in SETTINGS]


def test_settings_as_json(attempt):
    outcome = attempt(command=["settings", "--format", "json"])

    rows = json.loads(outcome.out)
    assert outcome.status == 0
    assert [row["name"] for row in rows] == [setting.name for setting in SETTINGS]
    assert all(row["help"] and row["expected"] and row["section"] for row in rows)


def test_settings_as_markdown(attempt):
    outcome = attempt(command=["settings", "--format=markdown"])

    assert outcome.status == 0
    assert re.findall(r"^\| `(\w+)`", outcome.out, re.MULTILINE) == [setting.name for setting in SETTINGS]
    assert all(len(re.split(r"(?<!\\)\|", row)) == 6 for row in outcome.out.splitlines() if row.startswith("|"))


def test_settings_in_an_unknown_format_are_refused(attempt):
    outcome = attempt(command=["settings", "--format", "xml"])

    assert outcome.status != 0
    assert "'xml'" in outcome.err
    assert "Traceback" not in outcome.err


def test_settings_ignores_a_wrong_configuration(attempt):
    assert attempt(command=["settings"], environment={"WORKERS": "four", "WEB_CONCURRENCY": "four"}).status == 0


# Help


@pytest.mark.parametrize("command", [["--help"], ["-h"], ["serve", "--help"]])
def test_help(attempt, command):
    outcome = attempt(command=command)

    assert outcome.status == 0
    assert outcome.err == ""
    for word in (
        "usage: paddock",
        "--workers",
        "--bind",
        "--uvicorn-lifespan",
        "check",
        "config",
        "settings",
        "health",
    ):
        assert word in outcome.out, word
    assert ":ref:" not in outcome.out, "markup of another project's documentation"


def test_version(attempt):
    outcome = attempt(command=["--version"])

    assert outcome.status == 0
    assert re.search(r"[Gg]unicorn.* 2\d\.", outcome.out)


def test_health_where_no_server_runs(attempt):
    outcome = attempt(command=["health"])

    assert outcome.status == 0
    assert outcome.out == "healthy: no Paddock server runs here, and nothing else is checked\n"


# Any other command


@pytest.mark.parametrize(
    ("command", "status", "out"),
    [
        (["echo", "a  b", "$HOME", "*", "--workers"], 0, "a  b $HOME * --workers\n"),
        (["sh", "-c", "exit 7"], 7, ""),
        (["python", "-c", "import sys; sys.exit(9)"], 9, ""),
        (["python", "-c", "import sys; print(sys.executable)"], 0, "/opt/venv/bin/python\n"),
        (["bash", "-c", "echo $0"], 0, "bash\n"),
        (["/bin/echo", "main:app"], 0, "main:app\n"),
        (["pwd"], 0, "/app\n"),
    ],
)
def test_any_other_command_is_run_untouched(attempt, command, status, out):
    outcome = attempt("observed.py", command, environment={"WORKERS": "four"})

    assert (outcome.status, outcome.out, outcome.err) == (status, out, "")


@pytest.mark.parametrize(
    ("command", "init", "status", "out"),
    [(["sh", "-c", "echo $$; exit 7"], False, 7, "1\n"), (["sh", "-c", "kill -TERM $$"], True, 143, "")],
)
def test_any_other_command_takes_the_place_of_the_entrypoint(finish, command, init, status, out):
    outcome = finish("observed.py", command, environment={"WORKERS": "four"}, init=init)

    assert (outcome.status, outcome.out, outcome.err) == (status, out, "")


def test_the_environment_of_other_commands_is_untouched(finish):
    through = finish(command=["env"], environment={"WORKERS": "4"}, hostname="it").out
    directly = finish(command=[], entrypoint=["env"], environment={"WORKERS": "4"}, hostname="it").out

    # Every shell sets PWD, and the entrypoint starts as one.
    assert set(through.splitlines()) - {"PWD=/app"} == set(directly.splitlines())


@pytest.mark.parametrize(
    ("command", "out"),
    [
        (
            ["sh", "-c", "echo $DB_PASSWORD ${DB_PASSWORD_FILE-gone} $API_KEY ${UNSET-no} $$"],
            "hunter2 gone direct no 1\n",
        ),
        (["grep", "-E", "Sig(Blk|Ign):", "/proc/self/status"], f"SigBlk:\t{0:016x}\nSigIgn:\t{0:016x}\n"),
        (["paddock", "check"], "main:app: ASGI 3, served by 1 worker of class uvicorn\n"),
    ],
)
def test_other_commands_have_the_secrets(finish, mount, command, out):
    environment = {
        "SECRETS_ENV": "DB_PASSWORD,API_KEY,UNSET",
        "DB_PASSWORD_FILE": "/run/secrets/db",
        "API_KEY": "direct",
        "WORKERS": "1",
    }
    outcome = finish("observed.py", command, environment=environment, volumes=mount("/run/secrets/db", "hunter2\n"))

    assert (outcome.status, outcome.out, outcome.err) == (0, out, "")


@pytest.mark.parametrize(
    ("command", "environment", "status", "said"),
    [
        (["pwd"], {"DB_PASSWORD_FILE": "/nope"}, 78, "DB_PASSWORD_FILE='/nope': cannot be read"),
        (["pwd"], {"DB_PASSWORD_FILE": "/etc/hostname", "DB_PASSWORD": "x"}, 78, "are both set"),
        (["pwd"], {"SECRETS_ENV": "A,,B"}, 78, "SECRETS_ENV='A,,B': an item of the list is empty"),
        (["gunicorn", "--version"], {"DB_PASSWORD_FILE": "/nope"}, 78, "DB_PASSWORD_FILE='/nope': cannot be read"),
        (["nope", "--flag"], {}, 127, "nope: not found"),
        (["/etc/passwd"], {}, 126, "/etc/passwd: Permission denied"),
    ],
)
def test_commands_that_cannot_have_the_secrets_or_cannot_be_run(attempt, command, environment, status, said):
    outcome = attempt(command=command, environment={"SECRETS_ENV": "DB_PASSWORD", **environment})

    assert (outcome.status, outcome.out) == (status, "")
    assert said in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_command_that_is_not_there(attempt):
    outcome = attempt(command=["nope", "--flag"])

    assert outcome.status == 127
    assert "nope: not found" in outcome.err


def test_a_shell_beside_the_server(start):
    container = start("observed.py").wait_ready()

    assert container.run("python", "-c", "import sys; print(sys.executable)") == "/opt/venv/bin/python\n"
    assert container.run("paddock", "health").startswith("healthy: ")
    assert "ASGI 3" in container.run("paddock", "check")


# The servers by their own names


def wait_for_answer(container):
    """Wait for an answer, where no log says that the server is ready."""

    def answer():
        with suppress(httpx.TransportError):
            return container.get()

    return wait_until(answer, "an answer")


@pytest.mark.smoke
def test_gunicorn_by_itself(start):
    container = start("observed_wsgi.py", ["gunicorn", "--bind", "0.0.0.0:8000", "--threads", "2", "main:app"])
    # Gunicorn's own default is a socket in the home directory, which is root's in the slim image.
    container.allow("Control server error")

    assert wait_for_answer(container).json()["thread"].startswith("ThreadPool")
    assert container.stop() == 0


@pytest.mark.smoke
def test_uvicorn_by_itself(start):
    container = start("observed.py", ["uvicorn", "--host", "0.0.0.0", "main:app"])

    assert wait_for_answer(container).json()["loop"] == "uvloop"
    container.stop()


@pytest.mark.parametrize("app", ["observed.py", "observed_wsgi.py"])
@pytest.mark.parametrize("shell", [False, True])
def test_gunicorn_with_the_images_configuration(start, app, shell):
    command = ["gunicorn", "-c", "/opt/paddock/gunicorn_conf.py", "main:app"]
    environment = {
        "WORKERS": "2",
        "PORT": "9000",
        "ROOT_PATH": "/api",
        "FORWARDED_ALLOW_IPS": "*",
        "LOG_FORMAT": "json",
        "UVICORN_SERVER_HEADER": "true",
        "ACCESS_LOG_FORMAT": "%(m)s!%(U)s",
    }
    container = start(app, ["sh", "-c", "exec " + " ".join(command)] if shell else command, environment=environment)

    def answer():
        with suppress(httpx.TransportError):
            return container.get(port=9000, headers={"X-Forwarded-Proto": "https"})

    got = wait_until(answer, "an answer")
    assert (got.json()["root_path"], got.json()["scheme"]) == ("/api", "https")
    if app == "observed.py":
        assert got.headers["server"] == "uvicorn"
    wait_until(lambda: sum("gunicorn" in command for command in container.processes()) >= 3, "two workers")
    container.wait_for_log('"message": "GET!/')
    assert container.stop() == 0
    assert all(json.loads(line) for line in container.logs(stdout=False).splitlines())


def test_gunicorn_with_the_images_configuration_refuses_wrong_values(attempt):
    outcome = attempt(
        "observed.py",
        ["gunicorn", "-c", "/opt/paddock/gunicorn_conf.py", "main:app"],
        environment={"WORKERS": "four", "TIMEOUT": "30s"},
    )

    assert outcome.status == 78
    assert sorted(said(outcome.err)) == [
        "TIMEOUT='30s': expected a whole number of seconds from 0 to 86400; "
        "if it is your application's, set IGNORE_ENV=TIMEOUT",
        "WORKERS='four': expected auto, or a whole number from 1 to 1024; "
        "if it is your application's, set IGNORE_ENV=WORKERS",
    ]


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_the_servers_own_version(attempt, server):
    outcome = attempt(command=[server, "--version"])

    assert outcome.status == 0
    assert server in outcome.out
