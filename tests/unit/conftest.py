"""What the unit tests share: the interpreter is one for all of them."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gunicorn import config
from hypothesis import settings

from paddock.health import check
from paddock.health.others import children
from paddock.logs.logger import SERVERS
from paddock.start import messages
from paddock.text.formats import IMAGE

# The same examples on every machine and on every day, however long a busy machine takes for one.
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")

LOGGERS = (None, "shop", IMAGE, *SERVERS)


@pytest.fixture
def start_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Work in a directory, as a server that starts there with an empty environment; imports and paths are put back."""
    modules = dict(sys.modules)

    def start(directory: Path) -> None:
        monkeypatch.chdir(directory)
        # Gunicorn takes the working directory of its own import.
        monkeypatch.setattr(config.Chdir, "default", str(directory))
        monkeypatch.setattr(os, "environ", {})
        monkeypatch.setattr(sys, "path", list(sys.path))

    yield start
    # In the same table: what Python's own C imports, as time.strptime does, looks at no other.
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.modules.update(modules)


@pytest.fixture
def own_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the health check see this test's processes alone: other tests have some that look like servers."""
    processes = check._processes

    def of_this_test(proc: str) -> Iterator[tuple[str, list[str]]]:
        own = children(os.getpid())
        return ((pid, arguments) for pid, arguments in processes(proc) if int(pid) in own)

    monkeypatch.setattr(check, "_processes", of_this_test)


@pytest.fixture(autouse=True)
def logging_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put loggers, and what Python does with exceptions that nobody catches, back when a test ends."""
    monkeypatch.setattr(messages, "_early", None)
    for holder, hook in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(holder, hook, getattr(holder, hook))
    before = [(log, log.__class__, vars(log).copy(), log.handlers[:]) for log in map(logging.getLogger, LOGGERS)]
    yield
    logging.captureWarnings(False)
    for log, of_class, attributes, handlers in before:
        log.__class__ = of_class
        vars(log).update(attributes, handlers=handlers)
    for log in logging.Logger.manager.loggerDict.values():
        # By a configuration that does not name it.
        if isinstance(log, logging.Logger):
            log.disabled = False
    logging.Logger.manager._clear_cache()
