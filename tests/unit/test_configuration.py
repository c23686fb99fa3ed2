"""Gunicorn's configuration in layers: what wins, where it came from, and what is wrong in any of them."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from gunicorn import config, sock

import paddock.workers.auto  # noqa: F401 (once for all tests: the fixture forgets what a test imports)
from paddock.application.kinds import Kind
from paddock.errors import ConfigurationError
from paddock.settings.environment import DEFAULT, ENVIRONMENT, Value
from paddock.settings.table import BY_KEY
from paddock.start import checks
from paddock.start.configuration import CMD_ARGS, CONF, FLAG, Configuration

Write = Callable[..., str]


@pytest.fixture(autouse=True)
def app(tmp_path: Path, start_in: Callable[[Path], None]) -> Path:
    """A working directory with an application; sys.path and the imported modules are put back."""
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "main.py").write_text("async def app(scope, receive, send): ...\n")
    start_in(directory)
    return directory


@pytest.fixture
def write(app: Path) -> Write:
    """Write a file into the working directory, a Gunicorn file unless named, and return its path."""

    def run(text: str, name: str = "gunicorn_conf.py") -> str:
        (app / name).write_text(text)
        return str(app / name)

    return run


def serve(*arguments: str, **environ: str) -> Configuration:
    # gunicorn_conf.py, which is one of the layers, reads the process's own environment.
    os.environ.update(environ)
    return Configuration(list(arguments), os.environ)


def refusal(*arguments: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        serve(*arguments, **environ)
    return [str(problem) for problem in refused.value.problems]


def only(found: list[str]) -> str:
    assert len(found) == 1, found
    return found[0]


# Precedence


@pytest.mark.parametrize(
    ("layers", "timeout", "origin"),
    [
        ((), 30, Value(30, DEFAULT)),
        (("environment",), 1, Value(1, ENVIRONMENT, "TIMEOUT")),
        (("environment", "file"), 2, Value(2, CONF, "gunicorn_conf.py")),
        (("environment", "file", "args"), 3, Value(3, CMD_ARGS, CMD_ARGS)),
        (("environment", "file", "args", "flag"), 4, Value(4, FLAG, FLAG)),
        (("environment", "flag"), 4, Value(4, FLAG, FLAG)),
        (("file", "flag"), 4, Value(4, FLAG, FLAG)),
        (("environment", "args"), 3, Value(3, CMD_ARGS, CMD_ARGS)),
    ],
)
def test_precedence(write: Write, layers: tuple[str, ...], timeout: int, origin: Value) -> None:
    environ = {"TIMEOUT": "1"} if "environment" in layers else {}
    if "file" in layers:
        write("timeout = 2")
    if "args" in layers:
        environ["GUNICORN_CMD_ARGS"] = "--timeout 3"
    server = serve(*(["--timeout", "4"] if "flag" in layers else []), **environ)

    assert server.cfg.timeout == timeout
    found = server.origins["timeout"]
    assert (found.value, found.source, os.path.basename(found.origin)) == (origin.value, origin.source, origin.origin)


def test_a_setting_of_the_images_own_in_every_layer(write: Write) -> None:
    write("uvicorn_ws_max_size = 2\nlog_format = 'json'\nuvicorn_lifespan = 'ON'\n")
    server = serve("--uvicorn-ws", "none", LOG_FORMAT="text", UVICORN_WS_MAX_SIZE="1", UVICORN_WS_MAX_QUEUE="7")

    cfg = server.cfg
    assert (cfg.uvicorn_ws_max_size, cfg.uvicorn_ws_max_queue, cfg.uvicorn_ws) == (2, 7, "none")
    assert (cfg.log_format, cfg.uvicorn_lifespan) == ("json", "on")


def test_what_no_layer_gives_is_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = serve().cfg

    assert (cfg.keepalive, cfg.graceful_timeout, cfg.threads) == (65, 8, 4)
    assert cfg.bind == ["0.0.0.0:8000"]
    assert cfg.worker_class_str == "paddock.workers.auto.AutoWorker"
    assert cfg.control_socket_disable is True
    assert (cfg.secure_scheme_headers, cfg.forwarder_headers) == ({"X-FORWARDED-PROTO": "https"}, [])
    assert cfg.accesslog == cfg.errorlog == "-"


def test_a_file_has_python_types_of_its_own(write: Write) -> None:
    write(
        "import ssl\n"
        "bind = ['127.0.0.1:1', '0.0.0.0:2']\n"
        "accesslog = None\n"
        "preload_app = True\n"
        "cert_reqs = ssl.CERT_NONE\n"
        "forwarded_allow_ips = '10.0.0.0/8'\n"
        "loglevel = 'INFO'\n"
        "worker_class = 'uvicorn.workers.UvicornWorker'\n"
        "raw_env = ['A=1']\n"
        "helper = object()\n"
    )
    cfg = serve().cfg

    assert (cfg.bind, cfg.accesslog, cfg.preload_app, cfg.cert_reqs) == (
        ["127.0.0.1:1", "0.0.0.0:2"],
        None,
        True,
        ssl.CERT_NONE,
    )
    assert "::ffff:10.0.0.0/104" in [str(network) for network in cfg.forwarded_allow_ips]
    assert (cfg.loglevel, cfg.worker_class_str) == ("info", "paddock.workers.asgi.UvicornWorker")


def test_a_class_in_a_file(write: Write) -> None:
    write("from gunicorn.workers.gthread import ThreadWorker as worker_class\n")

    assert serve(APP_TYPE="wsgi").cfg.worker_class.__name__ == "ThreadWorker"


def test_hooks_in_a_file(write: Write) -> None:
    write("def when_ready(server):\n    return 'mine'\n")
    server = serve()

    assert server.cfg.when_ready(None) == "mine"
    assert server.origins["when_ready"].source == CONF


# Which file


@pytest.mark.parametrize(
    ("files", "named", "timeout"),
    [
        (["gunicorn_conf.py"], {}, 0),
        (["gunicorn.conf.py"], {}, 0),
        (["gunicorn_conf.py", "gunicorn.conf.py"], {}, 0),
        (["gunicorn_conf.py", "other.py"], {"GUNICORN_CONF": "other.py"}, 1),
        (["gunicorn_conf.py", "other.py"], {"GUNICORN_CONF": "file:other.py"}, 1),
        (["gunicorn_conf.py", "other.py"], {"GUNICORN_CONF": "python:other"}, 1),
        (["one.py", "two.py"], {"GUNICORN_CONF": "one.py", "GUNICORN_CMD_ARGS": "-c two.py"}, 1),
    ],
)
def test_which_file_is_used(write: Write, files: list[str], named: dict[str, str], timeout: int) -> None:
    for number, name in enumerate(files):
        write(f"timeout = {number}\n", name)

    assert serve(**named).cfg.timeout == timeout


def test_a_flag_names_the_file(write: Write) -> None:
    write("timeout = 1\n", "one.py")
    write("timeout = 2\n", "two.py")

    assert serve("-c", "two.py", GUNICORN_CONF="one.py", GUNICORN_CMD_ARGS="-c one.py").cfg.timeout == 2


def test_a_file_that_is_named_must_be_there() -> None:
    assert only(refusal(GUNICORN_CONF="nope.py")) == "GUNICORN_CONF='nope.py': there is no such file"
    assert only(refusal("-c", "nope.py")) == "command line='nope.py': there is no such file"
    assert only(refusal(GUNICORN_CONF="/")) == "GUNICORN_CONF='/': is a directory; expected a file"
    assert "nope" in only(refusal(GUNICORN_CONF="python:nope"))


def test_a_file_leaves_the_path_as_it_was(write: Write) -> None:
    write("import helper\ntimeout = helper.TIMEOUT\n")
    write("TIMEOUT = 7\n", "helper.py")
    before = list(sys.path)

    assert serve(APP_MODULE="main:app").cfg.timeout == 7
    assert [path for path in sys.path if path not in before] in ([], [os.getcwd()])


# What is wrong


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("timeout = = 3", "line 1: SyntaxError"),
        ("\nimport nope", "line 2: ModuleNotFoundError: No module named 'nope'"),
        ("def f():\n    return 1 / 0\ntimeout = f()", "line 2: ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("timeout = 'soon'", "expected a whole number of seconds from 0 to 86400"),
        ("workers = 0", "expected auto, or a whole number from 1 to 1024"),
        ("bind = ['nonsense']", "expected host:port"),
        ("backlog = 'big'", "backlog"),
        ("def post_fork(): pass", "post_fork"),
        ("when_ready = 3", "when_ready"),
        ("workers = 10 ** 10", "from 1 to 1024"),
    ],
)
def test_a_broken_file(write: Write, text: str, said: str) -> None:
    path = write(text)
    problem = only(refusal())

    assert path in problem
    assert said in problem
    assert "Traceback" not in problem


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--nonsense"], "--nonsense"),
        (["--timeout", "soon"], "soon"),
        (["--timeout"], "--timeout"),
        (["--workers", "0"], "from 1 to 1024"),
        (["a:b", "c:d"], "one application, not 2"),
        (["--uvicorn-ws", "socketio"], "expected auto, none"),
    ],
)
def test_broken_flags(flags: list[str], said: str) -> None:
    assert said in only(refusal(*flags))
    assert said in only(refusal(GUNICORN_CMD_ARGS=" ".join(flags)))


def test_broken_quotes() -> None:
    assert only(refusal(GUNICORN_CMD_ARGS="'")) == "GUNICORN_CMD_ARGS: No closing quotation"


def test_every_layer_is_checked_at_once(write: Write) -> None:
    write("keepalive = 'long'\n")
    found = refusal("--nonsense", TIMEOUT="soon", GUNICORN_CMD_ARGS="--threads 0")

    assert len(found) == 4


def test_the_whole_is_checked_when_every_part_is_right() -> None:
    found = refusal(RELOAD="true", PRELOAD_APP="true", KEYFILE=__file__, UVICORN_HTTP2="true")

    assert {problem.partition(":")[0].partition("=")[0] for problem in found} == {"RELOAD", "KEYFILE", "UVICORN_HTTP2"}


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"APP_TYPE": "wsgi", "WORKER_CLASS": "uvicorn"}, "WORKER_CLASS"),
        ({"APP_TYPE": "asgi", "WORKER_CLASS": "sync"}, "WORKER_CLASS"),
        ({"WORKER_CLASS": "nonsense"}, "WORKER_CLASS"),
        ({"WORKER_CLASS": "collections.OrderedDict"}, "WORKER_CLASS"),
        ({"ACCESS_LOG_FORMAT": "100%"}, "ACCESS_LOG_FORMAT"),
        ({"GUNICORN_LOGGER_CLASS": "nope.Logger"}, "GUNICORN_LOGGER_CLASS"),
    ],
)
def test_conflicts(environ: dict[str, str], name: str) -> None:
    assert only(refusal(**environ)).startswith(name)


@pytest.mark.parametrize("environ", [{"APP_TYPE": "asgi"}, {"WORKER_CLASS": "uvicorn"}])
def test_the_proxy_protocol_is_refused_where_uvicorn_makes_its_protocols_by_itself(environ: dict[str, str]) -> None:
    found = refusal(PROXY_PROTOCOL="v1", UVICORN_HTTP="zttp", **environ)

    assert {problem.partition("=")[0] for problem in found} <= {"PROXY_PROTOCOL", "UVICORN_HTTP"}
    assert sum("use httptools or h11" in problem for problem in found) == 1


@pytest.mark.parametrize(
    ("environ", "warnings"),
    [
        ({"PROXY_PROTOCOL": "v1", "APP_TYPE": "asgi"}, 0),
        ({"THREADS": "8"}, 0),
        ({"THREADS": "8", "APP_TYPE": "asgi"}, 1),
        ({"APP_TYPE": "asgi"}, 0),
        ({"UVICORN_WS": "none", "APP_TYPE": "wsgi"}, 1),
        ({"UVICORN_WS": "none", "WORKER_CLASS": "sync"}, 1),
        ({"WORKER": "8"}, 1),
    ],
)
def test_warnings_that_are_known_before_the_import(environ: dict[str, str], warnings: int) -> None:
    assert len(serve(**environ).warnings) == warnings


@pytest.mark.parametrize(
    ("environ", "warnings"),
    [
        ({"APP_TYPE": "asgi"}, 2),
        ({"WORKER_CLASS": "uvicorn"}, 2),
        ({"APP_TYPE": "wsgi"}, 0),
    ],
)
def test_hooks_for_requests_have_no_effect_with_uvicorn(
    write: Callable[..., None], environ: dict[str, str], warnings: int
) -> None:
    write("def pre_request(worker, req): pass\ndef post_request(worker, req): pass\ndef on_exit(server): pass\n")

    assert len(serve(**environ).warnings) == warnings


def test_warnings_that_are_known_after_the_import() -> None:
    server = serve(THREADS="8")
    _, kind = server.load_application()

    assert len(server.late_warnings(kind)) == 1
    assert serve(THREADS="8", APP_TYPE="asgi").late_warnings(kind) == []


# The application


def test_the_application_is_found(app: Path) -> None:
    server = serve()

    assert server.cfg.wsgi_app == "main:app"
    assert server.origins["wsgi_app"] == Value("main:app", "found", str(app))


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["other:app"], {"APP_MODULE": "main:app"}),
        ([], {"APP_MODULE": "other:app"}),
        ([], {"GUNICORN_CMD_ARGS": "other:app"}),
    ],
)
def test_the_application_is_named(arguments: list[str], environ: dict[str, str]) -> None:
    assert serve(*arguments, **environ).cfg.wsgi_app == "other:app"


def test_there_is_no_application(app: Path) -> None:
    (app / "main.py").unlink()

    assert only(refusal()).startswith("APP_MODULE: no application found in")
    assert Configuration([], {}, find_application=False).cfg.wsgi_app is None


@pytest.mark.parametrize(
    ("environ", "summary"),
    [
        ({"WORKERS": "3"}, "main:app: ASGI 3, served by 3 workers of class uvicorn"),
        ({"WORKERS": "2", "WORKER_CLASS": "uvicorn"}, "main:app: ASGI 3, served by 2 workers of class uvicorn"),
    ],
)
def test_summary(environ: dict[str, str], summary: str) -> None:
    server = serve(**environ)
    _, kind = server.load_application()

    assert server.summary(kind) == summary


# Reload


def test_a_reload_takes_the_new_file(write: Write) -> None:
    write("timeout = 1\n")
    server = serve()
    write("timeout = 2\n")
    server.reload()

    assert server.cfg.timeout == 2


def test_a_reload_of_a_broken_file_leaves_everything_as_it_was(write: Write) -> None:
    write("timeout = 1\n")
    server = serve()
    write("timeout = 'soon'\n")

    with pytest.raises(ConfigurationError):
        server.reload()
    assert server.cfg.timeout == 1


@pytest.mark.parametrize(("arguments", "environ"), [([], {"RELOAD": "true"}), (["--reload"], {})])
def test_development_has_defaults_of_its_own(app: Path, arguments: list[str], environ: dict[str, str]) -> None:
    server = serve(*arguments, **environ)

    assert (server.cfg.workers, server.cfg.timeout, server.cfg.boot_timeout) == (1, 0, 0)
    assert server.origins["timeout"] == Value(0, DEFAULT, "RELOAD")
    assert server.notes == [f"RELOAD: watching {app}; WORKERS=1, TIMEOUT=0, BOOT_TIMEOUT=0 unless they are set"]


def test_what_is_given_counts_in_development_too() -> None:
    server = serve("--timeout", "7", RELOAD="true", WORKERS="3", RELOAD_DIRS="/usr,/etc", BOOT_TIMEOUT="9")

    assert (server.cfg.workers, server.cfg.timeout, server.cfg.boot_timeout) == (3, 7, 9)
    assert server.notes[0].startswith("RELOAD: watching /usr, /etc; ")


def test_the_number_of_workers_is_explained_only_where_it_was_left_to_the_image(write: Write) -> None:
    assert "WORKERS=auto" in str(serve().notes)
    assert "WORKERS=auto" in str(serve(RELOAD="true", WORKERS="auto").notes)
    write("workers = 3\n")
    assert "WORKERS=auto" not in str(serve().notes)


@pytest.mark.parametrize("setting", ["READY_PATH", "DRAIN_DELAY", "MAX_WORKER_MEMORY", "REQUEST_HEAD_TIMEOUT"])
def test_what_another_worker_class_would_ignore_is_refused(setting: str) -> None:
    value = {"READY_PATH": "/ready", "MAX_WORKER_MEMORY": "512MiB"}.get(setting, "3")

    assert "is not the image's" not in str(serve(**{setting: value}).notes)
    assert f"WORKER_CLASS=asgi would ignore {setting}" in only(refusal(WORKER_CLASS="asgi"))


def test_another_worker_class_is_noted() -> None:
    assert "WORKER_CLASS=asgi is not the image's" in only(serve(WORKER_CLASS="asgi", WORKERS="1").warnings)


# TLS and HTTP/2

TLS = Path(__file__).parent / "tls"


def test_of_a_certificate_that_is_missing_nothing_more_is_said() -> None:
    found = only(refusal(CERTFILE="/nope", KEYFILE=str(TLS / "localhost.key"), CERT_REQS="2"))
    assert found.startswith("CERTFILE='/nope': does not exist")


def test_what_is_wrong_with_tls_is_said_with_the_rest() -> None:
    found = refusal(WORKERS="four", CERTFILE=str(TLS / "localhost.crt"))
    assert sorted(problem.partition("=")[0] for problem in found) == ["CERTFILE", "WORKERS"]


def test_a_reload_has_the_certificate_of_that_moment(tmp_path: Path) -> None:
    for kind in ("crt", "key"):
        (tmp_path / kind).write_bytes((TLS / f"localhost.{kind}").read_bytes())
    server = serve(CERTFILE=str(tmp_path / "crt"), KEYFILE=str(tmp_path / "key"))
    before = sock.ssl_context(server.cfg)
    assert any("is valid until" in note for note in server.notes)

    (tmp_path / "key").write_text("")
    with pytest.raises(ConfigurationError):
        server.reload()
    assert sock.ssl_context(server.cfg) is before

    (tmp_path / "key").write_bytes((TLS / "localhost.key").read_bytes())
    server.reload()
    assert sock.ssl_context(server.cfg) is not before


def test_http2_of_gunicorns_without_tls() -> None:
    warning = "GUNICORN_HTTP_PROTOCOLS has no effect without CERTFILE: clients ask for HTTP/2 in the TLS handshake"
    environ = {"GUNICORN_HTTP_PROTOCOLS": "h2,h1", "WORKER_CLASS": "asgi"}
    assert warning in serve(**environ).warnings
    assert warning not in serve(**environ, GUNICORN_HTTP2_CLEARTEXT="prior-knowledge").warnings


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_http2_of_gunicorns_is_refused_on_the_front(kind: str) -> None:
    found = only(refusal(GUNICORN_HTTP_PROTOCOLS="h2,h1", APP_TYPE=kind))
    assert "set UVICORN_HTTP=zttp and UVICORN_HTTP2=true" in found


def test_http2_of_uvicorns_with_another_class() -> None:
    found = refusal(UVICORN_HTTP="zttp", UVICORN_HTTP2="true", WORKER_CLASS="asgi")
    assert "UVICORN_HTTP2='true': the worker class asgi is not the image's: use GUNICORN_HTTP_PROTOCOLS=h2,h1" in found


# Where it listens


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"BIND": "0.0.0.0:90,0.0.0.0:91", "WEB_CONCURRENCY": "3"},
            [
                "BIND=0.0.0.0:90,0.0.0.0:91 has no effect: {file} sets bind to 127.0.0.1:9000",
                "WORKERS=3 (from WEB_CONCURRENCY) has no effect: {file} sets workers to 7",
            ],
        ),
        ({"PORT": "90"}, ["BIND=0.0.0.0:90 (from PORT) has no effect: {file} sets bind to 127.0.0.1:9000"]),
        ({"BIND": "127.0.0.1:9000", "WORKERS": "7"}, []),
        ({"TIMEOUT": "9"}, []),
    ],
)
def test_a_file_that_overrides_the_environment(
    write: Write, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: list[str]
) -> None:
    monkeypatch.setattr(checks, "_loopback", lambda *_: [])
    file = write("bind = '127.0.0.1:9000'\nworkers = 7\ntimeout = 5\n", "gunicorn.conf.py")

    assert serve(**given).warnings == [message.format(file=file) for message in said]


def test_a_flag_that_overrides_all_is_what_somebody_wants(write: Write) -> None:
    write("workers = 7\n")

    assert serve("--workers", "2", WORKERS="3").warnings == []


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Network interfaces of a container."""
    monkeypatch.setattr(checks, "INTERFACES", tmp_path / "net")
    (tmp_path / "net/eth0").mkdir(parents=True)
    return tmp_path / "net"


@pytest.mark.parametrize(
    ("flags", "environ", "conf", "said"),
    [
        ([], {"HOST": "localhost"}, "", "localhost:8000 (HOST)"),
        ([], {"PADDOCK_HOST": "::1"}, "", "[::1]:8000 (PADDOCK_HOST)"),
        ([], {"BIND": "127.0.0.1:80,127.1.2.3:81"}, "", "127.0.0.1:80, 127.1.2.3:81 (BIND)"),
        (["--bind", "127.0.0.1:80"], {}, "", "127.0.0.1:80 (command line)"),
        ([], {}, "bind = 'localhost:5'", "localhost:5 ({conf})"),
    ],
)
def test_nobody_can_reach_the_loopback_interface(
    network: Path, write: Write, flags: list[str], environ: dict[str, str], conf: str, said: str
) -> None:
    file = write(conf)

    message = only(serve(*flags, **environ).warnings)
    assert message == (
        f"nobody outside this container can reach it: {said.format(conf=file)} is the loopback interface; "
        "0.0.0.0 is all of them"
    )
    # On the host's own network there may be somebody.
    (network / "docker0/bridge").mkdir(parents=True)
    assert serve(*flags, **environ).warnings == []


@pytest.mark.parametrize("bind", ["127.0.0.1:80,0.0.0.0:81", "[::]:80", "127.0.0.1:80,unix:/tmp/s", "unix:/tmp/s"])
def test_somebody_can_reach_everything_else(network: Path, bind: str) -> None:
    assert serve(BIND=bind).warnings == []


@pytest.mark.parametrize(
    ("flags", "environ", "name"),
    [
        ([], {"HOST": "nowhere.invalid", "PORT": "90"}, "HOST"),
        ([], {"BIND": "0.0.0.0:80,nowhere.invalid:90"}, "BIND"),
        (["--bind", "nowhere.invalid:90"], {}, "bind (command line)"),
        ([], {"METRICS_BIND": "nowhere.invalid:90"}, "METRICS_BIND"),
    ],
)
def test_a_host_without_an_address(flags: list[str], environ: dict[str, str], name: str) -> None:
    message = only(refusal(*flags, **environ))

    assert message.startswith(f"{name}='nowhere.invalid': this host has no address (")


def test_a_worker_without_connections() -> None:
    message = only(refusal(GUNICORN_WORKER_CONNECTIONS="0"))

    assert message == "GUNICORN_WORKER_CONNECTIONS='0': expected 1 or more: none is served with it"


def test_a_host_that_can_have_no_address() -> None:
    assert "this host has no address" in only(refusal(HOST="a" * 80))


def test_nest_asyncio_is_said_where_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "_nest_patched", True, raising=False)

    assert "UVICORN_LOOP=asyncio" in only(serve().late_warnings(Kind.ASGI3))
    assert serve().late_warnings(Kind.WSGI) == []
    assert serve(UVICORN_LOOP="asyncio").late_warnings(Kind.ASGI3) == []
    monkeypatch.delattr(asyncio, "_nest_patched")
    assert serve(UVICORN_LOOP="auto").late_warnings(Kind.ASGI3) == []


# All that Gunicorn knows

WITHOUT_EFFECT = {
    "permit_obsolete_folding": "true",
    "strip_header_spaces": "true",
    "permit_unconventional_http_method": "true",
    "permit_unconventional_http_version": "true",
    "casefold_http_method": "true",
    "http_parser": "python",
    "http2_cleartext": "prior-knowledge",
    "http2_max_concurrent_streams": "50",
    "http2_initial_window_size": "70000",
    "http2_max_frame_size": "20000",
    "http2_max_header_list_size": "70000",
    "asgi_loop": "asyncio",
    "asgi_lifespan": "on",
    "asgi_disconnect_grace_period": "7",
    "websocket_max_message_size": "70000",
    "uwsgi_allow_ips": "10.0.0.1",
    "sendfile": "false",
    "suppress_ragged_eofs": "false",
    "do_handshake_on_connect": "true",
    "spew": "true",
    "enable_stdio_inheritance": "true",
    "tmp_upload_dir": "/tmp",
    "syslog_addr": "udp://127.0.0.1:514",
    "syslog_prefix": "shop",
    "syslog_facility": "daemon",
    "disable_redirect_access_to_syslog": "true",
    "capture_output": "true",
    "enable_backlog_metric": "true",
    "statsd_prefix": "shop",
    "dogstatsd_tags": "a:b",
}
"""Settings that a warning names, with a value that is not the default."""

REFUSED = {
    "config": "name your file in GUNICORN_CONF",
    "daemon": "a container runs one process",
    "check_config": "run `paddock check`",
    "print_config": "run `paddock config`",
    "reload_engine": "use RELOAD_DIRS",
    "reload_extra_files": "use RELOAD_DIRS",
    "protocol": "speak HTTP alone",
    "http_protocols": "set UVICORN_HTTP=zttp",
    "forwarder_headers": "set ROOT_PATH",
}
"""Settings that are refused, with the reason."""

VALUES = {
    "reload_engine": "poll",
    "reload_extra_files": "main.py",
    "protocol": "uwsgi",
    "http_protocols": "h2,h1",
    "config": "a.py",
    "forwarder_headers": "PATH_INFO",
}
"""Values of those; any other is `true`."""

TAKEN_BY_GUNICORN = {
    "gunicorn.app.base": ["chdir", "pythonpath"],
    "gunicorn.arbiter": [
        *("child_exit", "control_socket", "control_socket_disable", "control_socket_mode", "logger_class"),
        *("nworkers_changed", "on_exit", "on_starting", "pidfile", "post_fork", "pre_fork", "proc_name"),
        *("when_ready", "worker_exit"),
    ],
    "gunicorn.config": ["default_proc_name", "group", "raw_env", "raw_paste_global_conf", "user"],
    "gunicorn.dirty.arbiter": [
        *("dirty_apps", "dirty_graceful_timeout", "dirty_post_fork", "dirty_workers", "dirty_worker_exit"),
        *("on_dirty_starting",),
    ],
    "gunicorn.dirty.worker": ["dirty_threads", "dirty_timeout", "dirty_worker_init"],
    "gunicorn.glogging": ["logconfig", "logconfig_dict", "logconfig_json", "syslog"],
    "gunicorn.sock": ["backlog", "reuse_port", "ssl_context", "umask"],
    "gunicorn.workers.base": ["initgroups", "post_worker_init", "worker_abort", "worker_int"],
    "paddock.arbiter.arbiter": ["on_reload"],
    "paddock.http.forwarded": ["secure_scheme_headers"],
    "paddock.start.configuration": ["paste", "statsd_host"],
    "paddock.workers.front.server": ["worker_connections"],
    "paddock.workers.wsgi.environ": ["header_map"],
    "paddock.workers.wsgi.hooks": ["post_request", "pre_request"],
}
"""Settings that have an effect, by the module that sees to it: of Gunicorn's, as far as the image runs it."""

OTHERS = {"pre_exec", "ssl_version"}
"""Those of which a warning is made in another way: a hook, and what Gunicorn itself calls ignored."""


def test_every_setting_of_gunicorns_has_an_effect_or_a_word() -> None:
    known = {setting.name for setting in config.KNOWN_SETTINGS if setting.section != "Paddock"}
    taken = [key for keys in TAKEN_BY_GUNICORN.values() for key in keys]
    told = [*taken, *WITHOUT_EFFECT, *REFUSED, *OTHERS, *(known & set(BY_KEY))]

    assert sorted(told) == sorted(known)


@pytest.mark.parametrize(
    ("module", "key"), [(module, key) for module, keys in TAKEN_BY_GUNICORN.items() for key in keys]
)
def test_a_setting_is_taken_where_the_table_says(module: str, key: str) -> None:
    spec = importlib.util.find_spec(module)
    assert spec
    assert spec.origin
    assert re.search(rf"\b(cfg|conf|self)\.{key}\b|settings\[['\"]{key}['\"]\]", Path(spec.origin).read_text())


@pytest.mark.parametrize("key", WITHOUT_EFFECT)
def test_a_setting_without_effect_is_named(key: str) -> None:
    name = f"GUNICORN_{key.upper()}"

    assert only(serve(**{name: WITHOUT_EFFECT[key]}).warnings).startswith(f"{name} has no effect: ")


def test_settings_at_their_defaults_are_not_named() -> None:
    assert serve().warnings == []
    assert "WORKER_CLASS=asgi is not the image's" in only(serve(WORKER_CLASS="asgi").warnings)


@pytest.mark.parametrize("key", sorted(set(WITHOUT_EFFECT) & set(checks.FRONT_IGNORES)))
def test_what_gunicorns_own_classes_know_is_for_them(key: str) -> None:
    environ = {f"GUNICORN_{key.upper()}": WITHOUT_EFFECT[key], "WORKER_CLASS": "asgi"}

    assert "WORKER_CLASS=asgi is not the image's" in only(serve(**environ).warnings)


def test_syslog_and_captured_output_have_an_effect(tmp_path: Path) -> None:
    syslog = {f"GUNICORN_{key.upper()}": WITHOUT_EFFECT[key] for key in checks.OF_SYSLOG}
    captured = {"GUNICORN_CAPTURE_OUTPUT": "true", "ERROR_LOG": str(tmp_path / "log")}

    assert serve(GUNICORN_SYSLOG="true", **syslog, **captured).warnings == []


@pytest.mark.parametrize("key", REFUSED)
def test_a_setting_that_has_no_place_is_refused(key: str) -> None:
    name = f"GUNICORN_{key.upper()}"
    watching = {"RELOAD": "true"} if key.startswith("reload") else {}
    found = only(refusal(**{name: VALUES.get(key, "true"), "APP_TYPE": "asgi"}, **watching))

    assert found.startswith(name)
    assert REFUSED[key] in found


def test_statsd_has_an_effect() -> None:
    environ = {"GUNICORN_STATSD_HOST": "127.0.0.1:8125", "GUNICORN_STATSD_PREFIX": "shop"}

    assert serve(**environ, GUNICORN_DOGSTATSD_TAGS="a:b").warnings == []


def test_other_words_for_what_has_no_effect(write: Write) -> None:
    assert only(serve(GUNICORN_RELOAD_ENGINE="poll").warnings).startswith("GUNICORN_RELOAD_ENGINE has no effect: ")
    os.environ.clear()
    assert any("ssl_version" in warning for warning in serve(GUNICORN_SSL_VERSION="TLSv1_2").warnings)

    write("def pre_exec(server): pass\n")
    assert "pre_exec has no effect: SIGUSR2 starts no second server in a container" in serve().warnings


@pytest.mark.parametrize(
    ("drain", "graceful", "said"), [("5", "25", False), ("5", "15", False), ("5", "14", True), ("0", "2", False)]
)
def test_a_drain_that_leaves_requests_little_time(drain: str, graceful: str, said: bool) -> None:
    warnings = serve(DRAIN_DELAY=drain, GRACEFUL_TIMEOUT=graceful).warnings

    assert bool(warnings) is said
    assert all(warning.startswith("DRAIN_DELAY=5 leaves 5.5 s of GRACEFUL_TIMEOUT=14") for warning in warnings)


def test_paths_that_are_the_same() -> None:
    assert only(refusal(READY_PATH="/up", LIVE_PATH="/up")).startswith("LIVE_PATH='/up': is READY_PATH too")
