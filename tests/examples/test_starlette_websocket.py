"""The Starlette example: a WebSocket, an event stream, and the page that shows both, in a real browser."""

import json
import time
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from browser import browsing
from conftest import PATIENCE, http_client, wait_until

# The browser is there too.
ON_TOP = """
services:
  app:
    network_mode: bridge
    ports: !reset []
"""


@pytest.fixture
def radio(compose):
    """The example, as its Compose file has it."""
    container = compose("starlette-websocket", ON_TOP).service("app")
    yield container
    container.assert_silent()


def join(radio, name):
    return connect(f"ws://{radio.address}:8000/radio?name={name}", proxy=None, compression=None)


def told(websocket):
    event = json.loads(websocket.recv(PATIENCE))
    return event["kind"], event["content"]


def close_code(websocket):
    """Return the code with which the server closes, after whatever it has to say before."""
    try:
        while True:
            websocket.recv(PATIENCE)
    except ConnectionClosed as closed:
        return closed.rcvd.code


@contextmanager
def listening(radio):
    """Yield the events of a stream: their names and data."""
    with (
        http_client() as client,
        client.stream("GET", f"http://{radio.address}:8000/events") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer.iter_lines())


def events(lines):
    """Parse an event stream: https://html.spec.whatwg.org/multipage/server-sent-events.html"""
    fields = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if name:
            fields[name] = value
        elif fields:
            yield fields["event"], json.loads(fields["data"])
            fields = {}


def message(name, text):
    return "message", {"from": name, "text": text}


def test_every_route_answers(radio):
    page = radio.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == "default-src 'self'"
    for path, kind in {"radio.js": "text/javascript", "radio.css": "text/css", "icon.svg": "image/svg+xml"}.items():
        assert path in page.text
        assert radio.get(f"/{path}").headers["content-type"].startswith(kind)
    assert radio.get("/health").json() == {"people": 0, "listening": 0}
    assert radio.get("/nowhere").status_code == 404
    assert radio.workers() == 1


def test_everybody_hears_everybody(radio):
    with listening(radio) as first, listening(radio) as second, join(radio, "ann") as ann:
        assert next(first) == next(second) == ("people", [])
        assert next(first) == next(second) == ("people", ["ann"])
        assert [told(ann), told(ann)] == [("people", []), ("people", ["ann"])]
        with join(radio, "bob") as bob:
            assert [told(bob), told(bob)] == [("people", ["ann"]), ("people", ["ann", "bob"])]
            assert told(ann) == next(first) == next(second) == ("people", ["ann", "bob"])
            bob.send("Box, box.")
            assert told(ann) == told(bob) == next(first) == next(second) == message("bob", "Box, box.")
            ann.send("Copy\n<b>é</b> \U0001f3ce")
            assert told(ann) == told(bob) == next(first) == next(second) == message("ann", "Copy\n<b>é</b> \U0001f3ce")
        assert told(ann) == next(first) == next(second) == ("people", ["ann"])
        assert radio.get("/health").json() == {"people": 1, "listening": 3}

    # Nobody is left behind when clients leave.
    wait_until(lambda: radio.get("/health").json() == {"people": 0, "listening": 0}, "an empty room")


def test_what_is_refused(radio):
    with join(radio, "") as nameless:
        assert close_code(nameless) == 1008
    with join(radio, "ann") as ann:
        ann.send("x" * 4097)
        assert close_code(ann) == 1009


def test_who_does_not_keep_up_is_let_go(radio):
    with join(radio, "ann") as ann, join(radio, "bob") as bob:
        deadline = time.monotonic() + PATIENCE
        while radio.get("/health").json()["listening"] == 2:
            assert time.monotonic() < deadline
            # As much as the kernel and the room hold for bob, who reads nothing, and more.
            for _ in range(200):
                ann.send("x" * 4096)
                while told(ann)[0] == "people":
                    pass
        assert close_code(bob) == 1013


def test_it_stops_cleanly_while_somebody_listens(radio):
    with listening(radio) as stream, join(radio, "ann") as ann:
        assert next(stream)[0] == told(ann)[0] == "people"
        radio.signal("TERM")
        assert close_code(ann) == 1012
        # To its proper end: a stream that is cut off, as from the sixth second on, would raise. On a busy machine it
        # ends before ann has left.
        *_, (last, people) = stream
        status = radio.wait_exit()

    assert (last, people) in (("people", []), ("people", ["ann"]))
    assert status == 0
    assert "off the air, 0 listening" in radio.logs()


def test_the_page_shows_both(radio, start, tools):
    with browsing(start, tools, f"http://{radio.address}:8000/") as page, join(radio, "bob") as bob:
        wait_until(lambda: page.texts("#people li") == ["bob"], "bob, whom the event stream tells of")
        assert page.texts("#stream") == ["open"]
        assert page.texts("#socket") == ["closed"]

        page.type("#join input", "ann")
        page.click("#join button")
        wait_until(lambda: page.texts("#people li") == ["bob", "ann"], "ann")
        assert page.texts("#socket") == ["open"]

        page.type("#say input", "Box, box.")
        page.click("#say button")
        while (heard := told(bob)) != message("ann", "Box, box."):
            assert heard[0] == "people"
        bob.send("<img src=x onerror=alert(1)>")
        lines = ["bob: <img src=x onerror=alert(1)>", "ann: Box, box."]
        wait_until(lambda: page.texts("#spoken li") == lines, "what the WebSocket brought")
        wait_until(lambda: page.texts("#heard li") == lines, "what the event stream brought")

        # The page finds the next server, where bob is not.
        radio.signal("HUP")
        wait_until(lambda: page.texts("#people li") == ["ann"], "ann in the room of another worker")
        wait_until(lambda: page.texts("#socket, #stream") == ["open", "open"], "both connections")
        assert page.complaints == []
