"""Clients that send too much, too slowly or nothing at all are refused, and the others notice nothing."""

import time
from contextlib import ExitStack, contextmanager, suppress

import pytest

from conftest import PATIENCE
from wire import answer, asking, connect, received, request

HEAD_SECONDS = 3
BODY_SECONDS = 3

QUICK = {"REQUEST_HEAD_TIMEOUT": str(HEAD_SECONDS), "REQUEST_BODY_TIMEOUT": str(BODY_SECONDS)}
PATIENT = {"REQUEST_HEAD_TIMEOUT": "3600", "REQUEST_BODY_TIMEOUT": "3600"}
"""Far more than a test waits: who is served has not waited for the end of others."""

REFUSED = (
    # What Uvicorn and Gunicorn themselves say about a request that they refuse.
    r"Invalid HTTP request received",
    r"Invalid request from ip=",
    "connections are open, the most that GUNICORN_WORKER_CONNECTIONS allows",
    # The echo application may say that the body was cut off.
    r"(?i)disconnect|exception|traceback",
)

APPS = {
    "asgi": ("echo_asgi.py", {}),
    "asgi-h11": ("echo_asgi.py", {"UVICORN_HTTP": "h11"}),
    "wsgi": ("echo_wsgi.py", {"THREADS": "4"}),
}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(f"limits-{name}")) for name in APPS]
)
def serve(request, start_for_all):
    """Start one worker with the given settings, once for all tests."""
    app, own = APPS[request.param]
    started = {}

    def run(**environment):
        key = tuple(environment.items())
        if key not in started:
            given = {"WORKERS": "1", **own, **environment}
            started[key] = start_for_all(app, environment=given, allow=REFUSED).wait_ready()
        return started[key]

    return run


@contextmanager
def opened(container, count, *first):
    """Open so many connections, and send on each one of `first` in turn."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(container.address)) for _ in range(count)]
        for number, client in enumerate(clients):
            client.sendall(first[number % len(first)])
        yield clients


def ask(container, data):
    """Send `data` on a connection of its own, and return all that comes."""
    with connect(container.address) as client:
        with suppress(OSError):
            client.sendall(data)
        return received(client)


def serves(container):
    """Others are served."""
    for _ in range(5):
        assert container.get("/echo?number=7&size=50").status_code == 200


def refused(got, status):
    """There is one answer, and it is whole."""
    head, _, body = got.decode().partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} "), got[:200]
    fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
    assert fields["connection"] == "close"
    assert int(fields["content-length"]) == len(body)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("/" + "a" * 4095), 414),
        (request("/" + "a" * 1_000_000), 414),
        (request("/", "X: " + "b" * 9000), 431),
        (request("/", "X: " + "b" * 2_000_000), 431),
        (request("/", *["X: 1"] * 100), 431),
        (request("/", *["X: 1"] * 5000), 431),
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
    ],
    ids=["line", "huge-line", "field", "huge-field", "fields", "many-fields", "malformed-line", "malformed-field"],
)
def test_too_much_is_refused(serve, data, status):
    container = serve(**PATIENT)

    refused(ask(container, data), status)
    serves(container)


@pytest.mark.smoke
def test_what_is_within_the_limits_is_served(serve):
    container = serve(**PATIENT)

    for data in (
        request("/" + "a" * 4000, "Connection: close"),
        request("/", "X: " + "b" * 8000, "Connection: close"),
        request("/", *["X: 1"] * 97, "Connection: close"),
    ):
        assert ask(container, data).startswith(b"HTTP/1.1 200 ")


def test_the_limits_can_be_set(serve):
    container = serve(LIMIT_REQUEST_LINE="100", LIMIT_REQUEST_FIELDS="5", LIMIT_REQUEST_FIELD_SIZE="200")

    refused(ask(container, request("/" + "a" * 100)), 414)
    refused(ask(container, request("/", "X: " + "b" * 200)), 431)
    refused(ask(container, request("/", *["X: 1"] * 5)), 431)
    serves(container)


HALVES = (b"", b"G", b"GET / HTTP/1.1\r\nHost: test\r\nX:")


def test_half_a_head_holds_up_nobody(serve):
    container = serve(**PATIENT)

    with opened(container, 40, *HALVES):
        serves(container)


@pytest.mark.smoke
def test_half_a_head_is_refused_in_time(serve):
    container = serve(**QUICK)

    with opened(container, 40, *HALVES) as clients:
        for number, client in enumerate(clients):
            got = received(client)
            if number % 3 == 2:
                refused(got, 408)
    serves(container)


def test_a_head_that_trickles_is_refused_in_time(serve):
    container = serve(**QUICK)

    with opened(container, 8, b"GET / HTTP/1.1\r\nX: ") as clients:
        started = time.monotonic()
        open_ = list(clients)
        while open_ and time.monotonic() < started + PATIENCE:
            for client in list(open_):
                client.settimeout(0.05)
                try:
                    client.sendall(b"y")
                    if not client.recv(65536):
                        open_.remove(client)
                except TimeoutError:
                    pass
                except OSError:
                    open_.remove(client)
        assert not open_
        assert time.monotonic() - started > HEAD_SECONDS - 1
    serves(container)


def test_half_a_body_is_given_up(serve):
    container = serve(**QUICK)

    with opened(container, 12, b"POST /post HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nabc") as clients:
        # A WSGI worker has four threads: twelve clients hold them three times as long as one.
        assert container.get("/echo?number=7&size=50").status_code == 200
        for client in clients:
            received(client)
    serves(container)


def test_an_idle_connection_is_kept(serve):
    container = serve(REQUEST_HEAD_TIMEOUT="1", REQUEST_BODY_TIMEOUT="1")

    with asking(container.address, "/echo?number=1&size=10") as client:
        answer(client)
        time.sleep(3)
        client.sendall(request("/echo?number=2&size=10"))
        assert "200" in answer(client)[0]


def test_thousands_of_idle_connections(serve):
    container = serve(**PATIENT)

    with opened(container, 2000, b""):
        serves(container)


def test_hundreds_of_idle_kept_connections(serve):
    container = serve(**PATIENT)

    with ExitStack() as stack:
        for _ in range(500):
            answer(stack.enter_context(asking(container.address, "/echo?number=1&size=10")))
        serves(container)


def test_half_closed_connections(serve):
    """They end at once, and not with the time limit."""
    container = serve(**PATIENT)

    for data in (
        b"",
        b"GET / HT",
        request("/echo?number=1&size=10"),
        b"POST /post HTTP/1.1\r\nContent-Length: 9\r\n\r\na",
    ):
        with connect(container.address) as client:
            client.sendall(data)
            client.shutdown(1)
            received(client)
    serves(container)
