"""What is added to the reason for which lifespan startup failed."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from paddock.workers.asgi import say_closed

TRACEBACK = "Traceback (most recent call last):\n  File …\nPermissionError: [Errno 13] Permission denied: '{}'\n"


def record(message: str, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, None) if error else None
    return logging.LogRecord("uvicorn.error", logging.ERROR, __file__, 1, message, (), exc_info)


def said(entry: logging.LogRecord) -> str:
    assert say_closed(entry)
    return entry.getMessage()


def test_as_text_of_a_framework_and_as_an_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = f"{tmp_path}/data/shop.db"
    advice = f"{path} is closed to user {os.getuid()}:{os.getgid()}, as all that COPY brings is root's"

    assert advice in said(record(TRACEBACK.format(path)))
    error = PermissionError(13, "Permission denied", path)
    assert advice in said(record("Exception in 'lifespan' protocol\n", error))


def test_what_is_none_of_the_applications_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = PermissionError(13, "Permission denied", "/etc/shadow")

    for message, error in (
        (TRACEBACK.format("/etc/shadow"), None),
        ("Exception in 'lifespan' protocol\n", elsewhere),
        ("Exception in 'lifespan' protocol\n", OSError(30, "Read-only file system", f"{tmp_path}/x")),
        # A request that fails is the application's matter.
        ("Exception in ASGI application\n", PermissionError(13, "Permission denied", f"{tmp_path}/x")),
    ):
        assert said(record(message, error)) == message
