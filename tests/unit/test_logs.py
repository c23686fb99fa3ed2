"""What the application does to logging, and what that does to the servers' own lines."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Callable
from pathlib import Path

import pytest
from gunicorn import glogging
from gunicorn.config import Config

from events import json_events, text_events
from paddock.logs.logger import Logger
from paddock.settings.parsers import LogLevel
from paddock.settings.table import register
from paddock.start import messages
from paddock.text.formats import IMAGE

EVENTS = {"text": text_events, "json": json_events}

SILENCING = [
    {"version": 1},
    {"version": 1, "handlers": {"null": {"class": "logging.NullHandler"}}, "root": {"handlers": ["null"]}},
    {"version": 1, "root": {"level": "CRITICAL"}},
]
"""What applications configure, and none of it is about the servers' loggers."""


@pytest.fixture
def logger(capfd: pytest.CaptureFixture[str]) -> Logger:
    """Logging as it is set up in the arbiter."""
    register()
    return Logger(Config())


@pytest.fixture
def said(logger: Logger, capfd: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Log by the logger of a name, and return what comes out."""

    def say(name: str) -> str:
        logging.getLogger(name).error("told by %s", name)
        return capfd.readouterr().err

    return say


@pytest.mark.parametrize("config", SILENCING)
@pytest.mark.parametrize("name", ["gunicorn.error", "uvicorn.error"])
def test_servers_speak_on_whatever_the_application_configures(
    said: Callable[[str], str], name: str, config: dict[str, object]
) -> None:
    logging.config.dictConfig(config)

    assert said(name).endswith(f"] {name.partition('.')[0]}: told by {name}\n")


def test_application_may_have_the_servers_lines_when_it_says_so(said: Callable[[str], str]) -> None:
    handler = {"class": "logging.StreamHandler", "formatter": "mine"}
    formatters = {"mine": {"format": "MINE %(message)s"}}
    loggers = {"uvicorn": {"handlers": ["mine"], "propagate": False}}
    logging.config.dictConfig(
        {"version": 1, "formatters": formatters, "handlers": {"mine": handler}, "loggers": loggers}
    )

    assert said("uvicorn.error") == "MINE told by uvicorn.error\n"


@pytest.mark.parametrize("name", ["uvicorn.error", "shop"])
def test_logging_that_is_set_up_again_says_things_once(said: Callable[[str], str], logger: Logger, name: str) -> None:
    logger.setup(Config())

    assert said(name).count("told by") == 1


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_logger_with_the_servers_handlers_says_things_once(
    said: Callable[[str], str], logger: Logger, monkeypatch: pytest.MonkeyPatch, log_format: str
) -> None:
    """As `app.logger.handlers = logging.getLogger("gunicorn.error").handlers`, which many applications have."""
    cfg = Config()
    cfg.set("log_format", log_format)
    logger.setup(cfg)
    monkeypatch.setattr(logging.getLogger("shop"), "handlers", logging.getLogger("gunicorn.error").handlers)

    assert said("shop").count("told by shop") == 1


@pytest.mark.parametrize("name", ["gunicorn.error", "uvicorn", "uvicorn.error", "uvicorn.access"])
def test_loggers_have_the_handlers_that_applications_look_for(said: Callable[[str], str], name: str) -> None:
    assert logging.getLogger(name).handlers
    assert said(name).count(f"told by {name}") == 1


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("WARN", 30),
        ("Fatal", 50),
        ("NOTSET", 1),
        ("0", 1),
        ("trace", 5),
        ("TRACE", 5),
        ("20", 20),
        ("010", 10),
        ("25", 25),
        ("100", 100),
    ],
)
@pytest.mark.parametrize("logger_class", [Logger, glogging.Logger])
def test_the_level_is_what_any_name_of_it_says(logger_class: type, text: str, level: int) -> None:
    register()
    cfg = Config()
    cfg.set("loglevel", LogLevel()(text))
    messages.log_on_stderr("text", cfg.loglevel, whole=True)

    assert logging.getLogger(IMAGE).level == logging.getLogger().level == level
    logger_class(cfg)
    assert logging.getLogger("gunicorn.error").level == level
    if logger_class is Logger:
        # Uvicorn asks for the level itself, not for what a parent's comes to.
        assert logging.getLogger("uvicorn.error").level == logging.getLogger().level == level


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_files_that_are_moved_are_opened_anew(log_format: str, tmp_path: Path) -> None:
    register()
    cfg = Config()
    for key, name in (("accesslog", "access"), ("errorlog", "error")):
        cfg.set(key, str(tmp_path / name))
    cfg.set("log_format", log_format)
    logger = Logger(cfg)
    names = ("gunicorn.error", "uvicorn.error", "uvicorn", "uvicorn.access", "shop")
    for time in ("before", "after"):
        for name in names:
            logging.getLogger(name).error("%s: %s", time, name)
        logging.getLogger("gunicorn.access").info("%s", time)
        if time == "before":
            for name in ("access", "error"):
                (tmp_path / name).rename(tmp_path / f"{name}.1")
            logger.reopen_files()
    for log in (logger.access_log, *map(logging.getLogger, (None, *names))):
        for handler in log.handlers:
            handler.close()

    for time, suffix in (("before", ".1"), ("after", "")):
        log = (tmp_path / f"error{suffix}").read_text()
        said = [event["message"] if log_format == "json" else event.message for event in EVENTS[log_format](log)]
        assert said == [f"{time}: {name}" for name in names]
        assert (tmp_path / f"access{suffix}").read_text().count(time) == 1
