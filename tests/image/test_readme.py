"""What the README shows happens: its messages are the image's, its hooks and its Gunicorn file work."""

import re
from pathlib import Path

import pytest

from events import said

README = (Path(__file__).parents[2] / "README.md").read_text()
TABLE = README.partition("## Troubleshooting")[2]
MESSAGES = [message.strip() for message in re.findall(r"^\| `{1,2}(.+?)`{1,2} \|", TABLE, re.MULTILINE)]

ASGI = "async def app(scope, receive, send): pass\n"
BROKEN = "raise ValueError\napp = None\n"

CAUSES = {
    "no application found in": {},
    "was read and has none": {"files": {"/app/main.py": "that = 1\n"}},
    "is not on Python's path": {"files": {"/app/src/py/shop/main.py": ASGI}, "command": ["shop.main:app"]},
    "nest_asyncio patches": {
        # What apply() leaves behind in asyncio.
        "files": {"/app/main.py": "import asyncio\nasyncio._nest_patched = True\n" + ASGI},
        "command": ["check"],
    },
    "as all that COPY brings is root's": {
        "files": {"/app/main.py": "raise PermissionError(13, 'Permission denied', '/app/shop.mo')\n" + ASGI},
        "command": ["check"],
    },
    "did you mean main:app?": {"files": {"/app/main.py": ASGI}, "command": ["nope.main:app"]},
    "is not installed in": {"files": {"/app/main.py": "import fastapi\napp = fastapi.FastAPI()\n"}},
    "serves WSGI applications only": {"files": {"/app/main.py": ASGI}, "environment": {"WORKER_CLASS": "gthread"}},
    "no setting has this name": {"environment": {"GUNICORN_WORKER": "4"}},
    "is set, which is no setting": {
        "files": {"/app/main.py": ASGI},
        "environment": {"WORKER": "4"},
        "command": ["check"],
    },
    "if it is your application's": {"environment": {"TIMEOUT": "2.5"}},
    "this host has no address": {"environment": {"HOST": "nowhere.invalid"}},
    "nobody outside this container": {
        "files": {"/app/main.py": ASGI},
        "environment": {"HOST": "localhost"},
        "command": ["check"],
    },
    "has no effect: /app/gunicorn_conf.py": {
        "files": {"/app/main.py": ASGI, "/app/gunicorn_conf.py": "workers = 2\n"},
        "environment": {"WORKERS": "3"},
        "command": ["check"],
    },
    "are both set": {"environment": {"WORKERS": "4", "WORKERS_FILE": "/run/workers"}},
    "is not set, and REQUIRED_ENV": {"environment": {"REQUIRED_ENV": "DATABASE_URL"}},
    "is a directory": {"environment": {"CERTFILE": "/etc"}},
    "/app/.venv is not used": {"files": {"/app/.venv/bin/activate": ""}, "command": ["check"]},
    "is skipped": {"files": {"/docker-entrypoint.d/a.sh": "", "/app/main.py": BROKEN}},
    "failed with exit status": {
        "files": {"/app/main.py": ASGI, "/docker-entrypoint.d/a.sh": "#!/bin/sh\nexit 3\n"},
        "mode": 0o755,
    },
    "is a Kubernetes service link": {
        "files": {"/app/main.py": ASGI},
        "environment": {"GUNICORN_PORT": "tcp://10.0.0.1:80"},
        "command": ["check"],
    },
    "cannot open shared object file": {"command": ["python", "-c", "import ctypes; ctypes.CDLL('libpq.so.5')"]},
    "No usable temporary directory": {
        "read_only": True,
        "command": ["python", "-c", "import tempfile; tempfile.mkstemp()"],
    },
    "the first worker ended": {"files": {"/app/main.py": BROKEN}},
}


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_are_those_of_the_image(attempt, finish, mount, message):
    (options,) = (dict(cause) for words, cause in CAUSES.items() if words in message)
    volumes = {}
    for path, text in options.pop("files", {}).items():
        volumes |= mount(path, text, options.get("mode", 0o644))
    options.pop("mode", None)
    # What is about the container itself needs one of its own.
    run = finish if {"image", "read_only"} & options.keys() else attempt

    assert message in run(volumes=volumes, **options).err


def test_every_cause_is_in_the_table():
    assert [words for words in CAUSES if not any(words in message for message in MESSAGES)] == []


def test_three_errors_at_once(attempt):
    shown = re.search(r"^```console\n\$ docker run .*\n((?:2026-.* paddock: .*\n)+)```$", README, re.MULTILINE)
    outcome = attempt(environment={"WORKERS": "four", "TIMEOUT": "30s", "LOG_FORMAT": "xml"})

    assert outcome.status == 78
    assert said(outcome.err) == said(shown[1])


def block(language, words):
    """The README's code block that holds `words`."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return next(text for text in blocks if words in text)


@pytest.mark.smoke
def test_start_hooks(start, mount):
    volumes = (
        mount("/docker-entrypoint.d/10-migrate.sh", block("sh", "alembic upgrade head"), 0o755)
        | mount("/docker-entrypoint.d/20-database.envsh", block("sh", "export DATABASE_URL"), 0o755)
        | mount("/usr/local/bin/alembic", '#!/bin/sh\necho "alembic got $*"\n', 0o755)
        | mount("/run/secrets/db_password", "hunter2\n")
    )
    container = start("asgi.py", volumes=volumes, environment={"WORKERS": "1"}).wait_ready()

    assert container.get().json()["environ"]["DATABASE_URL"] == "postgresql://shop:hunter2@db/shop"
    assert container.logs().startswith("alembic got upgrade head\n")


def test_gunicorn_file(start, mount):
    volumes = mount("/app/gunicorn_conf.py", block("python", "post_worker_init"))
    container = start("asgi.py", volumes=volumes, environment={"WORKERS": "1"}).wait_ready()

    container.wait_for_log(r"worker \d+ is ready")
    assert re.search(r"^GUNICORN_MAX_REQUESTS|^MAX_REQUESTS +1000 ", container.run("paddock", "config"), re.MULTILINE)


def test_a_secret_as_a_file(start, mount):
    environment = {"SECRETS_ENV": "DB_PASSWORD", "DB_PASSWORD_FILE": "/run/secrets/db_password", "WORKERS": "1"}
    container = start("asgi.py", environment=environment, volumes=mount("/run/secrets/db_password", "hunter2\n"))

    assert container.wait_ready().get().json()["environ"]["DB_PASSWORD"] == "hunter2"


def test_what_should_not_be_in_an_image(finish, mount, project):
    """Only of a copy: a developer's own folder has its .env and its .git."""
    files = {"main.py": ASGI, ".env": "", ".git/HEAD": ""}
    assert ".dockerignore" not in finish(command=["check"], volumes=project(files)).err

    copied = {f"/app/{name}": text for name, text in files.items()}
    volumes = {}
    for path, text in copied.items():
        volumes |= mount(path, text)
    said = finish(command=["check"], volumes=volumes).err
    assert [name for name in (".env", ".git") if f"{name} is in /app, for everyone who has the image" in said] == [
        ".env",
        ".git",
    ]
