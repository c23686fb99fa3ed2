"""The tables of settings, for people, for machines and for the README."""

from __future__ import annotations

import json
import os
import re

import pytest

from paddock.settings.listing import FORMATS, effective_settings, text_table
from paddock.settings.shown import HIDDEN
from paddock.settings.table import SETTINGS
from paddock.start.configuration import Configuration


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})


def rows_of(environ: dict[str, str], *flags: str) -> dict[str, dict[str, object]]:
    # gunicorn_conf.py, which is one of the layers, reads the process's own environment.
    os.environ.clear()
    os.environ.update(environ)
    server = Configuration(list(flags), os.environ, find_application=False)
    return {str(row["name"]): row for row in effective_settings(server.cfg, server.origins)}


def test_effective_settings_are_all_there_are() -> None:
    rows = rows_of({})

    assert list(rows)[: len(SETTINGS)] == [setting.name for setting in SETTINGS]
    assert {"GUNICORN_BACKLOG", "GUNICORN_UMASK"} <= set(rows)
    assert not {"GUNICORN_WORKERS", "GUNICORN_CONFIG", "GUNICORN_POST_FORK"} & set(rows)
    json.dumps(list(rows.values()))


def test_effective_settings_in_the_words_of_a_user() -> None:
    rows = rows_of({"WORKER_CLASS": "uvicorn.workers.UvicornWorker", "TIMEOUT": "60"}, "--threads", "2")

    assert rows["WORKER_CLASS"]["value"] == "uvicorn"
    assert rows["TIMEOUT"] == {"name": "TIMEOUT", "value": 60, "source": "environment", "origin": "TIMEOUT"}
    assert rows["THREADS"]["source"] == "command line"
    assert rows["KEEP_ALIVE"]["source"] == "default"


def test_secrets_are_hidden() -> None:
    rows = rows_of({"KEYFILE_PASSWORD": "hunter2", "GUNICORN_RAW_ENV": "DB_PASSWORD=hunter2"})

    assert rows["KEYFILE_PASSWORD"]["value"] == rows["GUNICORN_RAW_ENV"]["value"] == HIDDEN
    assert rows_of({})["KEYFILE_PASSWORD"]["value"] is None


def test_text_table() -> None:
    rows = [{"a": "long value", "b": None, "c": 1}, {"a": "x", "b": ["1", "2"], "c": True}]

    assert text_table(rows, ("a", "b", "c")) == "A           B    C\nlong value  -    1\nx           1,2  true"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_names_every_setting(name: str) -> None:
    text = FORMATS[name]()

    assert all(re.search(rf"\b{setting.name}\b", text) for setting in SETTINGS)


def test_json() -> None:
    rows = {row["name"]: row for row in json.loads(FORMATS["json"]())}

    assert rows["WORKERS"]["aliases"] == ["WEB_CONCURRENCY", "GUNICORN_WORKERS"]
    assert rows["WORKERS"]["default"] == "auto"
    assert rows["CERTFILE"]["default"] is None


def test_markdown() -> None:
    text = FORMATS["markdown"]()

    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == len(SETTINGS)
    assert all(len(re.split(r"(?<!\\)\|", row)) == 6 for row in rows)
    assert "Also: `WEB_CONCURRENCY`." in text
    assert text.count("**") == 2 * len({setting.section for setting in SETTINGS})
