"""WebSockets of WSGI applications, on the connection that they find as `gunicorn.socket`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from socket import SHUT_RDWR
from typing import Any

import flask
import flask_sock
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simple_websocket import ConnectionClosed
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from paddock.http.record import Observers
from paddock.workers.wsgi.takeover import Frames
from served import Served, serving

records: list[Any] = []
closed: list[int] = []


class Observer:
    """Notes what became of each request."""

    def ended(self, record: Any) -> None:
        """See `Observer` in http/record.py."""
        records.append((record.path, record.status, record.sent > 0, record.received > 0))


def application() -> Any:
    """Return a Flask application with WebSockets."""
    app = flask.Flask(__name__)
    sock = flask_sock.Sock(app)

    @sock.route("/echo")
    def echo(ws: Any) -> None:
        try:
            while True:
                ws.send(ws.receive())
        except ConnectionClosed as end:
            closed.append(end.reason)
            raise

    @sock.route("/once")
    def once(ws: Any) -> None:
        ws.send(ws.receive())

    @sock.route("/broken")
    def broken(ws: Any) -> None:
        raise LookupError("for the log alone")

    @app.route("/plain")
    def plain() -> str:
        return "plain"

    return app


@pytest.fixture
def served() -> Iterator[Served]:
    records.clear()
    closed.clear()
    with serving(application(), observers=Observers([Observer()])) as served:
        yield served


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_messages_of_every_size(served: Served) -> None:
    with connect(f"ws://127.0.0.1:{served.port}/echo", max_size=None) as client:
        for size in (0, 1, 125, 126, 70_000, 1_000_000):
            client.send("x" * size)
            assert client.recv(60) == "x" * size
        client.send(b"\x00\xff")
        assert client.recv(60) == b"\x00\xff"

    wait_for(lambda: records)
    assert records == [("/echo", 101, True, True)]
    assert served.worker.served() == 1


def test_what_the_application_ends_is_ended(served: Served) -> None:
    with connect(f"ws://127.0.0.1:{served.port}/once") as client:
        client.send("hello")
        assert client.recv(60) == "hello"
        assert list(client) == []
        assert client.close_code == 1000

    wait_for(lambda: records)
    assert records == [("/once", 101, True, True)]


def test_a_client_that_leaves(served: Served) -> None:
    with connect(f"ws://127.0.0.1:{served.port}/echo") as client:
        client.socket.shutdown(SHUT_RDWR)

    wait_for(lambda: closed and records)
    assert records == [("/echo", 101, False, False)]


def test_an_application_that_fails(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with connect(f"ws://127.0.0.1:{served.port}/broken") as client, pytest.raises(ConnectionClosedError):
        client.recv(60)

    wait_for(lambda: records)
    assert records[0][:2] == ("/broken", 101)
    assert "for the log alone" in caplog.text


def test_what_is_no_websocket_is_answered(served: Served) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{served.port}/plain"):
        pass
    # Flask's own answer.
    assert refused.value.response.status_code == 400
    assert served.get(b"/plain", b"Upgrade: websocket").endswith(b"plain")


def test_a_request_that_asks_for_none_cannot_have_the_socket() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        try:
            environ["gunicorn.socket"].send(b"HTTP/1.1 200 Smuggled\r\n\r\n")
        except OSError as error:
            start_response("200 OK", [])
            return [str(error).encode()]
        return []

    with serving(app) as served:
        assert b"that ask for a WebSocket" in served.get()


def test_at_a_stop_it_is_closed_as_going_away(served: Served) -> None:
    with connect(f"ws://127.0.0.1:{served.port}/echo") as client:
        client.send("hello")
        assert client.recv(60) == "hello"
        (tunnel,) = served.worker.tunnels()
        served.worker.pool.loop.call_soon_threadsafe(tunnel.shutdown)
        assert list(client) == []
        assert client.close_code == 1001


@given(
    st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=5),
    st.integers(min_value=1, max_value=50),
    st.booleans(),
)
def test_frames_are_followed_however_they_come(payloads: Any, size: int, long: bool) -> None:
    data = b"".join(
        Frame(Opcode.BINARY if binary else Opcode.TEXT, payload * (300 if long else 1)).serialize(mask=True)
        for payload, binary in payloads
    )
    frames = Frames()
    assert frames.is_between
    for start in range(0, len(data), size):
        frames.feed(data[start : start + size])
    assert frames.is_between
    frames.feed(b"\x82")
    assert not frames.is_between
