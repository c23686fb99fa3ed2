"""The environment becomes settings: every value with its source, every problem in one pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.settings import environment
from paddock.settings.environment import (
    DEFAULT,
    ENVIRONMENT,
    FILE,
    Resolution,
    Value,
    export_secrets,
    looks_secret,
    resolve,
    take_secrets,
    value_of,
)
from paddock.settings.parsers import Integer
from paddock.settings.sizing import Resources
from paddock.settings.table import SETTINGS, Setting


@pytest.fixture(autouse=True)
def three_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "read_limits", lambda: Resources(cpus=3, cpu_quota=None, memory=None))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("hunter2\n")
    return file


def problems(environ: dict[str, str]) -> list[str]:
    return [str(problem) for problem in resolve(environ).problems]


def only(found: list[str]) -> str:
    assert len(found) == 1, found
    return found[0]


def test_defaults() -> None:
    settings = resolve({})

    assert (settings.problems, settings.warnings, settings.secrets) == ([], [], {})
    assert all(value.source == DEFAULT for value in settings.values.values())
    assert settings.bind == ["0.0.0.0:8000"]
    assert (settings.workers, settings.threads) == (3, 4)
    assert (settings.timeout, settings.graceful_timeout, settings.keepalive) == (30, 8, 65)
    assert settings.forwarded_allow_ips == "127.0.0.1,::1,::ffff:127.0.0.1/128"
    assert settings.root_path == ""
    assert settings.control_socket_disable is True
    assert settings.worker_class == "paddock.workers.auto.AutoWorker"
    assert settings.sizing == "3 workers, set by the number of CPUs: 3 CPUs, no memory limit, MAX_WORKERS 16"


def test_a_name_that_is_no_setting() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = resolve({}).nonsense


def test_values_and_sources(secret: Path) -> None:
    environ = {
        "TIMEOUT": " 60 ",
        "WEB_CONCURRENCY": "2",
        "GUNICORN_KEEPALIVE": "5",
        "KEYFILE_PASSWORD_FILE": str(secret),
    }
    values = resolve(environ).values

    assert values["timeout"] == Value(60, ENVIRONMENT, "TIMEOUT")
    assert values["workers"] == Value(2, ENVIRONMENT, "WEB_CONCURRENCY")
    assert values["keepalive"] == Value(5, ENVIRONMENT, "GUNICORN_KEEPALIVE")
    assert values["keyfile_password"] == Value("hunter2", FILE, str(secret))


@pytest.mark.parametrize(
    ("environ", "workers", "origin"),
    [
        ({"WORKERS": "2", "WEB_CONCURRENCY": "5", "GUNICORN_WORKERS": "6"}, 2, "WORKERS"),
        ({"WEB_CONCURRENCY": "5", "GUNICORN_WORKERS": "6"}, 5, "WEB_CONCURRENCY"),
        ({"WORKERS": "", "GUNICORN_WORKERS": "6"}, 6, "GUNICORN_WORKERS"),
        ({"WORKERS": "auto", "WEB_CONCURRENCY": "5"}, 3, "WORKERS"),
        ({"MAX_WORKERS": "2"}, 2, ""),
    ],
)
def test_names_in_order(environ: dict[str, str], workers: int, origin: str) -> None:
    value = resolve(environ).values["workers"]

    assert (value.value, value.origin) == (workers, origin)


def test_a_lower_name_is_checked_too() -> None:
    assert only(problems({"WORKERS": "2", "WEB_CONCURRENCY": "five"})).startswith("WEB_CONCURRENCY='five': ")


def test_a_problem_leaves_the_default_and_the_rest() -> None:
    settings = resolve({"TIMEOUT": "soon", "THREADS": "8", "WORKERS": "four"})

    assert (settings.timeout, settings.threads, settings.workers) == (30, 8, 3)
    assert len(settings.problems) == 2


@pytest.mark.parametrize(
    ("environ", "bind", "origin"),
    [
        ({"PORT": "9000"}, ["0.0.0.0:9000"], "PORT"),
        ({"PORT": "0"}, ["0.0.0.0:0"], "PORT"),
        ({"HOST": "localhost"}, ["localhost:8000"], "HOST"),
        ({"HOST": "::", "PORT": "9000"}, ["[::]:9000"], "HOST PORT"),
        ({"HOST": "[::1]"}, ["[::1]:8000"], "HOST"),
        ({"BIND": "a:1, b:2", "HOST": "c", "PORT": "3"}, ["a:1", "b:2"], "BIND"),
        ({"GUNICORN_BIND": "a:1", "PORT": "3"}, ["a:1"], "GUNICORN_BIND"),
    ],
)
def test_bind(environ: dict[str, str], bind: list[str], origin: str) -> None:
    assert resolve(environ).values["bind"] == Value(bind, ENVIRONMENT, origin)


@pytest.mark.parametrize(
    ("environ", "jitter"),
    [
        ({}, 0),
        ({"MAX_REQUESTS": "1000"}, 100),
        ({"MAX_REQUESTS": "5"}, 1),
        ({"MAX_REQUESTS": "1000", "MAX_REQUESTS_JITTER": "0"}, 0),
        ({"MAX_REQUESTS": "1000", "MAX_REQUESTS_JITTER": "7"}, 7),
    ],
)
def test_jitter(environ: dict[str, str], jitter: int) -> None:
    assert resolve(environ).max_requests_jitter == jitter


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("auto", "paddock.workers.auto.AutoWorker"),
        ("uvicorn", "paddock.workers.asgi.UvicornWorker"),
        ("uvicorn_worker.UvicornWorker", "paddock.workers.asgi.UvicornWorker"),
        ("gthread", "paddock.workers.wsgi.worker.ThreadWorker"),
        ("sync", "paddock.workers.wsgi.worker.ThreadWorker"),
        ("gunicorn.workers.gthread.ThreadWorker", "gunicorn.workers.gthread.ThreadWorker"),
        ("shop.workers:Fast", "shop.workers:Fast"),
    ],
)
def test_worker_class(given: str, path: str) -> None:
    assert resolve({"WORKER_CLASS": given}).worker_class == path


def test_the_first_directory_that_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "DIRECTORIES", ("/nope", "/etc/passwd", str(tmp_path)))
    assert resolve({}).worker_tmp_dir == str(tmp_path)

    monkeypatch.setattr(environment, "DIRECTORIES", ("/nope",))
    assert only(problems({})).startswith("WORKER_TMP_DIR: none of /nope can be written")


# Gunicorn's and Uvicorn's names


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("GUNICORN_BACKLOG", "77", 77),
        ("GUNICORN_REUSE_PORT", "yes", True),
        ("GUNICORN_UMASK", "027", 0o27),
        ("GUNICORN_RAW_ENV", "A=1, B=2", ["A=1", "B=2"]),
        ("GUNICORN_HEADER_MAP", "refuse", "refuse"),
        ("GUNICORN_SECURE_SCHEME_HEADERS", '{"X-TLS": "yes"}', {"X-TLS": "yes"}),
        ("GUNICORN_PYTHONPATH", "/a,/b", "/a,/b"),
        ("GUNICORN_PROC_NAME", "shop", "shop"),
        ("GUNICORN_CONTROL_SOCKET", "/tmp/control.sock", "/tmp/control.sock"),
        ("GUNICORN_SENDFILE", "false", False),
        ("GUNICORN_SENDFILE", "true", None),
    ],
)
def test_any_other_setting_of_gunicorn(variable: str, text: str, value: object) -> None:
    settings = resolve({variable: text})
    key = variable.removeprefix("GUNICORN_").lower()

    assert settings.problems == []
    assert settings.values[key] == Value(value, ENVIRONMENT, variable)
    assert settings.other[key] == value


def test_other_holds_nothing_of_the_table() -> None:
    given_by_the_image = {
        "logger_class",
        "control_socket_disable",
        "worker_connections",
        "secure_scheme_headers",
        "forwarder_headers",
    }
    assert set(resolve({"WORKERS": "2"}).other) == given_by_the_image


def test_the_control_socket_is_on_when_it_is_named() -> None:
    assert resolve({"GUNICORN_CONTROL_SOCKET": "/tmp/c"}).control_socket_disable is False
    assert resolve({"GUNICORN_CONTROL_SOCKET_DISABLE": "false"}).control_socket_disable is False


def test_a_file_for_a_setting_of_gunicorn(secret: Path) -> None:
    assert resolve({"GUNICORN_PROC_NAME_FILE": str(secret)}).values["proc_name"] == Value("hunter2", FILE, str(secret))
    assert only(problems({"GUNICORN_PROC_NAME": "a", "GUNICORN_PROC_NAME_FILE": str(secret)})).endswith(
        "unset one of them"
    )


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("GUNICORN_TIMEOT", "did you mean TIMEOUT?"),
        ("GUNICORN_BACKLGO", "did you mean GUNICORN_BACKLOG?"),
        ("GUNICORN_BACKLGO_FILE", "did you mean GUNICORN_BACKLOG?"),
        ("GUNICORN_NOTHING_LIKE_IT", "`paddock settings` lists those there are"),
        ("PADDOCK_TIMEOT", "did you mean PADDOCK_TIMEOUT?"),
        ("PADDOCK_TIMEOT_FILE", "did you mean PADDOCK_TIMEOUT?"),
        ("PADDOCK_NOTHING_LIKE_IT", "`paddock settings` lists those there are"),
        ("PADDOCK_GUNICORN_BACKLGO", "did you mean GUNICORN_BACKLOG?"),
        ("PADDOCK_UVICORN_WSS", "did you mean UVICORN_WS?"),
        ("PADDOCK_UVICORN_LOG_LEVEL", "set LOG_LEVEL instead"),
        ("UVICORN_WSS", "did you mean UVICORN_WS?"),
        ("UVICORN_LOG_LEVEL", "set LOG_LEVEL instead"),
        ("UVICORN_BACKLOG", "set GUNICORN_BACKLOG instead"),
    ],
)
def test_names_that_exist_nowhere(variable: str, advice: str) -> None:
    assert only(problems({variable: "1"})).endswith(advice)


@pytest.mark.parametrize("variable", ["GUNICORN_NONSENSE", "UVICORN_NONSENSE", "WORKER", "GUNICORN_PID_FILE"])
def test_empty_means_unset_for_names_that_exist_nowhere_too(variable: str) -> None:
    assert resolve({variable: " "}).problems == []


@pytest.mark.parametrize("variable", ["GUNICORN_CMD_ARGS", "GUNICORN_PID", "GUNICORN_FD", "PADDOCK_NOTICE"])
def test_what_gunicorn_itself_sets_is_no_setting(variable: str) -> None:
    settings = resolve({variable: "1"})

    assert (settings.problems, settings.warnings) == ([], [])


# Kubernetes


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "tcp://10.43.0.7:80"),
        ("PADDOCK_PORT", "tcp://10.43.0.7:80"),
        ("PADDOCK_SERVICE_HOST", "10.43.0.7"),
        ("PADDOCK_PORT_80_TCP_ADDR", "10.43.0.7"),
        ("WORKERS", "udp://10.43.0.7:80"),
        ("GUNICORN_SERVICE_HOST", "10.43.0.7"),
        ("GUNICORN_SERVICE_PORT", "80"),
        ("GUNICORN_SERVICE_PORT_HTTPS", "443"),
        ("GUNICORN_PORT", "tcp://10.43.0.7:80"),
        ("GUNICORN_PORT_80_TCP", "tcp://10.43.0.7:80"),
        ("GUNICORN_PORT_80_TCP_PROTO", "tcp"),
        ("GUNICORN_PORT_80_TCP_PORT", "80"),
        ("GUNICORN_PORT_80_TCP_ADDR", "10.43.0.7"),
        ("GUNICORN_ADMIN_SERVICE_HOST", "10.43.0.7"),
        ("UVICORN_SERVICE_HOST", "fd00::7"),
    ],
)
def test_service_links_are_passed_over(variable: str, value: str) -> None:
    settings = resolve({variable: value})

    assert settings.problems == []
    assert variable in only(settings.warnings)
    assert settings.bind == ["0.0.0.0:8000"]


@pytest.mark.parametrize("variable", ["GUNICORN_SYSLOG_ADDR", "PADDOCK_GUNICORN_SYSLOG_ADDR"])
def test_a_value_alone_makes_no_service_link(variable: str) -> None:
    settings = resolve({variable: "udp://127.0.0.1:514"})

    assert (settings.problems, settings.warnings) == ([], [])
    assert settings.values["syslog_addr"].value == "udp://127.0.0.1:514"


@pytest.mark.parametrize(
    ("variable", "value", "advice"),
    [
        ("UVICORN_PORT", "9000", "set PORT instead"),
        ("UVICORN_SERVICE_HOST", "a.example", "`paddock settings` lists those there are"),
        ("GUNICORN_PORT", "9000", "`paddock settings` lists those there are"),
    ],
)
def test_a_name_alone_makes_no_service_link(variable: str, value: str, advice: str) -> None:
    assert only(problems({variable: value})).endswith(advice)


def test_an_address_with_a_password_is_no_service_link(secret: Path) -> None:
    settings = resolve({"SECRETS_ENV": "BROKER_URL", "BROKER_URL": "tcp://user:hunter2@mq:5672"})

    assert (settings.problems, settings.warnings) == ([], [])


def test_a_service_link_does_not_hide_an_alias() -> None:
    assert resolve({"WORKERS": "tcp://10.43.0.7:80", "WEB_CONCURRENCY": "2"}).workers == 2


# Names that the application has, too


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_by_a_name_that_no_application_has(setting: Setting, secret: Path, tmp_path: Path) -> None:
    valid = {"APP_MODULE": "shop:app", "CERT_REQS": "1", "WORKER_TMP_DIR": "/tmp", "IGNORE_ENV": "LOG_FORMAT"}
    valid |= {"HOST": "::1", "PORT": "90", "RELOAD_DIRS": "/tmp", "LOG_CONFIG": f"{secret}.json", "ROOT_PATH": "/api"}
    valid |= {"UVICORN_HEADERS": "{}", "BIND": "h:1", "METRICS_BIND": "h:1", "MAX_WORKER_MEMORY": "1GiB"}
    valid |= dict.fromkeys(("CERTFILE", "KEYFILE", "CA_CERTS"), str(secret))
    valid |= dict.fromkeys(
        ("READY_PATH", "LIVE_PATH", "HEALTHCHECK_PATH", "ACCESS_LOG_EXCLUDE", "REQUIRED_FILES"), str(secret)
    )
    Path(f"{secret}.json").write_text("{}")
    text = valid.get(setting.name, setting.default or ("5" if isinstance(setting.parser, Integer) else "A"))
    (tmp_path / "value").write_text(text)

    for name in setting.names:
        for spelt in ({f"PADDOCK_{name}": text}, {f"PADDOCK_{name}_FILE": str(tmp_path / "value")}):
            # What the plain name holds is the application's then, and would be refused, or read.
            settings = resolve(spelt | {name: "tea for two", f"{name}_FILE": "/nope"} | {"A": "1"})

            assert settings.problems == []
            assert settings.values[setting.key].source == (FILE if f"PADDOCK_{name}_FILE" in spelt else ENVIRONMENT)


def test_a_name_that_no_application_has_wins() -> None:
    environ = {"PADDOCK_TIMEOUT": "5", "TIMEOUT": "2.5", "PADDOCK_GUNICORN_BACKLOG": "7", "GUNICORN_BACKLOG": "9"}

    values = resolve(environ).values
    assert values["timeout"] == Value(5, ENVIRONMENT, "PADDOCK_TIMEOUT")
    assert values["backlog"] == Value(7, ENVIRONMENT, "PADDOCK_GUNICORN_BACKLOG")


@pytest.mark.parametrize(
    ("environ", "workers"),
    [
        ({"PADDOCK_WORKERS": "2", "WORKERS": "3", "PADDOCK_WEB_CONCURRENCY": "4"}, 2),
        ({"PADDOCK_WEB_CONCURRENCY": "4", "WORKERS": "3"}, 3),
        ({"PADDOCK_WEB_CONCURRENCY": "4", "WEB_CONCURRENCY": "5"}, 4),
        ({"PADDOCK_WORKERS": "", "WORKERS": "3"}, 3),
    ],
)
def test_the_order_of_names_is_the_same_for_both_forms(environ: dict[str, str], workers: int) -> None:
    assert resolve(environ).workers == workers


def test_both_forms_of_a_name_that_no_application_has(secret: Path) -> None:
    environ = {"PADDOCK_TIMEOUT": "5", "PADDOCK_TIMEOUT_FILE": str(secret)}

    message = only(problems(environ))
    assert message == "PADDOCK_TIMEOUT: PADDOCK_TIMEOUT and PADDOCK_TIMEOUT_FILE are both set: unset one of them"


def test_names_that_are_left_to_the_application(secret: Path) -> None:
    environ = {
        "IGNORE_ENV": "LOG_FORMAT, TIMEOUT,WEB_CONCURRENCY,GUNICORN_BACKLOG,GUNICORN_OURS,LOG_CONFIG_FILE",
        "LOG_FORMAT": "%(message)s",
        "TIMEOUT": "2.5",
        "TIMEOUT_FILE": "/nope",
        "WEB_CONCURRENCY": "background",
        "GUNICORN_BACKLOG": "many",
        "GUNICORN_OURS": "yes",
        "LOG_CONFIG_FILE": "/nope",
    }
    settings = resolve(environ)

    assert (settings.problems, settings.warnings) == ([], [])
    assert (settings.log_format, settings.timeout, settings.workers) == ("text", 30, 3)
    assert resolve(environ | {"PADDOCK_TIMEOUT": "9"}).timeout == 9
    assert value_of("LOG_FORMAT", environ) == "text"


def test_a_name_that_is_left_to_the_application_may_be_its_secret(secret: Path) -> None:
    environ = {"IGNORE_ENV": "HOST", "SECRETS_ENV": "HOST", "HOST_FILE": str(secret)}

    settings = resolve(environ)
    assert (settings.secrets, settings.bind) == ({"HOST": "hunter2"}, ["0.0.0.0:8000"])


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("LOG_FORMT", "did you mean LOG_FORMAT?"),
        ("GUNICORN_BACKLGO", "did you mean GUNICORN_BACKLOG?"),
        ("SOMETHING_ELSE", "`paddock settings` lists those there are"),
    ],
)
def test_what_is_left_to_the_application_has_to_be_there(name: str, advice: str) -> None:
    expected = f"IGNORE_ENV='TIMEOUT,{name}': no setting has the name {name}: {advice}"

    assert only(problems({"IGNORE_ENV": f"TIMEOUT,{name}"})) == expected
    assert problems({"IGNORE_ENV": f"TIMEOUT,{name}", name: "1"}) == []


@pytest.mark.parametrize(
    ("variable", "value"), [("LOG_FORMAT", "%(message)s"), ("TIMEOUT", "2.5"), ("WORKERS", "background")]
)
def test_an_error_says_how_to_keep_a_variable(variable: str, value: str) -> None:
    assert only(problems({variable: value})).endswith(f"; if it is your application's, set IGNORE_ENV={variable}")


@pytest.mark.parametrize("variable", ["PADDOCK_TIMEOUT", "GUNICORN_TIMEOUT", "UVICORN_HTTP2", "IGNORE_ENV"])
def test_nothing_is_said_of_keeping_what_can_only_be_the_images(variable: str) -> None:
    assert "application" not in only(problems({variable: "two and a half"}))


# Near misses


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("WORKER", "WORKERS"),
        ("TIMOEUT", "TIMEOUT"),
        ("WEB_CONCURENCY", "WEB_CONCURRENCY"),
        ("ROOTPATH", "ROOT_PATH"),
        ("PADOCK_WORKERS", "PADDOCK_WORKERS"),
    ],
)
def test_near_misses(variable: str, meant: str) -> None:
    assert only(resolve({variable: "1"}).warnings) == f"{variable} is set, which is no setting: did you mean {meant}?"


@pytest.mark.parametrize(
    "environ",
    [
        {"HOSTS": "1"},
        {"PORTS": "1"},
        {"WRKRS": "1"},
        {"MYWORKERS": "1"},
        {"WORKER": "1", "REQUIRED_ENV": "WORKER"},
        {"WORKERS_FILE_": "1"},
        {"TIMEOUTS": "1", "SECRETS_ENV": "OTHER, TIMEOUTS"},
        {"TIMEOUTS": "1", "IGNORE_ENV": "TIMEOUTS"},
    ],
)
def test_no_near_misses(environ: dict[str, str]) -> None:
    assert resolve(environ).warnings == []


# Secrets


def test_secrets_of_the_application(secret: Path) -> None:
    environ = {
        "SECRETS_ENV": "DB_PASSWORD, API_KEY, UNSET",
        "DB_PASSWORD_FILE": str(secret),
        "API_KEY": "direct",
        "OTHER_FILE": str(secret),
    }

    assert resolve(environ).secrets == {"DB_PASSWORD": "hunter2"}


def test_secrets_taken_for_another_command(secret: Path) -> None:
    environ = {"SECRETS_ENV": "DB_PASSWORD,API_KEY", "DB_PASSWORD_FILE": str(secret), "WORKERS": "four"}

    assert take_secrets(environ) == []
    assert environ == {"SECRETS_ENV": "DB_PASSWORD,API_KEY", "DB_PASSWORD": "hunter2", "WORKERS": "four"}
    assert take_secrets(environ) == []


def test_secrets_are_taken_all_or_none(secret: Path) -> None:
    environ = {"SECRETS_ENV": "DB_PASSWORD,API_KEY", "DB_PASSWORD_FILE": str(secret), "API_KEY_FILE": "/nope"}
    before = dict(environ)

    (problem,) = take_secrets(environ)
    assert problem.name == "API_KEY_FILE"
    assert environ == before


def test_an_exported_secret_does_not_count_as_given_beside_its_file(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "_exported", {})
    monkeypatch.delenv("DB_PASSWORD", raising=False)
    environ = {"SECRETS_ENV": "DB_PASSWORD", "DB_PASSWORD_FILE": str(secret)}
    first = resolve(environ)
    monkeypatch.setenv("DB_PASSWORD", "to be undone")
    export_secrets(first)

    again = resolve(environ | {"DB_PASSWORD": "hunter2"})
    assert (again.problems, again.secrets) == ([], {"DB_PASSWORD": "hunter2"})
    assert len(resolve(environ | {"DB_PASSWORD": "another"}).problems) == 1


def test_a_setting_among_the_secrets_is_read_once(secret: Path) -> None:
    settings = resolve({"SECRETS_ENV": "KEYFILE_PASSWORD", "KEYFILE_PASSWORD_FILE": str(secret)})

    assert (settings.keyfile_password, settings.secrets) == ("hunter2", {})


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("KEYFILE_PASSWORD", True),
        ("DB_PASSWD", True),
        ("api_token", True),
        ("GUNICORN_RAW_ENV", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("APIKEY", True),
        ("WORKERS", False),
        ("KEYFILE", False),
        ("APP_MODULE", False),
    ],
)
def test_names_that_look_secret(name: str, secret: bool) -> None:
    assert looks_secret(name) is secret


def test_what_a_file_holds_is_not_shown(secret: Path) -> None:
    variables = ("WORKERS_FILE", "UVICORN_HEADERS_FILE", "GUNICORN_BACKLOG_FILE", "BIND_FILE", "CERTFILE_FILE")
    found = problems(dict.fromkeys(variables, str(secret)))

    assert len(found) == len(variables)
    assert "hunter2" not in "\n".join(found)


def test_what_looks_secret_is_not_shown() -> None:
    found = problems({"GUNICORN_API_TOKEN": "hunter2", "GUNICORN_SECRET_BACKLOG": "hunter2"})

    assert len(found) == 2
    assert "hunter2" not in "\n".join(found)


# Files


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "the file is empty"), (b" \n", "the file is empty"), (b"\xff", "not UTF-8 text")]
)
def test_a_file_without_a_value(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "value"
    file.write_bytes(content)

    error = only(problems({"TIMEOUT_FILE": str(file)}))
    assert error.startswith(f"TIMEOUT_FILE={str(file)!r}: ")
    assert reason in error


def test_a_file_that_is_not_there() -> None:
    error = only(problems({"TIMEOUT_FILE": "/nope"}))

    assert error == "TIMEOUT_FILE='/nope': cannot be read (No such file or directory); expected the path of a file"


# What is required


def test_required(tmp_path: Path, secret: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    environ = {
        "REQUIRED_ENV": "A,B,C,SECRET",
        "B": " ",
        "C": "1",
        "SECRETS_ENV": "SECRET",
        "SECRET_FILE": str(secret),
        "REQUIRED_FILES": f"/nope,{tmp_path},{empty},{secret}",
    }

    assert [problem.name for problem in resolve(environ).problems] == ["A", "B", "/nope", str(tmp_path), str(empty)]


# Anything at all

texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
names = st.sampled_from([name for setting in SETTINGS for name in setting.names if name != "SECRETS_ENV"])


@given(st.dictionaries(names | names.map(lambda name: name + "_FILE"), texts, max_size=6))
def test_any_environment_has_a_resolution(environ: dict[str, str]) -> None:
    before = dict(environ)
    settings = resolve(environ)

    assert isinstance(settings, Resolution)
    assert environ == before
    assert all(str(problem).isprintable() for problem in settings.problems)
