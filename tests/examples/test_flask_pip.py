"""The Flask example, as its README says that it is used: one worker, several threads."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from conftest import http_client
from examples.conftest import LOCKED_UP

RACE = {"laps": "50", "litres_per_lap": "2.5", "tank": "60"}
STINTS = [
    {"first_lap": 1, "last_lap": 24, "litres": 60.0},
    {"first_lap": 25, "last_lap": 48, "litres": 60.0},
    {"first_lap": 49, "last_lap": 50, "litres": 5.0},
]
LONG_RACE = {"laps": "100000", "litres_per_lap": "2.5", "tank": "60"}

# One process of xdist has the container of most of them.
pytestmark = pytest.mark.xdist_group("flask-pip")

OPTIONS = {"image": "paddock-example:flask-pip", "environment": {"WORKERS": "1", "THREADS": "4"}, **LOCKED_UP}


@pytest.fixture(scope="module")
def fuel(start_for_all):
    """The example with one worker, as locked up as it can be."""
    return start_for_all(**OPTIONS).wait_healthy()


def client_of(fuel):
    """Return a client that may be used by several threads."""
    return http_client(base_url=f"http://{fuel.address}:8000")


@pytest.fixture
def client(fuel):
    with client_of(fuel) as client:
        yield client


def use_every_route(client):
    """Ask for all that there is, and for what is not."""
    style = client.get("/static/fuel.css")
    assert (style.status_code, style.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert style.headers["cache-control"] == "no-cache"
    assert '<link rel="stylesheet" href="/static/fuel.css">' in client.get("/").text
    assert "laps 49 to 50: 5.0 l" in client.post("/", data=RACE).text
    assert "have to be numbers" in client.post("/", data={"laps": "many"}).text
    assert client.get("/health").json() == {"status": "ok"}

    assert client.post("/api/plan", json=RACE).json() == {"stints": STINTS}
    refused = client.post("/api/plan", json={**RACE, "laps": 0})
    assert (refused.status_code, refused.json()) == (400, {"error": "a race has 1 to 100000 laps"})
    assert client.post("/api/plan", json="x" * 20_000).status_code == 413
    assert client.get("/api/plan").json() == {"error": "The method is not allowed for the requested URL."}

    missing = client.get("/nope")
    assert (missing.status_code, "<h1>Not Found</h1>" in missing.text) == (404, True)

    download = client.get("/api/fuel.csv", params=LONG_RACE)
    assert download.headers["content-disposition"] == "attachment; filename=fuel.csv"
    assert download.headers["transfer-encoding"] == "chunked"
    lines = download.text.splitlines()
    assert (len(lines), lines[0], lines[1], lines[-1]) == (100_001, "lap,litres", "1,60.000", "100000,2.500")


def test_every_route_answers_in_several_threads(fuel, client):
    assert fuel.attempt("paddock", "check").out == "fuel:create_app: WSGI, served by 1 worker of class gthread\n"
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(use_every_route, client) for _ in range(16)]:
            done.result()
    assert fuel.workers() == 1


def test_requests_that_wait_do_not_hold_up_others(fuel, client):
    body = json.dumps(RACE).encode()
    head = f"POST /api/plan HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    with ExitStack() as stack:
        waiting = [stack.enter_context(socket.create_connection((fuel.address, 8000), timeout=60)) for _ in range(3)]
        for connection in waiting:
            connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body[:10])

        use_every_route(client)

        for connection in waiting:
            connection.sendall(body[10:])
            answer = stack.enter_context(connection.makefile("rb")).read()
            assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"stints": STINTS}


def test_a_download_may_be_left(client):
    with client.stream("GET", "/api/fuel.csv", params=LONG_RACE) as download:
        assert next(download.iter_lines()) == "lap,litres"

    use_every_route(client)


def test_it_stops_cleanly(start):
    fuel = start(**OPTIONS).wait_healthy()
    with client_of(fuel) as client:
        use_every_route(client)

    assert fuel.stop() == 0
    assert fuel.logs().count("fuel: closed") == 1
