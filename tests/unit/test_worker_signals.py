"""Signals to a worker, as far as they need no process."""

from __future__ import annotations

import signal
import time
from types import SimpleNamespace

import pytest

from paddock.workers.base import BootingWorker


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


def test_only_the_first_signal_interrupts_the_import() -> None:
    worker = BootingWorker.__new__(BootingWorker)
    worker.booted, worker.alive = False, True

    with pytest.raises(SystemExit) as end:
        worker.handle_quit(signal.SIGINT, None)
    assert end.value.code == 0
    worker.handle_quit(signal.SIGQUIT, None)
    worker.handle_exit(signal.SIGTERM, None)
    assert not worker.alive
