from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import uvloop

from paddock.application.preload import Snapshot, freeze, inspect_after_import, sentence


@pytest.fixture
def before() -> Snapshot:
    gc.collect()
    return Snapshot.take()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_nothing_made_nothing_said(server: socket.socket) -> None:
    assert inspect_after_import(Snapshot.take()) == []


def test_thread_by_name(before: Snapshot) -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="ticker")
    thread.start()
    found = inspect_after_import(before)
    end.set()
    thread.join()

    assert found == ["threads, which no worker will have: ticker"]


def test_connection(server: socket.socket) -> None:
    before = Snapshot.take()
    with socket.create_connection(server.getsockname()):
        found = inspect_after_import(before)

    assert found == [f"sockets, which all workers will share: connected to 127.0.0.1:{server.getsockname()[1]}"]


def test_listener(before: Snapshot) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        found = inspect_after_import(before)

        assert found == [f"sockets, which all workers will share: bound to 127.0.0.1:{sock.getsockname()[1]}"]


def test_unix_connection(before: Snapshot, tmp_path: Path) -> None:
    path = str(tmp_path / "db")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        listener.listen()
        client.connect(path)
        found = inspect_after_import(before)

    assert found == [f"sockets, which all workers will share: bound to {path}, connected to {path}"]


def test_sockets_that_can_be_shared_are_not_named(before: Snapshot) -> None:
    with ExitStack() as stack:
        statsd = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        statsd.connect(("127.0.0.1", 8125))
        for end in socket.socketpair():
            stack.enter_context(end)
        stack.enter_context(socket.socket())

        assert inspect_after_import(before) == []


def test_event_loops(before: Snapshot) -> None:
    loops = [asyncio.new_event_loop(), uvloop.new_event_loop()]
    found = inspect_after_import(before)
    for loop in loops:
        loop.close()

    assert found == ["event loops, which no worker will run: 2"]
    assert inspect_after_import(before) == []


def test_proxies_are_not_touched(before: Snapshot) -> None:
    touched = []

    class Proxy:
        @property
        def __class__(self) -> type:
            touched.append(1)
            return object

    proxy = Proxy()
    inspect_after_import(before)

    assert not touched
    del proxy


def test_it_is_one_line() -> None:
    assert sentence(["threads: a", "event loops: 1"]).startswith("PRELOAD_APP: ")
    assert "\n" not in sentence(["threads: a", "event loops: 1"])


def test_freeze() -> None:
    try:
        freeze()
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
