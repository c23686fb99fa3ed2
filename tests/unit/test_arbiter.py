"""What the arbiter does about workers that do not end, and about those that it has not heard of."""

from __future__ import annotations

import logging
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from paddock.arbiter import arbiter
from paddock.arbiter.arbiter import Arbiter


def test_a_worker_that_the_kernel_does_not_end_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in an uninterruptible sleep, at a file system that is gone: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html"""
    monkeypatch.setattr(arbiter, "QUICK_TIMEOUT", 0.1)
    signals: list[int] = []
    stopping: Any = SimpleNamespace(
        WORKERS={7: None, 11: None},
        log=logging.getLogger("gunicorn.error"),
        kill_workers=signals.append,
        dirty_arbiter_pid=0,
        reap_workers=lambda: stopping.WORKERS.pop(11, None),
    )

    Arbiter.kill_the_rest(stopping, "GRACEFUL_TIMEOUT=8")

    assert signals == [signal.SIGKILL]
    assert caplog.messages == [
        "Killed 2 workers (pid 7, 11) that did not stop within GRACEFUL_TIMEOUT=8",
        "Left 1 workers (pid 7) behind: the kernel does not end them",
    ]


def worker(last: float, **shared: Any) -> Any:
    """Return a worker that was last heard of at the time `last`."""
    marks = {"leaving": None, "born": last} | shared
    return SimpleNamespace(
        tmp=SimpleNamespace(last_update=lambda: last), aborted=False, shared=SimpleNamespace(**marks)
    )


@pytest.fixture
def looking() -> Any:
    """An arbiter that looked at its workers at 100 seconds, and notes whom it would kill."""
    killed: list[int] = []
    return SimpleNamespace(
        WORKERS={7: worker(99.5), 8: worker(99.5, leaving=104.0)},
        cfg=SimpleNamespace(timeout=3),
        log=logging.getLogger("gunicorn.error"),
        looked=100.0,
        resumed=0.0,
        killed=killed,
        abort=lambda pid, worker: killed.append(pid),
    )


def look(arbiter: Any, now: float) -> list[int]:
    """Look at the first worker; return who was killed so far."""
    Arbiter.note_pause(arbiter, now)
    Arbiter.murder_silent(arbiter, 7, arbiter.WORKERS[7], now)
    killed: list[int] = arbiter.killed
    return killed


def test_nobody_is_blamed_for_a_pause(looking: Any) -> None:
    assert look(looking, 107.0) == []
    assert looking.WORKERS[8].shared.leaving == 110.0


def test_who_hangs_behind_a_pause_is_killed(looking: Any) -> None:
    assert look(looking, 107.0) == look(looking, 108.0) == look(looking, 109.0) == look(looking, 110.0) == []
    assert look(looking, 111.0) == [7]


def test_without_a_pause_who_hangs_is_killed(looking: Any) -> None:
    assert look(looking, 101.0) == look(looking, 102.0) == []
    assert look(looking, 103.0) == [7]
