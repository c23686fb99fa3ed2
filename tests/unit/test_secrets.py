"""Secrets stay out of what is said: a marker goes in by every way of every setting, and comes out nowhere."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gunicorn import config

import paddock.workers.auto  # noqa: F401 (once for all tests: the fixture forgets what a test imports)
from paddock.application.kinds import Kind
from paddock.arbiter.arbiter import Arbiter
from paddock.errors import ConfigurationError, Problem, StartError
from paddock.settings.app_module import shown
from paddock.settings.environment import resolve
from paddock.settings.listing import configuration_lines, effective_settings, text_table
from paddock.settings.shown import is_plain, looks_secret
from paddock.settings.table import SETTINGS, register
from paddock.start.configuration import Configuration
from paddock.start.hooks import run_start_hooks

MARKER = "hunter2"

TEXTS = (
    MARKER,
    f"/{MARKER}",
    f"/nope/{MARKER}.py",
    f"{MARKER}:8000",
    f"{MARKER}:8000,{MARKER}:8000",
    f"main:create('{MARKER}')",
    f"main:{MARKER}",
    f"NAME={MARKER}",
    f"tcp://user:{MARKER}@mq:5672",
    f'{{"Authorization": "{MARKER}"}}',
    f'{{"Authorization": "{MARKER}"',
    f"%(h)s {MARKER}",
    f"%({MARKER})s",
    f"{MARKER},other",
    f"it's \\{MARKER}\n\"{MARKER}",
)
"""Texts with the marker: each setting takes some of them, and refuses others."""

UNKNOWN = (
    *("GUNICORN_DATABASE_URL", "GUNICORN_ENCRYPTION_KEY", "GUNICORN_DB_PASS", "UVICORN_SENTRY_DSN", "PADDOCK_LICENCE"),
    *("UVICORN_SSL_KEYFILE_PASSWORD", "GUNICORN_DB_PASS_FILE"),
)

CALLED = (
    f"main:create('{MARKER}')",
    f"main:create(key='{MARKER}'",
    f"main:create('{MARKER}').app",
    f"a b:c('{MARKER}')",
)


def gunicorns() -> list[str]:
    """Return Gunicorn's settings that the table does not have and that are no functions."""
    register()
    table = {setting.key for setting in SETTINGS}
    return [
        known.name
        for known in config.KNOWN_SETTINGS
        if known.name not in table and not callable(known.default) and known.section != "Paddock"
    ]


ALL = [setting.name for setting in SETTINGS] + [f"GUNICORN_{key.upper()}" for key in gunicorns()]
SECRET = [name for name in ALL if looks_secret(name)]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, start_in: Callable[[Path], None]) -> Path:
    """A working directory with an application."""
    (tmp_path / "main.py").write_text(
        "def create(*args, **kwargs): return app\ndef app(environ, start_response): ...\n"
    )
    start_in(tmp_path)
    return tmp_path


def said(environ: dict[str, str], *arguments: str) -> str:
    """Return all that is said of a configuration, right or wrong."""
    os.environ.clear()
    os.environ.update(environ)
    resolution = resolve(environ)
    found = [*map(str, resolution.problems), *resolution.warnings]
    if resolution.problems and not arguments and "GUNICORN_CMD_ARGS" not in environ:
        # The whole configuration says the same.
        return "\n".join(found)
    try:
        server = Configuration(list(arguments), os.environ)
    except ConfigurationError as error:
        return "\n".join([*found, str(error)])
    rows = effective_settings(server.cfg, server.origins, server.contents)
    found += [*server.warnings, *server.notes, text_table(rows, ("name", "value", "source", "origin"))]
    found += configuration_lines(server.cfg, server.origins, server.contents)
    found.append(server.summary(Kind.WSGI))
    if not server.cfg.paste:
        try:
            _, kind = server.load_application()
            found += [server.summary(kind), *server.late_warnings(kind)]
        except (StartError, ConfigurationError) as error:
            found.append(str(error))
    return "\n".join(found)


def variables() -> Iterator[str]:
    for name in SECRET:
        yield name
        yield f"PADDOCK_{name}"
    yield from UNKNOWN


def test_there_is_something_to_hide() -> None:
    assert {"KEYFILE_PASSWORD", "UVICORN_HEADERS", "GUNICORN_RAW_ENV"} <= set(SECRET)
    assert not {"WORKERS", "BIND", "APP_MODULE", "CERTFILE", "GUNICORN_BACKLOG", "GUNICORN_UMASK"} & set(SECRET)
    assert not is_plain("nonsense")


@pytest.mark.parametrize("variable", [*variables()])
def test_variables(variable: str) -> None:
    for text in TEXTS:
        assert MARKER not in said({variable: text}), text


@pytest.mark.parametrize("name", ALL)
def test_files(name: str, directory: Path) -> None:
    """What a file holds that the wrong variable names is another secret."""
    secret = directory / "secret"
    for text in TEXTS:
        secret.write_text(text)
        assert MARKER not in said({f"{name}_FILE": str(secret)}), text


@pytest.mark.parametrize("text", CALLED)
def test_arguments_of_a_factory(text: str, directory: Path) -> None:
    for environ in ({"APP_MODULE": text}, {"PADDOCK_APP_MODULE": text}, {"GUNICORN_WSGI_APP": text}):
        assert MARKER not in said(environ)
    for environ in ({"UVICORN_APP": text}, {"GUNICORN_CMD_ARGS": shlex.quote(text)}):
        assert MARKER not in said(environ)
    assert MARKER not in said({}, text)
    assert MARKER not in said({"WORKER_CLASS": "uvicorn", "APP_TYPE": "wsgi"}, text)
    (directory / "gunicorn_conf.py").write_text(f"wsgi_app = {text!r}\n")
    assert MARKER not in said({})


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("main:app", "main:app"),
        ("main:create()", "main:create()"),
        ("main:create().app", "main:create().app"),
        ("main:create('a', b=1)", "main:create(…)"),
        ("main:create()('a')", "main:create()(…)"),
        ("main:apps['a']", "main:apps[…"),
    ],
)
def test_what_is_shown_of_an_application(spec: str, expected: str) -> None:
    assert shown(spec) == expected


@pytest.mark.parametrize(
    "words",
    [
        ["--env", MARKER],
        ["--env", f"A={MARKER}"],
        ["--keyfile-password", MARKER],
        ["--keyfile-pasword", MARKER],
        [f"--keyfile-pasword={MARKER}"],
        [f"--key={MARKER}"],
        [f"--preload={MARKER}"],
        ["--uvicorn-headers", MARKER],
        ["--uvicorn-headers", f'{{"Authorization": "{MARKER}"}}'],
        ["--paste-global", f"key={MARKER}"],
        ["main:app", MARKER],
    ],
)
def test_flags(words: list[str]) -> None:
    assert MARKER not in said({}, *words)
    assert MARKER not in said({"GUNICORN_CMD_ARGS": shlex.join(words)})
    assert MARKER not in said({"GUNICORN_CMD_ARGS": f"{shlex.join(words)} '"})


@pytest.mark.parametrize("name", SECRET)
def test_a_file_of_gunicorns(name: str, directory: Path) -> None:
    setting = next((setting for setting in SETTINGS if setting.name == name), None)
    key = setting.key if setting else name.removeprefix("GUNICORN_").lower()
    for value in (*TEXTS, [MARKER], {MARKER: MARKER}, {"a": MARKER}):
        (directory / "gunicorn_conf.py").write_text(f"{key} = {value!r}\n")
        assert MARKER not in said({}), value


def test_what_a_hook_exports(directory: Path) -> None:
    hooks = directory / "hooks"
    hooks.mkdir()
    for number, variable in enumerate([*SECRET, *UNKNOWN]):
        hook = hooks / f"{number:03}.envsh"
        hook.write_text(f"export {variable}={MARKER}\n")
        hook.chmod(0o755)
    exported = run_start_hooks(hooks, {"PATH": "/usr/bin:/bin"}, print)

    assert exported["UVICORN_SENTRY_DSN"] == MARKER
    assert MARKER not in said(exported)


def test_urls_without_their_users() -> None:
    link = {"SECRETS_ENV": "BROKER_URL", "BROKER_URL": f"tcp://user:{MARKER}@mq:5672"}

    assert MARKER not in "\n".join(resolve(link).warnings)
    assert MARKER not in said({"BIND": f"tcp://user:{MARKER}@0.0.0.0:80"})
    assert MARKER not in said({"GUNICORN_STATSD_HOST": f"udp://user:{MARKER}@statsd:1"})
    assert str(Problem("A", "b", "http://a:b@c/d@e")) == "A='http://c/d@e': b"


def test_the_debug_log_of_the_configuration(capfd: pytest.CaptureFixture[str]) -> None:
    environ = {
        "LOG_LEVEL": "debug",
        "GUNICORN_RAW_ENV": f"DB_PASSWORD={MARKER}",
        "UVICORN_HEADERS": f'{{"A": "{MARKER}"}}',
        "APP_MODULE": f"main:create('{MARKER}')",
        "TIMEOUT": "47",
    }
    os.environ.update(environ)
    Arbiter(Configuration([], os.environ))

    log = capfd.readouterr().err
    assert MARKER not in log
    dump = next(line for line in log.splitlines() if "Current configuration" in line).split("\\n")
    assert "  timeout: 47" in dump
    assert "  wsgi_app: main:create(…)" in dump
    assert os.environ["DB_PASSWORD"] == MARKER
