"""HTTP/2 with the worker classes that have it, on an image whose application brings the packages for it."""

import os
from collections import Counter
from threading import Event, Thread

import httpx
import pytest

from conftest import wait_until

IMAGE = f"paddock-test:{os.environ.get('PADDOCK_PYTHON', '3.14')}-http2"

FILES = {"CERTFILE": "server.crt", "KEYFILE": "server.key"}

GUNICORN = {"GUNICORN_HTTP_PROTOCOLS": "h2,h1"}
UVICORN = {"UVICORN_HTTP": "zttp", "UVICORN_HTTP2": "true"}


@pytest.fixture
def serve(start, pem):
    def run(app, allow=(), **settings):
        environment = pem.settings(**FILES, **settings)
        return start(app, image=IMAGE, volumes=pem.volumes, environment=environment, allow=allow).wait_ready()

    return run


APPS = pytest.mark.parametrize("app", ["echo_asgi.py", "echo_wsgi.py"])


@pytest.mark.smoke
@APPS
def test_requests(serve, pem, app):
    allow = ("for the log alone", "Traceback", "Error handling request", "Exception in ASGI application")
    container = serve(app, allow=allow, READY_PATH="/ready", **UVICORN)
    with pem.client(http2=True) as client:
        url = f"https://{container.address}:8000"
        answer = client.get(f"{url}/echo?number=7&size=20000")
        assert (answer.http_version, answer.status_code, len(answer.content)) == ("HTTP/2", 200, 20000)
        assert client.post(f"{url}/post", content=b"x" * 300_000).content == b"x" * 300_000
        assert len(client.get(f"{url}/stream?size=50000&parts=5").content) == 50000
        assert client.get(f"{url}/ready").text == "ready"
        answer = client.get(f"{url}/crash/raise")
        assert (answer.status_code, answer.text) == (500, "Internal Server Error")
        assert client.get(f"{url}/echo").status_code == 200
    assert pem.get(container, "/echo").http_version == "HTTP/1.1"
    container.wait_for_log('"GET /echo HTTP/2" 200 100 ')
    assert container.run("paddock", "health").startswith("healthy")
    assert container.stop() == 0


@APPS
def test_nothing_is_lost_when_workers_are_replaced(serve, pem, app):
    """One request at a time: httpx gives up what it has received already when GOAWAY comes with it."""
    container = serve(app, WORKERS="2", ACCESS_LOG="none", **UVICORN)
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
    container = serve("asgi.py", allow=("is not the image's",), WORKER_CLASS="asgi", **GUNICORN)
    with pem.client(http2=True) as client:
        answer = client.get(f"https://{container.address}:8000/")

    assert (answer.http_version, answer.json()["scheme"]) == ("HTTP/2", "https")


def test_while_the_server_starts(start, pem):
    """The process that answers then speaks HTTP/1.1 only, and must not promise more."""
    environment = pem.settings(READY_PATH="/ready", IMPORT_SECONDS="3", **FILES, **UVICORN)
    container = start("echo_wsgi.py", image=IMAGE, volumes=pem.volumes, environment=environment)
    container.wait_for_log("Booting worker")
    with pem.client(http2=True) as client:
        answer = client.get(f"https://{container.address}:8000/ready")

    assert (answer.http_version, answer.status_code) == ("HTTP/1.1", 503)
    container.wait_ready()
