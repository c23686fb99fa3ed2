"""A wrong configuration: every error at once, by variable, value and expectation; exit status 78; nothing starts."""

import json
import re
from pathlib import Path

import pytest

from events import said
from paddock.settings.parsers import Text
from paddock.settings.shown import shown_text
from paddock.settings.table import SETTINGS, UVICORN_REPLACED

TLS = Path(__file__).parent.parent / "unit" / "tls"

SECONDS = "expected a whole number of seconds from 0 to 86400"
SWITCH = "expected true or false"
COUNT = "expected a whole number, 0 or more"
WORKERS_REFUSED = (
    "WORKERS='four': expected auto, or a whole number from 1 to 1024; "
    "if it is your application's, set IGNORE_ENV=WORKERS"
)
ADDRESS = "expected host:port, [IPv6]:port, unix:/path or fd://number"
PROXIES = "expected addresses and networks separated by commas, or * alone"
LOG_FILE = "expected -, none, or the path of a file that can be written"
READABLE = "expected the path of a file that can be read"
DIRECTORY = "expected the path of a directory that can be written"
HEADERS = "expected a JSON object of header names and values"
NO_NAME = "no setting has this name"


def refusals(outcome, status=78):
    """The errors of a start that was refused, without the image's own prefix."""
    assert outcome.status == status, outcome
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    # Nothing else was said, so nothing listened, forked or was imported.
    messages = said(outcome.err)
    assert messages, "refused without a reason"
    return messages


def only(errors):
    """The error, of which there must be one."""
    assert len(errors) == 1, errors
    return errors[0]


WRONG = (
    # Numbers
    ("WORKERS", "four", "expected auto, or a whole number from 1 to 1024"),
    ("WORKERS", "0", "expected auto, or a whole number from 1 to 1024"),
    ("WORKERS", "2.5", "expected auto, or a whole number from 1 to 1024"),
    ("WORKERS", "1025", "expected auto, or a whole number from 1 to 1024"),
    ("WEB_CONCURRENCY", "-1", "expected auto, or a whole number from 1 to 1024"),
    ("GUNICORN_WORKERS", "many", "expected auto, or a whole number from 1 to 1024"),
    ("MAX_WORKERS", "0", "expected a whole number from 1 to 1024"),
    ("THREADS", "0", "expected a whole number from 1 to 1024"),
    ("TIMEOUT", "30s", SECONDS),
    ("TIMEOUT", "-1", SECONDS),
    ("GRACEFUL_TIMEOUT", "0", "expected a whole number of seconds from 1 to 86400"),
    ("KEEP_ALIVE", "forever", SECONDS),
    ("MAX_REQUESTS", "1e3", COUNT),
    ("MAX_REQUESTS_JITTER", "-5", COUNT),
    ("PORT", "99999", "expected a whole number from 0 to 65535"),
    ("PORT", "http", "expected a whole number from 0 to 65535"),
    ("CERT_REQS", "3", "expected 0 (none), 1 (optional) or 2 (required)"),
    ("UVICORN_WS_MAX_SIZE", "0", "expected a whole number of bytes, 1 or more"),
    ("UVICORN_WS_PING_INTERVAL", "-1", "expected seconds from 0 to 86400, or none"),
    ("UVICORN_LIMIT_CONCURRENCY", "0", "expected a whole number, 1 or more"),
    ("GUNICORN_BACKLOG", "big", COUNT),
    ("GUNICORN_BACKLOG", "-3", COUNT),
    ("GUNICORN_UMASK", "9", "expected an octal number"),
    # Words
    ("LOG_LEVEL", "loud", "expected debug, info, warning, error or critical"),
    ("LOG_FORMAT", "xml", "expected text or json"),
    ("APP_TYPE", "fastapi", "expected auto, asgi, asgi2 or wsgi"),
    ("PROXY_PROTOCOL", "v3", "expected off, v1, v2 or auto"),
    ("UVICORN_LIFESPAN", "maybe", "expected auto, on or off"),
    ("UVICORN_LOOP", "trio", "expected auto, asyncio or uvloop"),
    ("UVICORN_HTTP", "http3", "expected auto, h11, httptools or zttp"),
    ("UVICORN_WS", "socketio", "expected auto, none, websockets, websockets-sansio or wsproto"),
    ("GUNICORN_HEADER_MAP", "keep", "keep"),
    ("GUNICORN_CERT_REQS", "yes", "expected 0 (none), 1 (optional) or 2 (required)"),
    # Switches
    ("PRELOAD_APP", "2", SWITCH),
    ("RELOAD", "always", SWITCH),
    ("UVICORN_SERVER_HEADER", "nope", SWITCH),
    ("GUNICORN_REUSE_PORT", "maybe", SWITCH),
    # Addresses
    ("BIND", "8000", ADDRESS),
    ("BIND", "0.0.0.0", ADDRESS),
    ("BIND", ":8000", ADDRESS),
    ("BIND", "0.0.0.0:99999", ADDRESS),
    ("BIND", "256.0.0.1:8000", ADDRESS),
    ("BIND", "::1:8000", ADDRESS),
    ("BIND", "http://0.0.0.0:8000", ADDRESS),
    ("BIND", "0.0.0.0:8000,", "an item of the list is empty"),
    ("BIND", "0.0.0.0:8000,nonsense", ADDRESS),
    ("BIND", "unix:/nope/app.sock", "the directory '/nope' does not exist or cannot be written"),
    ("BIND", "fd://three", ADDRESS),
    ("HOST", "0.0.0.0/0", "expected a host name or an address"),
    ("FORWARDED_ALLOW_IPS", "*,10.0.0.0/8", "* trusts everybody and cannot be mixed with addresses"),
    ("FORWARDED_ALLOW_IPS", "10.0.0.1/8", "has host bits set"),
    ("FORWARDED_ALLOW_IPS", "proxy.example", PROXIES),
    ("PROXY_ALLOW_IPS", "proxy.example", PROXIES),
    ("ROOT_PATH", "api", "expected a path such as /api"),
    ("ROOT_PATH", "/api/", "expected a path such as /api"),
    ("ROOT_PATH", "/größe", "expected a path such as /api, in ASCII"),
    ("HEALTHCHECK_PATH", "health", "expected a path that starts with /"),
    # Files and directories
    ("CERTFILE", "/nope.pem", "does not exist"),
    ("CERTFILE", "/etc", "is a directory"),
    ("KEYFILE", "/etc/shadow", "cannot be read by user 10001"),
    ("CA_CERTS", "/nope.pem", READABLE),
    ("WORKER_TMP_DIR", "/nope", "does not exist"),
    ("RELOAD_DIRS", "/app,/nope", "'/nope' does not exist"),
    ("RELOAD_DIRS", "/etc/passwd", "'/etc/passwd' is not a directory"),
    ("WORKER_TMP_DIR", "/etc", "cannot be written by user 10001"),
    ("WORKER_TMP_DIR", "/etc/passwd", "is not a directory"),
    ("LOG_CONFIG", "/nope.toml", "does not exist"),
    ("LOG_CONFIG", "/etc/hostname", "expected the path of a .json, .toml or .py file that can be read"),
    ("ACCESS_LOG", "/nope/access.log", "the directory '/nope' does not exist"),
    ("ACCESS_LOG", "/etc", "is a directory"),
    ("ERROR_LOG", "/etc/error.log", "cannot be written by user 10001"),
    ("GUNICORN_CHDIR", "/nope", "/nope"),
    # Text with a form
    ("APP_MODULE", "app/main.py", "did you mean app.main:app?"),
    ("APP_MODULE", "main:", "expected module:attribute"),
    ("APP_MODULE", "main:create_app(os.environ)", "the arguments of a call have to be literals"),
    ("WORKER_CLASS", "a b", "expected auto, uvicorn, gthread"),
    ("UVICORN_HEADERS", "X-A: b", HEADERS),
    ("UVICORN_HEADERS", '{"X-A": 1}', HEADERS),
    ("UVICORN_HEADERS", '{"X A": "b"}', HEADERS),
    ("REQUIRED_ENV", "DATABASE-URL", "expected names of variables separated by commas"),
    ("SECRETS_ENV", "A,,B", "an item of the list is empty"),
    ("GUNICORN_SECURE_SCHEME_HEADERS", "[]", "expected a JSON object"),
    # Names
    ("GUNICORN_TIMEOT", "3", f"{NO_NAME}: did you mean TIMEOUT?"),
    ("GUNICORN_BACKLOGS", "3", f"{NO_NAME}: did you mean GUNICORN_BACKLOG?"),
    ("GUNICORN_SOMETHING_ELSE", "3", NO_NAME),
    ("UVICORN_SERVER_HEDER", "false", f"{NO_NAME}: did you mean UVICORN_SERVER_HEADER?"),
    ("UVICORN_NOTHING_LIKE_IT", "1", NO_NAME),
    ("UVICORN_WORKERS", "4", "set WORKERS instead"),
    ("UVICORN_LIMIT_MAX_REQUESTS", "4", "set MAX_REQUESTS instead"),
    ("GUNICORN_DAEMON", "true", "has no place in a container"),
    ("GUNICORN_CONFIG", "/app/mine.py", "name your file in GUNICORN_CONF"),
)
"""Variable, value, and a part of the error, for values that are wrong by themselves."""


def batches():
    """`WRONG` in as few starts as can be: all errors are said at once, so each variable appears once in a start."""
    result = []
    for variable, value, _ in WRONG:
        batch = next((batch for batch in result if variable not in batch), None)
        if batch is None:
            result.append(batch := {})
        batch[variable] = value
    return result


@pytest.fixture(scope="module")
def outcomes(bystander):
    """Each of `batches()`, and how it ended."""
    container, _ = bystander
    return [(environment, container.attempt("paddock", environment=environment)) for environment in batches()]


@pytest.mark.xdist_group("wrong-values")
@pytest.mark.parametrize(("variable", "value", "expected"), WRONG)
def test_value_is_refused(outcomes, variable, value, expected):
    outcome = next(outcome for environment, outcome in outcomes if environment.get(variable) == value)

    error = only([error for error in refusals(outcome) if re.match(rf"{variable}[=:]", error)])
    given = shown_text(UVICORN_REPLACED.get(variable.removeprefix("UVICORN_"), variable), value)
    assert error.startswith(f"{variable}: ") if given is None else given in error
    assert expected in error


@pytest.mark.xdist_group("wrong-values")
def test_nothing_but_the_wrong_values_is_refused(outcomes):
    assert [len(refusals(outcome)) for _, outcome in outcomes] == [len(environment) for environment, _ in outcomes]


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("GUNICORN_CONF", "/nope.py", "there is no such file"),
        ("GUNICORN_CONF", "python:nope", "No module named 'nope'"),
        ("GUNICORN_PIDFILE", "/etc/app.pid", "cannot be written"),
        ("WORKER_CLASS", "nonsense", "expected auto, uvicorn, gthread"),
        ("WORKER_CLASS", "shop.workers.Fast", "No module named 'shop'"),
        ("WORKER_CLASS", "collections.OrderedDict", "is not a worker class"),
        ("ACCESS_LOG_FORMAT", "%(h", "expected default, common, combined, json, or a line with Gunicorn's atoms"),
        ("ACCESS_LOG_FORMAT", "100%", "expected default, common, combined, json, or a line with Gunicorn's atoms"),
        ("ACCESS_LOG_FORMAT", "%(z)s", "there is no atom %(z)s; there are h l u t r s m U q H b B f a T D M L p"),
        ("ACCESS_LOG_FORMAT", "combine", "it holds no atom"),
        ("GUNICORN_LOGGER_CLASS", "shop.Logger", "cannot be loaded"),
        ("GUNICORN_USER", "nobody", "only root can become another"),
        ("UVICORN_HTTP", "zttp", "the package zttp is not installed"),
        ("UVICORN_WS", "wsproto", "the package wsproto is not installed"),
        ("UVICORN_HTTP2", "true", "needs UVICORN_HTTP=zttp"),
        ("WORKER_CLASS", "gevent", "gevent"),
        ("GUNICORN_LOGCONFIG", "/nope", "/nope"),
        ("GUNICORN_LOGCONFIG_JSON", "/nope", "/nope"),
    ],
)
def test_value_that_is_wrong_in_this_image_is_refused(attempt, variable, value, expected):
    error = only(refusals(attempt("observed.py", environment={variable: value})))

    assert re.match(rf"{variable}[=:]", error)
    assert value in error
    assert expected in error


@pytest.mark.smoke
def test_every_error_is_said_at_once(attempt):
    environment = {"WORKERS": "four", "TIMEOUT": "30s", "LOG_LEVEL": "loud"}

    assert sorted(refusals(attempt(environment=environment))) == [
        "LOG_LEVEL='loud': expected debug, info, warning, error or critical, trace, notset, or a number from 0 to 100; "
        "if it is your application's, set IGNORE_ENV=LOG_LEVEL",
        "TIMEOUT='30s': expected a whole number of seconds from 0 to 86400; "
        "if it is your application's, set IGNORE_ENV=TIMEOUT",
        WORKERS_REFUSED,
    ]


@pytest.mark.smoke
def test_every_setting_with_a_form_refuses_nonsense_at_once(attempt):
    nonsense = "(!)"
    takes_any_text = {s.name for s in SETTINGS if Text() in (s.parser, getattr(s.parser, "item", None))}

    errors = refusals(attempt(environment={s.name: nonsense for s in SETTINGS}))

    refused = {re.split("[=:]", error)[0] for error in errors}
    assert takes_any_text == {*("CIPHERS", "KEYFILE_PASSWORD", "RELOAD_EXCLUDES", "RELOAD_INCLUDES", "REQUIRED_FILES")}
    assert {s.name for s in SETTINGS} - takes_any_text <= refused
    assert not refused & (takes_any_text - {"REQUIRED_FILES"})


def test_errors_of_every_layer_are_said_at_once(attempt, mount):
    outcome = attempt(
        command=["serve", "--threads", "0", "--nonsense"],
        environment={"TIMEOUT": "soon", "GUNICORN_CMD_ARGS": "--workers=0"},
        volumes=mount("/app/gunicorn_conf.py", "keepalive = 'long'\nloglevel = 'loud'\n"),
    )

    errors = "\n".join(refusals(outcome))
    for what in (
        "TIMEOUT='soon'",
        "workers",
        "GUNICORN_CMD_ARGS",
        "keepalive",
        "'loud'",
        "gunicorn_conf.py",
        "nonsense",
    ):
        assert what in errors


# Settings that are wrong together


def test_conflicts_are_said_beside_wrong_values(attempt):
    environment = {"WORKERS": "four", "RELOAD": "true", "PRELOAD_APP": "true", "ACCESS_LOG_FORMAT": "100%"}

    names = {re.split("[=:]", error)[0] for error in refusals(attempt("observed.py", environment=environment))}
    assert names == {"WORKERS", "RELOAD", "ACCESS_LOG_FORMAT"}


@pytest.fixture
def tls(mount):
    """A certificate and its key, in /config."""
    crt, key = ((TLS / f"localhost.{kind}").read_text() for kind in ("crt", "key"))
    return mount("/config/localhost.crt", crt) | mount("/config/localhost.key", key)


@pytest.mark.parametrize(
    ("environment", "name", "expected"),
    [
        ({"RELOAD": "true", "PRELOAD_APP": "true"}, "RELOAD", "cannot work with PRELOAD_APP"),
        ({"RELOAD": "true", "RELOAD_DIRS": "/app,/"}, "RELOAD_DIRS", "whole file system"),
        ({"RELOAD": "true", "GUNICORN_RELOAD_ENGINE": "poll"}, "GUNICORN_RELOAD_ENGINE", "use RELOAD_DIRS"),
        (
            {"RELOAD": "true", "GUNICORN_RELOAD_EXTRA_FILES": "/etc/hosts"},
            "GUNICORN_RELOAD_EXTRA_FILES",
            "RELOAD_INCLUDES",
        ),
        ({"KEYFILE": "/config/localhost.key"}, "KEYFILE", "set without CERTFILE"),
        ({"CERTFILE": "/config/localhost.crt"}, "CERTFILE", "KEYFILE is not set"),
        ({"CERTFILE": "/config/localhost.key", "KEYFILE": "/config/localhost.key"}, "CERTFILE", "holds no certificate"),
        ({"CERTFILE": "/config/localhost.crt", "KEYFILE": "/config/localhost.crt"}, "KEYFILE", "holds no private key"),
        ({"CERT_REQS": "2"}, "CERT_REQS", "CERTFILE"),
        ({"CA_CERTS": "/config/localhost.crt"}, "CA_CERTS", "CERTFILE"),
        (
            {"CERTFILE": "/config/localhost.crt", "KEYFILE": "/config/localhost.key", "CERT_REQS": "2"},
            "CERT_REQS",
            "needs CA_CERTS",
        ),
        (
            {"CERTFILE": "/config/localhost.crt", "KEYFILE": "/config/localhost.key", "CIPHERS": "ROT13"},
            "CIPHERS",
            "names no cipher",
        ),
        ({"GUNICORN_HTTP_PROTOCOLS": "h2,h1", "WORKER_CLASS": "uvicorn"}, "GUNICORN_HTTP_PROTOCOLS", "HTTP/2"),
        ({"GUNICORN_HTTP_PROTOCOLS": "h2,h1", "APP_TYPE": "asgi"}, "GUNICORN_HTTP_PROTOCOLS", "HTTP/2"),
        ({"GUNICORN_HTTP_PROTOCOLS": "h2,h1", "WORKER_CLASS": "sync"}, "GUNICORN_HTTP_PROTOCOLS", "HTTP/2"),
        (
            {"GUNICORN_HTTP_PROTOCOLS": "h2,h1"},
            "GUNICORN_HTTP_PROTOCOLS",
            "package h2, 4.1.0 or newer, is not installed",
        ),
        ({"UVICORN_HTTP": "zttp", "UVICORN_HTTP2": "true"}, "UVICORN_HTTP", "package zttp is not installed"),
        ({"UVICORN_HTTP2": "true"}, "UVICORN_HTTP2", "needs UVICORN_HTTP=zttp"),
        ({"APP_TYPE": "wsgi", "WORKER_CLASS": "uvicorn"}, "WORKER_CLASS", "serves ASGI applications only"),
        ({"APP_TYPE": "asgi", "WORKER_CLASS": "gthread"}, "WORKER_CLASS", "serves WSGI applications only"),
        ({"APP_TYPE": "asgi2", "WORKER_CLASS": "asgi"}, "WORKER_CLASS", "serves ASGI 3 applications only"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(attempt, tls, environment, name, expected):
    errors = refusals(attempt("observed.py", environment=environment, volumes=tls))

    assert all(error.startswith(name) for error in errors)
    assert any(expected in error for error in errors)


@pytest.mark.parametrize("kind", ["EC", "RSA"])
def test_a_key_of_another_certificate_is_refused(attempt, mount, tls, other_keys, kind):
    outcome = attempt(
        "observed.py",
        environment={"CERTFILE": "/config/localhost.crt", "KEYFILE": "/config/other.key"},
        volumes=tls | mount("/config/other.key", other_keys[kind]),
    )

    error = only(refusals(outcome))
    assert error.startswith("KEYFILE='/config/other.key': ")
    assert "CERTFILE='/config/localhost.crt'" in error


@pytest.fixture(scope="module")
def other_keys(engine, slim):
    """Private keys that belong to no certificate, by algorithm: that of the certificate, and another one."""
    script = "openssl ecparam -genkey -noout -name prime256v1 && echo and && openssl genrsa 2048"
    output = engine.containers.run(slim, ["sh", "-c", script], remove=True, stderr=False).decode()
    return dict(zip(("EC", "RSA"), output.split("and\n"), strict=True))


@pytest.mark.parametrize("preload", ["true", "false"])
def test_a_conflict_with_the_application_is_said_once_it_is_known(attempt, preload):
    environment = {"WORKER_CLASS": "gthread", "PRELOAD_APP": preload, "WORKERS": "2"}
    outcome = attempt("observed.py", environment=environment)

    assert outcome.status == 78
    assert outcome.err.count("serves WSGI applications only") == 1
    assert "Traceback" not in outcome.err
    assert "lifespan.startup" not in outcome.out


@pytest.mark.parametrize("preload", ["true", "false"])
def test_a_worker_class_for_other_applications_is_refused_once_it_is_known(attempt, preload):
    outcome = attempt("observed.py", environment={"WORKER_CLASS": "gthread", "PRELOAD_APP": preload, "WORKERS": "2"})

    assert outcome.status == 78
    assert outcome.err.count("serves WSGI applications only") == 1
    assert "Traceback" not in outcome.err


# Values from files


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        ("four", 0o644, "expected auto, or a whole number from 1 to 1024"),
        ("", 0o644, "is empty"),
        ("\n\n", 0o644, "is empty"),
        ("4", 0o600, "Permission denied"),
    ],
)
def test_a_file_with_a_wrong_value_is_refused(attempt, mount, content, mode, expected):
    volumes = mount("/run/secrets/workers", content, mode)
    error = only(refusals(attempt(environment={"WORKERS_FILE": "/run/secrets/workers"}, volumes=volumes)))

    assert error.startswith("WORKERS_FILE='/run/secrets/workers': ")
    assert expected in error


@pytest.mark.parametrize(("path", "expected"), [("/nope", "No such file or directory"), ("/etc", "Is a directory")])
def test_a_file_that_cannot_be_read_is_refused(attempt, path, expected):
    error = only(refusals(attempt(environment={"TIMEOUT_FILE": path})))

    assert error.startswith(f"TIMEOUT_FILE={path!r}: ")
    assert expected in error


@pytest.mark.parametrize("name", ["WORKERS", "WEB_CONCURRENCY", "GUNICORN_BACKLOG", "DB_PASSWORD"])
def test_a_variable_and_its_file_together_are_refused(attempt, mount, name):
    environment = {name: "4", f"{name}_FILE": "/run/secrets/it", "SECRETS_ENV": "DB_PASSWORD"}
    error = only(refusals(attempt(environment=environment, volumes=mount("/run/secrets/it", "5"))))

    assert error.startswith(name)
    assert f"{name}_FILE" in error
    assert "both set" in error


def test_a_missing_file_of_a_secret_is_refused(attempt):
    error = only(refusals(attempt(environment={"SECRETS_ENV": "DB_PASSWORD", "DB_PASSWORD_FILE": "/run/secrets/db"})))

    assert error.startswith("DB_PASSWORD_FILE")
    assert "No such file or directory" in error


def test_secrets_are_never_shown(attempt, mount):
    secret = "hunter2-hunter2"
    outcome = attempt(
        environment={
            "KEYFILE_PASSWORD": secret,
            "KEYFILE_PASSWORD_FILE": "/run/secrets/password",
            "GUNICORN_API_TOKEN": secret,
            "WORKERS_FILE": "/run/secrets/password",
            "GUNICORN_BACKLOG_FILE": "/run/secrets/password",
            "UVICORN_HEADERS_FILE": "/run/secrets/password",
        },
        volumes=mount("/run/secrets/password", secret),
    )

    errors = refusals(outcome)
    assert {error.partition("=")[0].partition(":")[0] for error in errors} >= {
        "KEYFILE_PASSWORD",
        "GUNICORN_API_TOKEN",
        "WORKERS_FILE",
        "GUNICORN_BACKLOG_FILE",
        "UVICORN_HEADERS_FILE",
    }
    assert secret not in outcome.err


def test_a_secret_that_is_wrong_is_not_shown(attempt):
    outcome = attempt("observed.py", environment={"GUNICORN_RAW_ENV": "hunter2"})

    assert only(refusals(outcome)).startswith("GUNICORN_RAW_ENV: ")
    assert "hunter2" not in outcome.err


# The layers above the environment


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--nonsense"], ["--nonsense"]),
        (["--workers", "four"], ["workers", "four"]),
        (["--workers", "0"], ["workers", "0", "from 1 to 1024"]),
        (["--threads", "0"], ["threads", "0", "from 1 to 1024"]),
        (["--timeout=abc"], ["timeout", "abc"]),
        (["--log-level", "loud"], ["loglevel", "loud", "debug, info, warning, error or critical"]),
        (["--log-format", "xml"], ["log_format", "xml", "text or json"]),
        (["--bind", "0.0.0.0:99999"], ["bind", "0.0.0.0:99999", "host:port"]),
        (["--worker-class", "nonsense"], ["WORKER_CLASS", "nonsense"]),
        (["--certfile", "/nope"], ["certfile", "does not exist"]),
        (["--config", "/nope.py"], ["command line", "/nope.py", "no such file"]),
        (["--reload", "--preload"], ["RELOAD", "PRELOAD_APP"]),
        (["main:app", "other:app"], ["one application, not 2"]),
        (["main/app.py"], ["main/app.py", "main.app:app"]),
    ],
)
@pytest.mark.parametrize("layer", ["command line", "GUNICORN_CMD_ARGS"])
def test_a_bad_flag_is_refused(attempt, layer, flags, expected):
    if layer == "GUNICORN_CMD_ARGS":
        outcome = attempt("observed.py", environment={layer: " ".join(flags)})
        expected = [layer if word == "command line" else word for word in expected]
    else:
        outcome = attempt("observed.py", ["serve", *flags])

    error = only(refusals(outcome))
    assert all(word in error for word in expected), error


def test_broken_quotes_in_gunicorn_cmd_args_are_refused(attempt):
    error = only(refusals(attempt(environment={"GUNICORN_CMD_ARGS": '--workers "3'})))

    assert error == "GUNICORN_CMD_ARGS: No closing quotation"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("workers = = 3\n", ["line 1", "SyntaxError"]),
        ("\nimport nope\n", ["line 2", "No module named 'nope'"]),
        ("x = 1\nraise RuntimeError('no settings today')\n", ["line 2", "RuntimeError: no settings today"]),
        ("import sys\nsys.exit(3)\n", ["line 2", "SystemExit"]),
        ("workers = 0\n", ["workers", "0", "from 1 to 1024"]),
        ("workers = 'four'\n", ["workers", "four", "from 1 to 1024"]),
        ("timeout = -1\n", ["timeout", "-1"]),
        ("loglevel = 'loud'\n", ["loglevel", "loud", "debug, info, warning, error or critical"]),
        ("bind = 'nonsense'\n", ["bind", "nonsense", "host:port"]),
        ("backlog = 'big'\n", ["backlog", "big"]),
        ("def post_fork(server): pass\n", ["post_fork", "arity"]),
        ("uvicorn_ws = 'socketio'\n", ["uvicorn_ws", "socketio", "expected auto, none"]),
    ],
)
def test_a_broken_gunicorn_file_is_refused(attempt, mount, text, expected):
    outcome = attempt("observed.py", volumes=mount("/app/gunicorn_conf.py", text))

    error = only(refusals(outcome))
    assert "/app/gunicorn_conf.py" in error
    assert all(word in error for word in expected), error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("worker_class = 'nonsense'\n", "WORKER_CLASS"),
        ("reload = True\npreload_app = True\n", "RELOAD"),
        ("raw_env = ['nonsense']\n", "RAW_ENV"),
        ("access_log_format = '100%'\n", "ACCESS_LOG_FORMAT"),
    ],
)
def test_a_gunicorn_file_that_does_not_fit_is_refused(attempt, mount, text, expected):
    outcome = attempt("observed.py", volumes=mount("/app/gunicorn_conf.py", text))

    assert expected in only(refusals(outcome))


def test_an_unreadable_gunicorn_file_is_refused(attempt, mount):
    outcome = attempt("observed.py", volumes=mount("/app/gunicorn_conf.py", "workers = 1\n", 0o600))

    error = only(refusals(outcome))
    assert "/app/gunicorn_conf.py" in error
    assert "Permission denied" in error


@pytest.mark.parametrize("command", ["check", "config", "serve"])
def test_commands_that_read_the_configuration_refuse_it_alike(finish, command):
    """In a container for each, whose status is the command's."""
    outcome = finish(command=[command], environment={"WORKERS": "four"})

    assert only(refusals(outcome)) == WORKERS_REFUSED


def test_a_refusal_in_json_is_json(attempt):
    outcome = attempt(environment={"WORKERS": "four", "LOG_FORMAT": "json"})

    line = json.loads(outcome.err)
    assert outcome.status == 78
    assert line["level"] == "error"
    assert line["message"] == WORKERS_REFUSED


# What looks wrong and is not


@pytest.mark.smoke
def test_empty_is_unset_for_every_setting(attempt):
    environment = {name: "" for setting in SETTINGS for name in (*setting.names, f"{setting.name}_FILE")}
    outcome = attempt("observed.py", ["check"], environment=environment | {"GUNICORN_CMD_ARGS": "", "UVICORN_NOPE": ""})

    assert outcome.status == 0, outcome.err
    assert outcome.err == ""


def test_kubernetes_service_links_are_passed_over_with_a_warning(start):
    links = {
        "PORT": "tcp://10.43.0.7:80",
        "GUNICORN_SERVICE_HOST": "10.43.0.7",
        "GUNICORN_SERVICE_PORT": "8000",
        "GUNICORN_SERVICE_PORT_HTTP": "8000",
        "GUNICORN_PORT": "tcp://10.43.0.7:8000",
        "GUNICORN_PORT_8000_TCP": "tcp://10.43.0.7:8000",
        "GUNICORN_PORT_8000_TCP_ADDR": "10.43.0.7",
        "UVICORN_SERVICE_HOST": "10.43.0.8",
        "UVICORN_PORT_8000_TCP_PROTO": "tcp",
        "WORKERS": "tcp://10.43.0.9:1",
    }
    container = start(
        "observed.py", environment=links, cpuset_cpus="0", allow=("Kubernetes service link",)
    ).wait_ready()

    assert container.get().status_code == 200
    assert container.workers() == 1
    warnings = [line for line in container.logs().splitlines() if "[WARNING]" in line]
    assert len(warnings) == len(links)
    assert all(any(f": {name}" in line for line in warnings) for name in links)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("WORKER", "WORKERS"), ("TIMEOT", "TIMEOUT"), ("LOGLEVEL", "LOG_LEVEL"), ("PRELOADAPP", "PRELOAD_APP")],
)
def test_a_near_miss_is_a_warning(attempt, name, meant):
    outcome = attempt("observed.py", ["check"], environment={name: "4"})

    assert outcome.status == 0
    assert said(outcome.err, "WARNING") == [f"{name} is set, which is no setting: did you mean {meant}?"]


def test_variables_of_the_application_are_no_near_misses(attempt):
    environment = {
        "HOSTS": "a",
        "PORTS": "1",
        "RELOADS": "1",
        "DATABASE_URL": "x",
        "SSL_CERT_FILE": "/nope",
        "TIMEOUTS": "1",
    }
    outcome = attempt("observed.py", ["check"], environment=environment | {"REQUIRED_ENV": "RELOADS,TIMEOUTS"})

    assert outcome.status == 0
    assert outcome.err == ""


@pytest.mark.parametrize(
    ("app", "environment", "warning"),
    [
        ("observed.py", {"THREADS": "8"}, "THREADS has no effect"),
        ("observed_wsgi.py", {"UVICORN_WS": "none"}, "UVICORN_WS has no effect"),
    ],
)
@pytest.mark.parametrize("known", [{}, {"PRELOAD_APP": "true"}])
def test_a_setting_without_effect_is_a_warning_once(start, app, environment, warning, known):
    environment = environment | known | {"WORKERS": "2"}
    container = start(app, environment=environment, allow=(warning,)).wait_ready()

    container.wait_for_log(warning)
    assert container.stop() == 0
    assert container.logs().count(warning) == 1
