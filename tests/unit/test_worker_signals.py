"""Signals to a worker, as far as they need no process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from paddock.workers.base import BootingWorker
from page import ROOT


def test_only_the_first_ctrl_c_interrupts_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes from the terminal and from the arbiter: the second would end what the first has begun."""
    hooks: list[object] = []
    worker = BootingWorker.__new__(BootingWorker)
    worker.booted = True
    worker.cfg = SimpleNamespace(worker_int=hooks.append)
    # What Gunicorn's handler waits before it ends the process.
    monkeypatch.setattr(time, "sleep", lambda seconds: worker.handle_quit(signal.SIGQUIT, None))

    with pytest.raises(SystemExit) as end:
        worker.handle_quit(signal.SIGINT, None)
    assert end.value.code == 0
    worker.handle_quit(signal.SIGQUIT, None)
    assert hooks == [worker]


def test_only_the_first_signal_interrupts_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    worker = BootingWorker.__new__(BootingWorker)
    worker.booted, worker.alive = False, True

    with pytest.raises(SystemExit) as end:
        worker.handle_quit(signal.SIGINT, None)
    assert end.value.code == 0
    worker.handle_quit(signal.SIGQUIT, None)
    worker.handle_exit(signal.SIGTERM, None)
    assert not worker.alive


INTERRUPTED = """
import weakref
from paddock.workers.base import BootingWorker

class Imported: pass

def end(reference):
    worker.handle_exit(15, None)

def fail(reference):
    raise ValueError("bad")

worker = BootingWorker.__new__(BootingWorker)
worker.booted, worker.alive = False, True
for callback in (end, fail):
    imported = Imported()
    reference = weakref.ref(imported, callback)
    del imported
print("alive" if worker.alive else "ends")
"""


def test_an_end_that_python_ignores_is_not_shown() -> None:
    """A signal may come while a weak reference's callback runs, of which importing has some."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], cwd=ROOT / "build", capture_output=True, text=True, check=True
    )

    assert done.stdout == "ends\n"
    assert "SystemExit" not in done.stderr
    assert "ValueError: bad" in done.stderr
