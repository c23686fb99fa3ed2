"""The process that serves the page: what it answers, whom it does not wait for, and that it is there."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config

from conftest import wait_until
from paddock.errors import ConfigurationError
from paddock.metrics import board as board_module
from paddock.metrics import exporter
from paddock.metrics.board import Board
from paddock.metrics.page import END, OPENMETRICS, TEXT
from paddock.settings.table import register

LOG = logging.getLogger("gunicorn.error")


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], Config]:
    """Make Gunicorn's configuration with METRICS_BIND."""
    # So that what the board sets is gone after the test.
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    register()

    def make(bind: str | None) -> Config:
        cfg = Config()
        cfg.set("metrics_bind", bind)
        return cfg

    return make


def tend(board: Board) -> None:
    """Do what the arbiter does in each turn."""
    board.tend(LOG, lambda: {"workers": "2"}, lambda: None)


@pytest.fixture
def begin(configuration: Callable[..., Config]) -> Iterator[Callable[..., Board]]:
    """Start exporters, which are stopped at the end of the test."""
    with ExitStack() as stack:

        def run(bind: str = "127.0.0.1:0") -> Board:
            board = Board()
            board.bind(configuration(bind))
            stack.callback(board.stop)
            tend(board)
            return board

        yield run


def connect(board: Board) -> socket.socket:
    """Connect to an exporter."""
    assert board.listener
    connection = socket.socket(board.listener.family)
    connection.settimeout(30)
    connection.connect(board.listener.getsockname())
    return connection


def receive(connection: socket.socket) -> bytes:
    """Return everything until the other side has no more."""
    data = b""
    with suppress(ConnectionResetError):
        while more := connection.recv(65536):
            data += more
    return data


def ask(board: Board, request: bytes) -> tuple[bytes, bytes]:
    """Send a request; return the head and the body of the answer."""
    with connect(board) as connection:
        connection.sendall(request)
        head, _, body = receive(connection).partition(b"\r\n\r\n")
    return head, body


# --- Answers ---


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("target", [b"/metrics", b"/metrics?name[]=up"])
def test_the_page(begin: Callable[..., Board], version: bytes, target: bytes) -> None:
    head, body = ask(begin(), b"GET %s HTTP/%s\r\nHost: x\r\n\r\n" % (target, version))

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"Content-Type: {TEXT}".encode() in head
    assert b"Content-Length: %d" % len(body) in head
    assert b"Cache-Control: no-store" in head
    assert b'paddock_config_info{workers="2"} 1\n' in body
    assert END.encode() not in body


def test_openmetrics(begin: Callable[..., Board]) -> None:
    head, body = ask(begin(), b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text\r\n\r\n")

    assert f"Content-Type: {OPENMETRICS}".encode() in head
    assert body.endswith(END.encode())


def test_head(begin: Callable[..., Board]) -> None:
    head, body = ask(begin(), b"HEAD /metrics HTTP/1.1\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b""


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /metrics/ HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /metricsx HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"405"),
        (b"DELETE /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"GET /metrics HTTP/2.0\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x00\x01 tls\r\n\r\n", b"400"),
        (b"\r\n\r\n", b"400"),
    ],
)
def test_anything_else(begin: Callable[..., Board], request_: bytes, status: bytes) -> None:
    head, _ = ask(begin(), request_)

    assert head.split()[1] == status
    assert (b"Allow: GET, HEAD" in head) is (status == b"405")


def test_a_client_that_has_said_all(begin: Callable[..., Board]) -> None:
    """It closes its side before it reads: the answer is for it all the same."""
    board = begin()
    with connect(board) as connection:
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)

        head, _, body = receive(connection).partition(b"\r\n\r\n")

    assert b"Content-Length: %d" % len(body) in head


def test_one_after_the_other_by_pieces(begin: Callable[..., Board]) -> None:
    board = begin()
    with connect(board) as connection:
        for piece in (b"GE", b"T /metr", b"ics HTTP/1.1\r", b"\n\r\n"):
            connection.sendall(piece)
            time.sleep(0.01)

        assert receive(connection).startswith(b"HTTP/1.1 200 OK")


# --- Clients that do not behave ---


def test_slow_clients_keep_nobody_out(begin: Callable[..., Board], monkeypatch: pytest.MonkeyPatch) -> None:
    # The exporter stands back behind everybody else, and a busy machine may leave it little.
    monkeypatch.setattr(exporter, "SCRAPE_PATIENCE", 600.0)
    board = begin()
    ask(board, b"GET /metrics HTTP/1.1\r\n\r\n")
    few = descriptors(board) + exporter.MOST_SCRAPES
    with ExitStack() as stack:
        for number in range(4 * exporter.MOST_SCRAPES):
            slow = stack.enter_context(connect(board))
            with suppress(BrokenPipeError, ConnectionResetError):
                slow.sendall(b"GET /metrics HTTP/1.1\r\nX: "[: number % 20])

            head, _ = ask(board, b"GET /metrics HTTP/1.1\r\n\r\n")

            assert head.startswith(b"HTTP/1.1 200 OK")
        wait_until(lambda: descriptors(board) <= few, "the end of those that had to make room")


def descriptors(board: Board) -> int:
    """Return how many files an exporter has open."""
    return len(list(Path(f"/proc/{board.pid}/fd").iterdir()))


def test_a_client_that_never_ends_its_request(begin: Callable[..., Board], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "SCRAPE_PATIENCE", 0.2)
    board = begin()
    with connect(board) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n")

        assert receive(connection) == b""


def test_a_head_without_end(begin: Callable[..., Board]) -> None:
    board = begin()
    with connect(board) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 4 * exporter.SCRAPE_HEAD)

        assert receive(connection) == b""
    assert ask(board, b"GET /metrics HTTP/1.1\r\n\r\n")[1]


def test_a_client_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "SCRAPE_PATIENCE", 0.2)

    async def serve(listener: socket.socket) -> None:
        listener.setblocking(False)
        serving = exporter.Exporter(listener, lambda openmetrics: b"x" * 50_000_000)
        serving.accept()
        (answer,) = serving.answers
        await answer
        await asyncio.sleep(0)
        assert not serving.answers

    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        asyncio.run(serve(listener))

        assert 0 < len(receive(client)) < 50_000_000


# --- The process ---


def test_it_stands_back(begin: Callable[..., Board]) -> None:
    board = begin()
    ask(board, b"GET /metrics HTTP/1.1\r\n\r\n")

    assert os.getpriority(os.PRIO_PROCESS, board.pid) == os.getpriority(os.PRIO_PROCESS, 0) + exporter.NICE


def test_it_is_started_again_but_not_at_once_each_time(
    begin: Callable[..., Board], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = begin()
    first = board.pid
    end(board)
    assert not board.is_exporter(first), "that is known already"

    tend(board)
    assert board.pid == 0, "it had only just been started"

    monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + board_module.EXPORTER_PAUSE)
    tend(board)
    assert board.pid not in (0, first)
    assert ask(board, b"GET /metrics HTTP/1.1\r\n\r\n")[1]


def test_a_scrape_waits_for_it(begin: Callable[..., Board]) -> None:
    board = begin()
    end(board)
    with connect(board) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        board.renew()
        tend(board)

        assert receive(connection).startswith(b"HTTP/1.1 200 OK")


def test_another_takes_over_while_it_answers(begin: Callable[..., Board]) -> None:
    board = begin()
    first = board.pid
    with connect(board) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n")
        # Answered by the same process, so the connection before has been taken.
        ask(board, b"GET /metrics HTTP/1.1\r\n\r\n")
        board.renew()
        tend(board)
        assert board.pid != first
        connection.sendall(b"\r\n")

        assert receive(connection).startswith(b"HTTP/1.1 200 OK")
    os.waitpid(first, 0)
    assert ask(board, b"GET /metrics HTTP/1.1\r\n\r\n")[1]


def end(board: Board) -> None:
    """Kill the exporter, and let the board know."""
    pid = board.pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert board.is_exporter(pid)


def test_new_slots_are_seen(begin: Callable[..., Board]) -> None:
    board = begin()
    first = board.pid
    slot = board.slots.take()
    slot.occupy(os.getpid(), 1.0)

    tend(board)

    os.waitpid(first, 0)
    assert b'paddock_worker_age_seconds{worker="0"}' in ask(board, b"GET /metrics HTTP/1.1\r\n\r\n")[1]


def test_it_does_not_outlive_the_arbiter(configuration: Callable[..., Config]) -> None:
    reader, writer = os.pipe()
    arbiter = os.fork()
    if not arbiter:
        board = Board()
        board.bind(configuration("127.0.0.1:0"))
        tend(board)
        os.write(writer, b"%d" % board.pid)
        os._exit(0)
    os.waitpid(arbiter, 0)
    pid = int(os.read(reader, 32))
    os.close(reader)
    os.close(writer)

    wait_until(lambda: not alive(pid), "the end of the exporter")


def alive(pid: int) -> bool:
    """Tell whether a process runs: an orphan that has ended may stay a zombie here."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_fails_is_in_the_log(
    begin: Callable[..., Board], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(board_module, "Figures", fail)
    monkeypatch.setattr(LOG, "handlers", [logging.StreamHandler()])

    os.waitpid(begin().pid, 0)

    error = capfd.readouterr().err
    assert error.startswith("The metrics exporter fails\n")
    assert "RuntimeError: no such luck" in error


# --- Where it listens ---


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "localhost:0", "[::1]:0", "0.0.0.0:0"])
def test_addresses(begin: Callable[..., Board], bind: str) -> None:
    assert ask(begin(bind), b"GET /metrics HTTP/1.1\r\n\r\n")[1]


def test_ipv4_is_heard_on_every_ipv6_address(begin: Callable[..., Board]) -> None:
    board = begin("[::]:0")
    assert board.listener
    with socket.create_connection(("127.0.0.1", board.listener.getsockname()[1])) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert receive(connection).startswith(b"HTTP/1.1 200 OK")


def test_a_unix_socket(begin: Callable[..., Board], tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()

    board = begin(f"unix:{path}")

    assert ask(board, b"GET /metrics HTTP/1.1\r\n\r\n")[1]
    board.stop()
    assert not path.exists()


def test_a_port_that_is_taken(configuration: Callable[..., Config]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigurationError) as raised:
            Board().bind(configuration(bind))

    assert str(raised.value) == f"METRICS_BIND='{bind}': cannot be bound: Address already in use"


@pytest.mark.parametrize("bind", ["192.0.2.1:9090", "no.such.host.invalid:9090"])
def test_an_address_of_nobodys(configuration: Callable[..., Config], bind: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^METRICS_BIND='.*': cannot be bound: "):
        Board().bind(configuration(bind))


def test_another_address_for_a_reload(begin: Callable[..., Board], configuration: Callable[..., Config]) -> None:
    board = begin()
    first = board.listener
    assert first
    old = first.getsockname()

    assert not board.bind(configuration("127.0.0.1:0")), "nothing has changed"
    assert board.bind(configuration("localhost:0"))
    board.renew()
    tend(board)

    assert ask(board, b"GET /metrics HTTP/1.1\r\n\r\n")[1]

    def refused() -> bool:
        try:
            socket.create_connection(old).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_until(refused, "the old address to be free")
    with pytest.raises(ConfigurationError):
        board.bind(configuration("192.0.2.1:9090"))
    assert ask(board, b"GET /metrics HTTP/1.1\r\n\r\n")[1], "it stays where it was"
    assert board.bind(configuration(None))
    assert board.listener is None


def test_nothing_without_a_setting(configuration: Callable[..., Config]) -> None:
    board = Board()

    assert not board.bind(configuration(None))
    tend(board)

    assert board.pid == 0
    assert board.slot() is None
