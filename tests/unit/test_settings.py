"""The table of settings agrees with itself, with Gunicorn and with Uvicorn."""

from __future__ import annotations

import inspect
import re

import pytest
import uvicorn
from gunicorn import config
from gunicorn.config import Config

from paddock.settings.environment import REFUSED, resolve
from paddock.settings.parsers import parse
from paddock.settings.table import BY_KEY, BY_NAME, SETTINGS, UVICORN_REPLACED, Setting, register

GUNICORN = {setting.name: setting for setting in config.KNOWN_SETTINGS if setting.section != "Paddock"}

each = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)


@each
def test_default_is_a_value_that_a_user_could_set(setting: Setting) -> None:
    if setting.default is not None:
        parse(setting.parser, setting.default)


@each
def test_what_it_sets_is_gunicorns(setting: Setting) -> None:
    if setting.sets:
        assert setting.sets in GUNICORN
    else:
        assert setting.key not in GUNICORN


@each
def test_words_for_the_readme(setting: Setting) -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+", setting.name)
    assert setting.help
    assert setting.help[0] in "`*" or setting.help[0].isupper()
    assert setting.help.endswith(".")
    assert not setting.parser.expected.endswith(".")
    assert "|" not in setting.help


@each
def test_a_refusal_completes_the_sentence(setting: Setting) -> None:
    said = ""
    try:
        parse(setting.parser, "\n!")
    except ValueError as error:
        said = str(error)

    assert said == "" or said.endswith(f"expected {setting.parser.expected}")


def test_names_are_unique() -> None:
    names = [name for setting in SETTINGS for name in setting.names]

    assert len(names) == len(set(names))
    assert len(BY_NAME) == len(BY_KEY) == len(SETTINGS)


def test_gunicorns_spelling_is_the_last_name() -> None:
    assert BY_NAME["WORKERS"].names == ("WORKERS", "WEB_CONCURRENCY", "GUNICORN_WORKERS")
    assert BY_NAME["KEEP_ALIVE"].names == ("KEEP_ALIVE", "GUNICORN_KEEPALIVE")
    assert BY_NAME["LOG_FORMAT"].names == ("LOG_FORMAT",)


def test_sections_are_whole() -> None:
    sections = [setting.section for setting in SETTINGS]
    starts = [section for i, section in enumerate(sections) if i == 0 or sections[i - 1] != section]

    assert len(starts) == len(set(starts))


def test_every_option_of_uvicorn_is_reachable_or_named() -> None:
    not_for_a_worker = {
        "app",
        "factory",
        "log_config",
        "use_colors",
        "env_file",
        "reload_delay",
        "callback_notify",
        "timeout_notify",
        "timeout_worker_healthcheck",
        "ssl_version",
        "ssl_context_factory",
    }
    options = {name for name in inspect.signature(uvicorn.Config).parameters if name not in not_for_a_worker}
    reachable = {name.removeprefix("UVICORN_").lower() for name in BY_NAME if name.startswith("UVICORN_")}
    replaced = {name.lower() for name in UVICORN_REPLACED}

    assert options - reachable - replaced == set()
    assert reachable - options == set()


def test_what_replaces_an_option_of_uvicorn_exists() -> None:
    for name in UVICORN_REPLACED.values():
        assert name in BY_NAME or name.removeprefix("GUNICORN_").lower() in GUNICORN


@pytest.mark.parametrize("name", sorted(GUNICORN))
def test_every_setting_of_gunicorn_is_reachable_refused_or_a_function(name: str) -> None:
    variable = f"GUNICORN_{name.upper()}"
    problems = resolve({variable: "!"}).problems

    assert all(problem.name.removesuffix("_FILE") == variable for problem in problems)
    if callable(GUNICORN[name].default):
        assert "Gunicorn file" in problems[0].message
    elif name in REFUSED:
        assert REFUSED[name] in problems[0].message
    else:
        assert not any("no setting has this name" in problem.message for problem in problems)


@pytest.mark.parametrize("name", sorted(GUNICORN))
def test_gunicorns_default_can_be_spelt(name: str) -> None:
    default = GUNICORN[name].default
    if isinstance(default, bool | int) and name not in REFUSED:
        variable = f"GUNICORN_{name.upper()}"
        octal = GUNICORN[name].type is not None and GUNICORN[name].type is not int
        text = oct(default).removeprefix("0o") if octal and not isinstance(default, bool) else str(default)
        resolution = resolve({variable: text})

        below_the_least = {"graceful_timeout": 1, "workers": 1, "threads": 1}.get(name, default) > default
        assert bool(resolution.problems) == below_the_least


def test_registered_settings_are_gunicorns_too() -> None:
    register()
    register()
    cfg = Config()

    for setting in SETTINGS:
        if not setting.start_only and not setting.sets:
            assert setting.key in cfg.settings
    assert cfg.log_format == "text"
    cfg.set("log_format", "JSON")
    assert cfg.log_format == "json"
    with pytest.raises(ValueError, match="expected text or json"):
        cfg.set("log_format", "xml")
    assert cfg.parser().parse_args(["--uvicorn-ws", "none"]).uvicorn_ws == "none"
