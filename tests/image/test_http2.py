"""HTTP/2 with the worker classes that have it, on an image whose application brings the packages for it."""

import os
import re
import socket
import time
from collections import Counter
from contextlib import ExitStack
from threading import Event, Thread

import h2.config
import h2.connection
import h2.events
import httpx
import pytest

from conftest import wait_until

IMAGE = f"paddock-test:{os.environ.get('PADDOCK_PYTHON', '3.14')}-http2"

FILES = {"CERTFILE": "server.crt", "KEYFILE": "server.key"}

GUNICORN = {"GUNICORN_HTTP_PROTOCOLS": "h2,h1"}
UVICORN = {"UVICORN_HTTP": "zttp", "UVICORN_HTTP2": "true"}


class Client:
    """An HTTP/2 connection by hand."""

    def __init__(self, pem, container):
        context = pem.context()
        context.set_alpn_protocols(["h2"])
        self.socket = context.wrap_socket(socket.create_connection((container.address, 8000), timeout=30))
        assert self.socket.selected_alpn_protocol() == "h2"
        self.protocol = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.protocol.initiate_connection()
        self.events = []

    def __enter__(self):
        self.flush()
        return self

    def __exit__(self, *error):
        self.socket.close()

    def flush(self):
        self.socket.sendall(self.protocol.data_to_send())

    def ask(self, method, path, end=True):
        """Send the head of a request."""
        stream = self.protocol.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "https"), (":authority", "test"), (":path", path)]
        self.protocol.send_headers(stream, head, end_stream=end)
        self.flush()

    def wait_for(self, kind):
        """Return the next event of a kind, which must come before the connection ends."""
        while True:
            while self.events:
                if isinstance(event := self.events.pop(0), kind):
                    return event
            data = self.socket.recv(65536)
            assert data, f"the connection ended without {kind.__name__}"
            self.events = self.protocol.receive_data(data)
            self.flush()


with_server = pytest.mark.xdist_group("http2")


@pytest.fixture
def serve(start, pem):
    def run(app, allow=(), **settings):
        environment = pem.settings(**FILES, **settings)
        return start(app, image=IMAGE, volumes=pem.volumes, environment=environment, allow=allow).wait_ready()

    return run


@pytest.fixture(scope="module")
def server(start_for_all, pem):
    """A worker with two threads."""
    settings = {"THREADS": "2", "REQUEST_HEAD_TIMEOUT": "3", "REQUEST_BODY_TIMEOUT": "2", "READY_PATH": "/ready"}
    environment = pem.settings(**FILES, **GUNICORN, **settings)
    allow = ("Error handling request /crash/raise", "Traceback", "RuntimeError: for the log alone")
    options = {"volumes": pem.volumes, "environment": environment, "allow": allow}
    return start_for_all("echo_wsgi.py", image=IMAGE, **options).wait_healthy()


@pytest.fixture
def ask(server, pem):
    """Ask with one client after another."""
    with pem.client(http2=True) as client:
        client.base_url = f"https://{server.address}:8000"
        yield client


@pytest.mark.smoke
@with_server
def test_requests(server, pem, ask):
    answer = ask.get("/echo?number=7&size=20000")
    assert (answer.http_version, answer.status_code, len(answer.content)) == ("HTTP/2", 200, 20000)
    assert ask.post("/post", content=b"x" * 300_000).content == b"x" * 300_000
    assert len(ask.get("/stream?size=50000&parts=5").content) == 50000
    assert ask.get("/ready").text == "ready"
    # With HTTP/1.1 too.
    assert pem.get(server, "/echo").http_version == "HTTP/1.1"
    server.wait_for_log(re.escape('"GET /echo?number=7&size=20000 HTTP/2.0" 200 20000 '))


@with_server
def test_an_exception_is_for_the_log(server, ask):
    answer = ask.get("/crash/raise")

    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    server.wait_for_log("Error handling request /crash/raise")
    server.wait_for_log("RuntimeError: for the log alone")
    assert ask.get("/echo").status_code == 200


@with_server
def test_a_request_beyond_the_limits_is_reset(ask):
    with pytest.raises(httpx.RemoteProtocolError, match="StreamReset"):
        ask.get("/echo", headers={"X-Long": "x" * 9000})
    assert ask.get("/echo").status_code == 200


@with_server
def test_idle_connections_hold_no_thread(server, pem):
    with ExitStack() as opened:
        clients = [opened.enter_context(pem.client(http2=True)) for _ in range(8)]
        for _ in range(2):
            for client in clients:
                assert client.get(f"https://{server.address}:8000/echo").http_version == "HTTP/2"


@with_server
def test_unfinished_heads_hold_no_thread(server, pem, ask):
    began = time.monotonic()
    with ExitStack() as opened:
        clients = [opened.enter_context(Client(pem, server)) for _ in range(8)]
        for client in clients:
            # The head of a frame of 255 bytes that do not come.
            client.socket.sendall(b"\0\0\xff\x01\x05\0\0\0\1")
        for _ in range(10):
            assert ask.get("/echo").status_code == 200
        for client in clients:
            assert client.wait_for(h2.events.ConnectionTerminated).last_stream_id == 0
    # REQUEST_HEAD_TIMEOUT, which is 3.
    assert time.monotonic() - began >= 3


@with_server
def test_a_body_that_does_not_come_frees_its_thread(server, pem, ask):
    with ExitStack() as opened:
        clients = [opened.enter_context(Client(pem, server)) for _ in range(2)]
        for client in clients:
            client.ask("POST", "/post", end=False)
        assert ask.get("/echo").status_code == 200
        for client in clients:
            client.wait_for(h2.events.StreamReset)


@with_server
def test_requests_side_by_side(server, pem):
    """The threads serve connections; the requests of one are served one after the other."""
    with Client(pem, server) as client:
        for number in range(20):
            client.ask("GET", f"/echo?number={number}")
        ended = [client.wait_for(h2.events.StreamEnded).stream_id for _ in range(20)]
    assert ended == list(range(1, 41, 2))


def test_stop(serve, pem):
    """What is in flight is finished, who comes during DRAIN_DELAY is served, and GOAWAY says what was the last."""
    settings = {"DRAIN_DELAY": "2", "GRACEFUL_TIMEOUT": "20", "READY_PATH": "/ready", **GUNICORN}
    container = serve("echo_wsgi.py", **settings)
    with Client(pem, container) as idle, Client(pem, container) as busy:
        idle.ask("GET", "/echo")
        idle.wait_for(h2.events.StreamEnded)
        busy.ask("GET", "/slow?seconds=4")
        container.wait_for_log("slow begins")
        container.signal("TERM")
        with pem.client(http2=True) as client:
            url = f"https://{container.address}:8000"
            wait_until(lambda: client.get(f"{url}/ready").status_code == 503, "the end of readiness")
            assert client.get(f"{url}/echo").status_code == 200
        busy.wait_for(h2.events.StreamEnded)
        for client in (busy, idle):
            ended = client.wait_for(h2.events.ConnectionTerminated)
            assert (ended.error_code, ended.last_stream_id) == (0, 1)
        assert container.wait_exit() == 0


def test_a_thread_that_hangs(serve, pem):
    allow = ("has been stuck in the application", "TIMEOUT=3 seconds: killed", "ended with exit status 1", "Traceback")
    container = serve("echo_wsgi.py", allow=allow, TIMEOUT="3", **GUNICORN)
    with pem.client(http2=True) as client, pytest.raises(httpx.RemoteProtocolError):
        client.get(f"https://{container.address}:8000/block?seconds=60")
    container.wait_for_log("has been stuck in the application for [0-9.]+ seconds by GET /block")
    wait_until(lambda: container.logs().count("Booting worker") == 2, "another worker")


@pytest.mark.parametrize(
    ("app", "settings"), [("echo_wsgi.py", GUNICORN), ("echo_asgi.py", UVICORN)], ids=["gthread", "uvicorn"]
)
def test_nothing_is_lost_when_workers_are_replaced(serve, pem, app, settings):
    """One request at a time: httpx gives up what it has received already when GOAWAY comes with it."""
    container = serve(app, WORKERS="2", ACCESS_LOG="none", **settings)
    wait_until(lambda: len(container.children()) == 2, "two workers")
    outcomes, ended = Counter(), Event()
    address = f"https://{container.address}:8000/echo?size=2000"

    def load():
        with pem.client(http2=True) as client:
            while not ended.is_set():
                try:
                    answer = client.get(address)
                    outcomes[answer.http_version, answer.status_code, len(answer.content)] += 1
                except httpx.HTTPError as error:
                    outcomes[repr(error)] += 1

    threads = [Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            done, old = outcomes.total(), container.children()
            wait_until(lambda done=done: outcomes.total() > done + 50, "more requests")
            container.signal("HUP")
            wait_until(lambda old=old: not container.children() & old and len(container.children()) == 2, "new workers")
    finally:
        # They would ask whoever gets the container's address next.
        ended.set()
        for thread in threads:
            thread.join()
    assert set(outcomes) == {("HTTP/2", 200, 2000)}
    assert container.stop() == 0


def test_gunicorns_own_asgi_class(serve, pem):
    container = serve("asgi.py", WORKER_CLASS="asgi", **GUNICORN)
    with pem.client(http2=True) as client:
        answer = client.get(f"https://{container.address}:8000/")

    assert (answer.http_version, answer.json()["scheme"]) == ("HTTP/2", "https")


@pytest.mark.smoke
def test_uvicorn_with_zttp(serve, pem):
    container = serve("echo_asgi.py", READY_PATH="/ready", **UVICORN)
    with pem.client(http2=True) as client:
        url = f"https://{container.address}:8000"
        assert client.get(f"{url}/echo").http_version == "HTTP/2"
        assert client.post(f"{url}/post", content=b"x" * 300_000).content == b"x" * 300_000
        assert client.get(f"{url}/ready").text == "ready"
    assert pem.get(container, "/echo").http_version == "HTTP/1.1"
    container.wait_for_log('"GET /echo HTTP/2" 200 100 ')
    assert container.run("paddock", "health").startswith("healthy")
    assert container.stop() == 0


def test_while_the_server_starts(start, pem):
    """The process that answers then speaks HTTP/1.1 only, and must not promise more."""
    environment = pem.settings(READY_PATH="/ready", IMPORT_SECONDS="3", **FILES, **GUNICORN)
    container = start("echo_wsgi.py", image=IMAGE, volumes=pem.volumes, environment=environment)
    container.wait_for_log("Booting worker")
    with pem.client(http2=True) as client:
        answer = client.get(f"https://{container.address}:8000/ready")

    assert (answer.http_version, answer.status_code) == ("HTTP/1.1", 503)
    container.wait_ready()
