from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paddock.http.record import NOBODY
from paddock.logs.formats import JsonFormatter, TextFormatter
from paddock.workers.front.cycle import WebSocket
from paddock.workers.watchdog import Watchdog

BUILD = Path(__file__).parents[2] / "build"
TIMEOUT = 1.0


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "gunicorn.error")
    return caplog


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog(TIMEOUT)
    yield watchdog
    watchdog.stop()


def wait_for(condition: Callable[[], Any], patience: float = 10) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- The serving thread ---


def block_here(log: pytest.LogCaptureFixture) -> None:
    wait_for(lambda: log.records)


def test_blocked_loop_is_reported_once_with_path_and_place(log: pytest.LogCaptureFixture) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].startswith("/hang"):
            # Frameworks run handlers in tasks of their own.
            await asyncio.create_task(hang())
        else:
            await asyncio.sleep(60)

    async def hang() -> None:
        block_here(log)

    async def main() -> None:
        watchdog = Watchdog(TIMEOUT)
        watchdog.start()

        def serve(**scope: str) -> asyncio.Task[None]:
            return asyncio.create_task(Record({**scope, "raw_path": b""}, *[None] * 2).serve(application))  # type: ignore[arg-type]

        own = {"observers": NOBODY, "in_flight": watchdog.requests, "id_header": b""}
        Record = type("Record", (WebSocket,), own)
        waiting = serve(method="POST", path="/wait")
        await asyncio.sleep(0)
        started = time.monotonic()
        await serve(method="GET", path="/hang\nx")
        assert time.monotonic() - started > TIMEOUT / 2
        time.sleep(TIMEOUT)  # noqa: ASYNC251
        waiting.cancel()
        await asyncio.wait([waiting])
        assert not watchdog.requests
        watchdog.stop()

    asyncio.run(main())
    (record,) = log.records
    assert (record.name, record.levelname) == ("gunicorn.error", "CRITICAL")
    message = record.getMessage()
    assert re.match(r"The event loop has been blocked for \d+\.[0-9] seconds", message)
    assert "TIMEOUT=1." in message
    assert "/hang\\nx" in message
    if sys.version_info >= (3, 12):
        assert "by GET /hang\\nx." in message
        assert message.endswith("Also in flight: POST /wait.")
    assert "block_here" in str(record.stack_info)
    assert "block_here" in TextFormatter().format(record)
    assert '"stack": "Traceback of MainThread' in JsonFormatter().format(record)


def test_a_later_hang_is_reported_again(log: pytest.LogCaptureFixture, watchdog: Watchdog) -> None:
    watchdog.start()
    wait_for(lambda: len(log.records) == 1)
    watchdog.beat()
    wait_for(lambda: len(log.records) == 2)


def test_silence_while_the_loop_turns(log: pytest.LogCaptureFixture, watchdog: Watchdog) -> None:
    watchdog.start()
    for _ in range(20):
        time.sleep(0.1)
        watchdog.beat()

    assert not log.records


def test_no_timeout_no_thread() -> None:
    before = threading.active_count()
    Watchdog(0).start()

    assert threading.active_count() == before


def test_stopped_watchdog_is_silent(log: pytest.LogCaptureFixture, watchdog: Watchdog) -> None:
    watchdog.start()
    watchdog.stop()
    time.sleep(TIMEOUT * 1.5)

    assert not log.records


# --- Threads ---


class Hanging:
    """A request that a thread hangs at."""

    reported = False

    def __init__(self) -> None:
        self.since, self.thread = time.monotonic(), threading.get_ident()

    def stuck_since(self) -> float:
        return self.since

    def __str__(self) -> str:
        return "GET /stuck"


def test_stuck_thread_is_reported(log: pytest.LogCaptureFixture, watchdog: Watchdog) -> None:
    end = threading.Event()

    def wait_in_application() -> None:
        watchdog.requests.add(Hanging())
        end.wait(60)

    thread = threading.Thread(target=wait_in_application, name="t1")
    thread.start()
    watchdog.start()
    started = time.monotonic()
    while not log.records:
        assert watchdog.beat() >= started
        time.sleep(0.01)
    longest = watchdog.longest()
    end.set()
    thread.join()
    assert longest >= TIMEOUT / 2
    (record,) = log.records
    assert re.match(r"Thread t1 has been stuck in the application for [01]\.[0-9] seconds", record.getMessage())
    assert "by GET /stuck. This worker takes no more requests, and is replaced, at TIMEOUT=1." in record.getMessage()
    assert "wait_in_application" in str(record.stack_info)


# --- faulthandler ---


def run(code: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(BUILD), "PYTHONFAULTHANDLER": "1"}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environ, capture_output=True, text=True, timeout=30
    )


def test_abort_dumps_and_then_calls_the_handler() -> None:
    done = run("""
        import os, signal, sys
        from paddock.workers.watchdog import reset_signals

        reset_signals(lambda: signal.signal(signal.SIGABRT, lambda *_: sys.exit("handled")))
        def hanging():
            os.kill(os.getpid(), signal.SIGABRT)
            while True: pass
        hanging()
    """)

    assert "in hanging" in done.stderr
    assert done.stderr.rstrip().endswith("handled")
    assert done.returncode == 1


def test_abort_does_not_repeat_what_was_reported() -> None:
    done = run("""
        import os, signal, sys, time
        from paddock.workers.watchdog import Watchdog, reset_signals

        reset_signals(lambda: signal.signal(signal.SIGABRT, lambda *_: sys.exit("handled")))
        watchdog = Watchdog(0.5)
        watchdog.start()
        def hanging():
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGABRT)
            time.sleep(10)
        hanging()
    """)

    assert "The event loop has been blocked" in done.stderr
    assert "Fatal Python error" not in done.stderr
    assert done.stderr.rstrip().endswith("handled")


def test_a_crash_after_a_hang_that_passed_is_dumped() -> None:
    done = run("""
        import faulthandler, signal, time
        from paddock.workers.watchdog import Watchdog, reset_signals

        reset_signals(lambda: None)
        watchdog = Watchdog(0.5)
        watchdog.start()
        time.sleep(1)
        assert not faulthandler.is_enabled()
        for _ in range(10):
            watchdog.beat()
            time.sleep(0.1)
        def crashing():
            signal.raise_signal(signal.SIGSEGV)
        crashing()
    """)

    assert "in crashing" in done.stderr
    assert done.returncode == -signal.SIGSEGV


# --- Pauses ---


class Held:
    """A request that a thread has been at since 100 seconds."""

    reported = False

    def stuck_since(self) -> float:
        """See `Exchange`."""
        return 100.0


def test_a_pause_of_the_process_is_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    now: float = 100
    monkeypatch.setattr("paddock.workers.watchdog.monotonic", lambda: now)
    watchdog, request = Watchdog(3), Held()
    watchdog.requests.add(request)

    def turn(*times: float) -> None:
        nonlocal now
        for each in times:
            now = each
            watchdog.beat()

    turn(101, 102)
    assert watchdog.longest() == 2
    turn(110)
    assert (watchdog.longest(), watchdog.hanging()) == (0, (False, []))
    turn(111, 112, 113)
    assert (watchdog.longest(), watchdog.hanging()) == (3, (False, [request]))
