"""LOG_CONFIG: a configuration of the user's own, read, tried out and obeyed; and what is logged before any."""

from __future__ import annotations

import json
import logging
import logging.config
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config

from events import json_events
from paddock.logs.logger import SERVERS, Logger
from paddock.settings.table import register
from paddock.start import log_config as configuration
from paddock.start import messages
from paddock.text.formats import IMAGE

CONSOLE = {
    "version": 1,
    "formatters": {"json": {"()": "paddock.logs.formats.JsonFormatter"}, "mine": {"format": "MINE %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "mine"}},
    "root": {"handlers": ["console"]},
}


@pytest.fixture(autouse=True)
def settings_are_known() -> None:
    """Let Gunicorn know the image's settings."""
    register()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write a file, and return its path: text as it is, anything else as JSON."""

    def file(content: object, name: str = "log.json") -> str:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return file


def config(**settings: object) -> Any:
    """Gunicorn's configuration with `settings`."""
    cfg = Config()
    for key, value in ({"logger_class": "paddock.logs.logger.Logger"} | settings).items():
        cfg.set(key, value)
    return cfg


def complaint(cfg: Any) -> str:
    """What is wrong with the configuration of logging in `cfg`, in one line."""
    (problem,) = configuration.problems(cfg)
    text = str(problem)
    assert len(text.splitlines()) == 1
    return text


# --- Reading ---


def test_json_toml_and_python_say_the_same(write: Callable[..., str]) -> None:
    found = [
        configuration.read(write({"version": 1, "root": {"level": "INFO"}})),
        configuration.read(write('version = 1\n[root]\nlevel = "INFO"\n', "log.toml")),
        configuration.read(write('LOGGING = {"version": 1, "root": {"level": "INFO"}}\n', "log.py")),
    ]

    assert found == [{"version": 1, "root": {"level": "INFO"}}] * 3


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("log.json", '{"version": 1,\n"root" {}}', "line 2: Expecting ':' delimiter"),
        ("log.json", "[1]", "holds a list, no dictionary"),
        ("log.toml", "version = 1\nroot = \n", "line 2"),
        ("log.py", "LOGGING = {\n'version': 1\n'root': {}}\n", "line 2: SyntaxError"),
        ("log.py", "import os\nLOGGING = os.nope\n", "line 2: AttributeError"),
        ("log.py", "import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
        ("log.py", "CONFIG = {}\n", "sets no LOGGING"),
        ("log.py", "LOGGING = None\n", "sets no LOGGING"),
        ("log.json", {"root": {}}, "dictionary doesn't specify a version"),
        (
            "log.json",
            {"version": 1, "handlers": {"x": {"class": "nope.Handler"}}},
            "handler 'x': Cannot resolve 'nope.Handler': No module named 'nope'",
        ),
        ("log.json", {"version": 1, "root": {"handlers": ["nope"]}}, "Unable to configure root logger"),
        (
            "log.json",
            {"version": 1, "root": {"level": "loud"}},
            "Unable to configure root logger: Unknown level: 'loud'",
        ),
        (
            "log.json",
            {"version": 1, "handlers": {"x": {"class": "logging.FileHandler", "filename": "/nope/log"}}},
            "handler 'x': the directory '/nope' does not exist",
        ),
        ("log.json", {"version": 1, "formatters": {"x": {"()": "nope"}}}, "Unable to configure formatter 'x'"),
    ],
)
def test_what_cannot_be_applied_is_named(write: Callable[..., str], name: str, content: object, reason: str) -> None:
    path = write(content, name)
    before = logging.getLogger().handlers[:]

    said = complaint(config(log_config=path))
    assert said.startswith(f"LOG_CONFIG='{path}': ")
    assert reason in said
    assert "expected what https://docs.python.org/3/library/logging.config.html describes" in said
    assert logging.getLogger().handlers == before


def test_trying_a_configuration_out_leaves_files_and_logging_alone(write: Callable[..., str], tmp_path: Path) -> None:
    kept, new = tmp_path / "kept", tmp_path / "new"
    kept.write_text("from before\n")
    files = {
        "kept": {"class": "logging.FileHandler", "filename": str(kept), "mode": "w"},
        "new": {"class": "logging.handlers.RotatingFileHandler", "filename": str(new)},
    }
    path = write({"version": 1, "handlers": files, "root": {"handlers": ["kept", "new"]}})
    before = logging.getLogger().handlers[:]

    assert configuration.problems(config(log_config=path)) == []
    assert kept.read_text() == "from before\n"
    assert not new.exists()
    assert logging.getLogger().handlers == before


@pytest.mark.parametrize("other", ["logconfig", "logconfig_json", "logconfig_dict"])
def test_two_configurations_are_one_too_many(write: Callable[..., str], other: str) -> None:
    path = write(CONSOLE)
    said = complaint(config(log_config=path, **{other: CONSOLE if other == "logconfig_dict" else path}))

    assert said == f"LOG_CONFIG='{path}': GUNICORN_{other.upper()} configures logging, too: unset one of them"


def test_gunicorns_own_are_tried_out_too(write: Callable[..., str]) -> None:
    good = "[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n[logger_root]\nhandlers=\n"

    assert configuration.problems(config(logconfig=write(good, "log.ini"))) == []
    assert complaint(config(logconfig=write("[loggers]\n", "log.ini"))).startswith("GUNICORN_LOGCONFIG=")
    assert "there is no such file" in complaint(config(logconfig_json="/nope"))
    assert "No module named 'nope'" in complaint(
        config(logconfig_dict={"version": 1, "handlers": {"x": {"class": "nope.Handler"}}})
    )


# --- Obeying ---


def test_it_is_obeyed_whole(write: Callable[..., str], capfd: pytest.CaptureFixture[str]) -> None:
    messages.log_on_stderr("json", "info", whole=True)
    log = Logger(config(log_config=write(CONSOLE | {"disable_existing_loggers": False}), accesslog="-"))
    for name in (*SERVERS, "shop", IMAGE):
        logging.getLogger(name).info("told by %s", name)

    expected = [f"MINE told by {name}" for name in (*SERVERS, "shop", IMAGE)]
    assert capfd.readouterr().err.splitlines() == expected
    assert len(logging.getLogger().handlers) == 1
    assert log.access_log_enabled


def test_existing_loggers_are_disabled_but_for_the_servers(
    write: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("shop").disabled = False
    Logger(config(log_config=write(CONSOLE | {"disable_existing_loggers": True})))

    assert logging.getLogger("shop").disabled
    logging.getLogger("gunicorn.error").info("here")
    assert capfd.readouterr().err == "MINE here\n"


def test_loggers_may_be_kept(write: Callable[..., str]) -> None:
    Logger(config(log_config=write(CONSOLE | {"disable_existing_loggers": False})))

    assert not logging.getLogger("shop").disabled


def test_levels_are_its_own(write: Callable[..., str], capfd: pytest.CaptureFixture[str]) -> None:
    loggers = {"gunicorn.error": {"level": "ERROR"}, "gunicorn.access": {"handlers": [], "propagate": False}}
    Logger(config(log_config=write(CONSOLE | {"loggers": loggers}), loglevel="warning"))
    logging.getLogger("gunicorn.error").warning("not this")
    logging.getLogger("gunicorn.access").info("nor this")
    logging.getLogger("uvicorn.error").info("nor this, by LOG_LEVEL")
    logging.getLogger("uvicorn.error").warning("this")

    assert capfd.readouterr().err == "MINE this\n"


def test_a_reload_obeys_what_is_there_then(write: Callable[..., str], capfd: pytest.CaptureFixture[str]) -> None:
    log = Logger(config())
    log.setup(config(log_config=write(CONSOLE)))
    log.info("obeyed")
    log.setup(config(log_format="json"))
    log.info("the image's")

    mine, image = capfd.readouterr().err.splitlines()
    assert mine == "MINE obeyed"
    assert json_events(image)[0]["message"] == "the image's"


# --- Before there is any ---


def test_everything_is_logged_from_the_first_line_on(capfd: pytest.CaptureFixture[str]) -> None:
    messages.log_on_stderr("json", "info", whole=True)
    logging.getLogger("shop").info("early")
    logging.getLogger(IMAGE).info("said")

    assert [event["message"] for event in json_events(capfd.readouterr().err)] == ["early", "said"]


def test_other_commands_keep_their_own_logging(capfd: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:], sys.excepthook
    messages.log_on_stderr("json", "info", whole=False)

    assert (logging.getLogger().handlers, sys.excepthook) == before


def test_format_and_level_follow_until_it_ends(capfd: pytest.CaptureFixture[str]) -> None:
    messages.log_on_stderr("text", "info", whole=True)
    messages.follow("json", "error")
    logging.getLogger(IMAGE).warning("too mild")
    logging.getLogger(IMAGE).error("told")

    assert [event["message"] for event in json_events(capfd.readouterr().err)] == ["told"]


class Fails:
    def __del__(self) -> None:
        raise LookupError("in a destructor")

    def __repr__(self) -> str:
        raise RuntimeError


def fail() -> None:
    raise LookupError("in a thread")


def test_what_python_would_print_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    messages.log_on_stderr("json", "info", whole=True)
    Fails()
    thread = threading.Thread(target=fail, name="orders")
    thread.start()
    thread.join()
    try:
        raise LookupError("everywhere")
    except LookupError:
        sys.excepthook(*sys.exc_info())

    destructor, in_thread, uncaught = json_events(capfd.readouterr().err)
    assert "LookupError: in a destructor" in destructor["exception"]
    assert (in_thread["level"], in_thread["message"]) == ("error", "Uncaught exception in thread orders: LookupError")
    assert (uncaught["level"], uncaught["message"]) == ("critical", "Uncaught exception: LookupError")
    assert {event["logger"] for event in (destructor, in_thread, uncaught)} == {"python"}


def test_the_exit_of_a_thread_is_none(capfd: pytest.CaptureFixture[str]) -> None:
    messages.log_on_stderr("json", "info", whole=True)
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()

    assert capfd.readouterr().err == ""
