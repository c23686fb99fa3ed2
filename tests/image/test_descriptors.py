"""A container whose descriptors run out serves on: what is idle makes room, and nobody's worker ends."""

import re
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from docker.types import Ulimit

from conftest import PATIENCE, wait_until
from wire import answer, asking, connect, received, request

LIMIT = 256
FEW = [Ulimit(name="nofile", soft=LIMIT, hard=LIMIT)]

MANY = 400

SHORT = r"Only a reserve is left of the 256 files and connections"

KINDS = {
    "asgi": ("echo_asgi.py", {}),
    "asgi-asyncio": ("echo_asgi.py", {"UVICORN_LOOP": "asyncio"}),
    "asgi-h11": ("echo_asgi.py", {"UVICORN_HTTP": "h11"}),
    "wsgi": ("echo_wsgi.py", {"THREADS": "4"}),
}

STATES = {"silent": b"", "half": b"GET / HTTP/1.1\r\nHost: test\r\nX:", "kept": request("/echo?number=1&size=10")}


@pytest.fixture(params=KINDS)
def serve(request, start):
    """Start a container with few descriptors; its memory is looked at, which takes one."""
    app, own = KINDS[request.param]

    def run(app=app, **options):
        given = {"WORKERS": "1", "TIMEOUT": "4", "MAX_WORKER_MEMORY": "1G", **own, **options.pop("environment", {})}
        return start(app, environment=given, ulimits=FEW, **options).wait_ready()

    return run


def ask(container):
    """Ask on a connection of its own, which is closed then."""
    with connect(container.address, patience=PATIENCE) as client:
        client.sendall(request("/echo?number=7&size=50", "Connection: close"))
        return received(client)


def serves(container):
    """New clients are served, each at the first attempt."""
    for _ in range(5):
        assert ask(container).startswith(b"HTTP/1.1 200 ")


def warned_once(container):
    """The log says which limit it is, and says it once."""
    assert len(re.findall(SHORT, container.logs())) == 1
    container.allow(SHORT)


@pytest.mark.parametrize("state", STATES)
def test_idle_connections_make_room(serve, state):
    container = serve(environment={"REQUEST_HEAD_TIMEOUT": "60"})
    workers = container.children()

    with ExitStack() as stack:
        for _ in range(MANY):
            client = stack.enter_context(connect(container.address, patience=PATIENCE))
            client.sendall(STATES[state])
            if state == "kept":
                answer(client)
        serves(container)
        # Longer than TIMEOUT: a heartbeat that had ended would be noticed.
        time.sleep(6)
        serves(container)
        client.sendall(request("/echo?number=1&size=10") if state != "half" else b" 1\r\n\r\n")
        assert "200 OK" in answer(client)[0], "the newest connection is not the one that goes"
    serves(container)

    assert container.children() == workers
    warned_once(container)


@pytest.mark.parametrize("kind", ["asgi", "asgi-asyncio", "wsgi"])
@pytest.mark.parametrize("shaken", [False, True], ids=["no-handshake", "kept"])
def test_idle_tls_connections_make_room(start, pem, kind, shaken):
    app, own = KINDS[kind]
    settings = {"WORKERS": "1", "TIMEOUT": "4", "REQUEST_HEAD_TIMEOUT": "60", "MAX_WORKER_MEMORY": "1G", **own}
    environment = pem.settings(CERTFILE="server.crt", KEYFILE="server.key", **settings)
    container = start(app, environment=environment, volumes=pem.volumes, ulimits=FEW).wait_ready()
    workers = container.children()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    with ExitStack() as stack:
        for _ in range(MANY if not shaken else LIMIT):
            client = stack.enter_context(connect(container.address, patience=PATIENCE))
            if shaken:
                client = stack.enter_context(context.wrap_socket(client))
                client.sendall(request("/echo?number=1&size=10"))
                answer(client)
        for _ in range(5):
            assert pem.get(container).status_code == 200

    assert container.children() == workers
    warned_once(container)


def test_busy_connections_are_waited_for(serve):
    container = serve(environment={"THREADS": "64"})

    def one(number):
        with asking(container.address, f"/slow?number={number}&size=20&seconds=2", "Connection: close") as client:
            client.settimeout(PATIENCE)
            return received(client)

    with ThreadPoolExecutor(MANY) as pool:
        answers = list(pool.map(one, range(MANY)))

    assert [got[:12] for got in answers] == [b"HTTP/1.1 200"] * MANY
    container.allow(SHORT, "THREADS has no effect")


@pytest.mark.parametrize("app", ["main:asgi", "main:wsgi"])
def test_an_application_that_takes_them_all(start, app):
    environment = {"APP_MODULE": app, "WORKERS": "1", "TIMEOUT": "3"}
    environment |= {"MAX_WORKER_MEMORY": "1G"}
    container = start("hogging.py", environment=environment, ulimits=FEW).wait_ready()
    workers = container.children()

    with asking(container.address, "/hog") as client:
        answer(client)
        # The descriptors are gone for longer than TIMEOUT: a heartbeat that had ended would be noticed.
        serves(container)
        time.sleep(9)
        serves(container)

    assert container.children() == workers
    warned_once(container)


def test_an_arbiter_without_descriptors_forks_later(start):
    environment = {"APP_MODULE": "main:wsgi", "GUNICORN_CONF": "/app/main.py", "METRICS_BIND": "[::]:9090"}
    container = start("hogging.py", environment={**environment, "WORKERS": "1"}, ulimits=FEW).wait_ready()

    container.run("sh", "-c", f"kill -KILL {container.get('/pid').headers['x-pid']}")
    container.allow("was killed by SIGKILL", r"No worker can be started: .*Too many open files")
    container.wait_for_log("No worker can be started")

    serves(container)
    assert container.logs().count("No worker can be started") == 1
    wait_until(lambda: container.get("/metrics", port=9090).status_code == 200, "the metrics")


def test_the_limit_is_raised_for_the_server_alone(start, finish):
    ulimits = [Ulimit(name="nofile", soft=LIMIT, hard=4096)]
    container = start("hogging.py", environment={"APP_MODULE": "main:asgi"}, ulimits=ulimits).wait_ready()

    assert container.get("/").text == "4096"
    assert finish(None, ["sh", "-c", "ulimit -n"], ulimits=ulimits).out == f"{LIMIT}\n"
