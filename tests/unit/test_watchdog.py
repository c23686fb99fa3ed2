from __future__ import annotations

import asyncio
import io
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
from paddock.workers.watchdog import Watchdog, watched

BUILD = Path(__file__).parents[2] / "build"
TIMEOUT = 1.0


class Wrapper:
    """As Gunicorn's FileWrapper."""

    def __init__(self, file: Any) -> None:
        self.file = file


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "gunicorn.error")
    return caplog


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog(TIMEOUT)
    yield watchdog
    watchdog.stop()


def environ(path: str = "/path", **more: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "wsgi.input": io.BytesIO(b"one\ntwo\n"),
        "wsgi.file_wrapper": Wrapper,
        **more,
    }


def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
    return lambda data: time.sleep(0.1)


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
        assert TIMEOUT / 2 < time.monotonic() - started < TIMEOUT
        time.sleep(TIMEOUT)  # noqa: ASYNC251
        waiting.cancel()
        await asyncio.wait([waiting])
        assert not watchdog.requests
        watchdog.stop()

    asyncio.run(main())
    (record,) = log.records
    assert (record.name, record.levelname) == ("gunicorn.error", "CRITICAL")
    message = record.getMessage()
    assert re.match(r"The event loop has been blocked for [01]\.[0-9] seconds", message)
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


def stuck(watchdog: Watchdog) -> list[str]:
    return [request.path for request, _ in watchdog.stuck()]


def test_stuck_thread_is_reported_and_holds_the_heartbeat(log: pytest.LogCaptureFixture, watchdog: Watchdog) -> None:
    end = threading.Event()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        wait_in_application()
        return []

    def wait_in_application() -> None:
        end.wait(30)

    started = time.monotonic()
    thread = threading.Thread(
        target=watched(application, watchdog), args=(environ("/stuck"), start_response), name="t1"
    )
    thread.start()
    watchdog.start()
    while not log.records:
        beat = watchdog.beat()
        time.sleep(0.01)
    assert started <= beat < started + 0.2
    end.set()
    thread.join()
    assert watchdog.beat() > started + TIMEOUT / 2
    (record,) = log.records
    assert re.match(r"Thread t1 has been stuck in the application for [01]\.[0-9] seconds", record.getMessage())
    assert "by GET /stuck." in record.getMessage()
    assert "wait_in_application" in str(record.stack_info)


def test_only_the_application_counts(watchdog: Watchdog) -> None:
    seen: list[tuple[str, bool]] = []

    class Input(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            seen.append(("body", bool(stuck(watchdog))))
            return super().readline(size)

        def read(self, size: int | None = -1) -> bytes:
            seen.append(("body", bool(stuck(watchdog))))
            return super().read(size)

    def start(*_: Any) -> Any:
        return lambda data: seen.append(("write", bool(stuck(watchdog))))

    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        seen.append(("application", bool(stuck(watchdog))))
        write = start_response("200 OK", [])
        body = environ["wsgi.input"]
        assert body.readline() == b"one\n"
        assert list(body) == [b"two\n"]
        assert body.read(1) == b""
        assert body.getvalue() == b"one\ntwo\n"
        write(b"x")
        seen.append(("application", bool(stuck(watchdog))))
        yield b"y"
        seen.append(("application", bool(stuck(watchdog))))

    items = watched(application, watchdog)(environ(**{"wsgi.input": Input(b"one\ntwo\n")}), start)
    seen.extend(("client", bool(stuck(watchdog))) for _ in items)
    seen.append(("client", bool(stuck(watchdog))))
    items.close()

    assert {place: {is_stuck for at, is_stuck in seen if at == place} for place, _ in seen} == {
        "application": {True},
        "body": {False},
        "write": {False},
        "client": {False},
    }
    assert not watchdog.requests


@pytest.mark.parametrize("answer", [[b"x"], (b"x",), Wrapper(None)])
def test_lists_and_files_are_handed_on(watchdog: Watchdog, answer: Any) -> None:
    assert watched(lambda *_: answer, watchdog)(environ(), start_response) is answer
    assert not watchdog.requests


def test_close_is_the_applications(watchdog: Watchdog) -> None:
    closed = []

    class Answer:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x"])

        def close(self) -> None:
            closed.append(stuck(watchdog))

    items = watched(lambda *_: Answer(), watchdog)(environ("/a"), start_response)
    assert list(items) == [b"x"]
    items.close()

    assert closed == [["/a"]]
    assert not watchdog.requests


def test_exceptions_pass(watchdog: Watchdog) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        raise LookupError

    with pytest.raises(LookupError):
        watched(application, watchdog)(environ(), start_response)
    assert not watchdog.requests

    def late(environ: Any, start_response: Any) -> Iterator[bytes]:
        yield b"x"
        raise LookupError

    items = watched(late, watchdog)(environ(), start_response)
    with pytest.raises(LookupError):
        list(items)
    items.close()
    assert not watchdog.requests


def test_websocket_is_left_alone(watchdog: Watchdog) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        assert not watchdog.requests
        return []

    watched(application, watchdog)(environ(HTTP_UPGRADE="websocket"), start_response)


@pytest.mark.parametrize(("kind", "may_wait"), [("text/event-stream; charset=utf-8", True), ("text/html", False)])
def test_event_stream_waits_for_its_events(watchdog: Watchdog, kind: str, may_wait: bool) -> None:
    seen = []

    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", kind)])
        seen.append(bool(stuck(watchdog)))
        yield b"data: 1\n\n"
        seen.append(bool(stuck(watchdog)))

    list(watched(application, watchdog)(environ(), start_response))

    assert seen == [True, not may_wait]


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
