"""TLS: every way to give certificate and key, what clients may do, and what never listens."""

import socket
import ssl
import struct
import threading
import time
import warnings
from contextlib import ExitStack, suppress

import pytest

from certificates import PASSWORD
from conftest import PATIENCE, wait_until
from events import said
from wire import answer, received, request

SEPARATE = {"CERTFILE": "server.crt", "KEYFILE": "server.key"}
CHAIN = {"CERTFILE": "chain.crt", "KEYFILE": "chain.key"}
COMBINED = {"CERTFILE": "rsa.pem"}
ENCRYPTED = {"CERTFILE": "encrypted.crt", "KEYFILE": "encrypted.key", "KEYFILE_PASSWORD": PASSWORD}
PASSWORD_FILE = {"CERTFILE": "encrypted.pem", "KEYFILE_PASSWORD_FILE": "password"}


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("app", "worker_class", "files"),
    [
        ("asgi.py", "auto", CHAIN),
        ("asgi.py", "auto", PASSWORD_FILE),
        ("wsgi.py", "auto", COMBINED),
        ("wsgi.py", "auto", ENCRYPTED),
        ("asgi.py", "asgi", SEPARATE),
        ("wsgi.py", "gunicorn.workers.sync.SyncWorker", CHAIN),
    ],
    ids=lambda value: "+".join(value.values()).replace(PASSWORD, "password") if isinstance(value, dict) else value,
)
def test_serves(start, pem, app, worker_class, files):
    settings = pem.settings(WORKER_CLASS=worker_class, LOG_LEVEL="debug", **files)
    allow = ("is not the image's", "SSL", "Traceback") if worker_class != "auto" else ()
    container = start(app, volumes=pem.volumes, environment=settings, allow=allow).wait_ready()

    assert pem.get(container).json()["scheme"] == "https"
    assert container.run("paddock", "health") == "healthy: 127.0.0.1:8000 answered GET / with 200\n"
    assert not speaks(container, pem, "kRSA+AESGCM")
    assert not speaks(container, pem, "ECDHE+AES256+SHA384:!AESGCM")
    assert speaks(container, pem, "ECDHE+AESGCM")
    assert container.stop() == 0
    assert PASSWORD not in container.logs()


def speaks(container, pem, ciphers):
    """Tell whether a handshake with these ciphers of TLS 1.2 succeeds."""
    context = pem.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    with socket.create_connection((container.address, 8000), timeout=PATIENCE) as connection:
        try:
            context.wrap_socket(connection, server_hostname="localhost").close()
        except (ssl.SSLError, ConnectionError):
            return False
    return True


# A server for several tests, which hurt it as clients can

CIPHER = "ECDHE-RSA-AES256-GCM-SHA384"


@pytest.fixture(
    scope="module",
    params=[pytest.param(app, marks=pytest.mark.xdist_group(f"tls-{app}")) for app in ("echo_asgi.py", "echo_wsgi.py")],
)
def server(start_for_all, pem, request):
    settings = {"REQUEST_HEAD_TIMEOUT": "3", "READY_PATH": "/ready", "CIPHERS": CIPHER, "WORKERS": "2", **COMBINED}
    container = start_for_all(request.param, volumes=pem.volumes, environment=pem.settings(**settings)).wait_healthy()
    wait_until(lambda: len(container.children()) == 2, "two workers")
    return container


@pytest.fixture
def connect(server, pem):
    """Connect, with the context of a client that trusts the server unless another is given."""
    with ExitStack() as opened:

        def open_connection(context=None, session=None):
            raw = opened.enter_context(socket.create_connection((server.address, 8000), timeout=30))
            context = context or pem.context()
            return opened.enter_context(context.wrap_socket(raw, server_hostname="server.test", session=session))

        yield open_connection


def test_docker_calls_it_healthy_and_the_log_says_until_when(server):
    assert "https://0.0.0.0:8000" in server.logs()
    assert "The certificate in /tls/rsa.pem is valid until 3000-01-01 00:00:00 UTC" in server.logs()


def test_ready(server, pem):
    assert pem.get(server, "/ready").text == "ready"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_versions(connect, pem, version):
    context = pem.context()
    context.minimum_version = context.maximum_version = version
    client = connect(context)

    assert client.version().replace(".", "_") == version.name
    if version is ssl.TLSVersion.TLSv1_2:
        assert client.cipher()[0] == CIPHER


def test_a_version_that_is_too_old(connect, pem):
    context = pem.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    liberal = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    liberal.load_cert_chain(pem.directory / "rsa.pem")
    liberal.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        # Python's own, of the version.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        liberal.minimum_version = ssl.TLSVersion.TLSv1_1
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server)
    other = liberal.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, other, client, other, client):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    assert client.version() == other.version() == "TLSv1.1"

    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(context)


def test_a_cipher_that_is_not_in_the_list(connect, pem):
    context = pem.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(context)


def test_whichever_worker_resumes_a_session(connect, pem):
    context = pem.context()
    first = connect(context)
    first.sendall(request("/echo"))
    answer(first)
    pids = set()

    def resumed_by_both():
        client = connect(context, session=first.session)
        client.sendall(request("/echo"))
        pids.update(line for line in answer(client)[0].lower().splitlines() if line.startswith("x-pid"))
        assert client.session_reused
        return len(pids) == 2

    wait_until(resumed_by_both, "answers of both workers")


def test_plain_text_is_not_answered(server, pem):
    with socket.create_connection((server.address, 8000), timeout=30) as client:
        client.sendall(request("/"))
        assert not received(client).startswith(b"HTTP/")
    # And others are.
    assert pem.get(server, "/echo").status_code == 200


def test_handshakes_that_do_not_end_hold_up_nobody(server, pem):

    def others_are_served():
        began = time.monotonic()
        with ExitStack() as opened:
            half = []
            for _ in range(50):
                client = opened.enter_context(socket.create_connection((server.address, 8000), timeout=60))
                # The head of a record that would hold the client's hello.
                client.sendall(b"\x16\x03\x01\x02\x00")
                half.append(client)
            for _ in range(10):
                assert pem.get(server, "/echo").status_code == 200
            served = time.monotonic()
            assert not any(received(client) for client in half)
        # REQUEST_HEAD_TIMEOUT, which is 3.
        assert time.monotonic() - began >= 3
        return served - began < 3

    # On a busy machine not at the first attempt.
    wait_until(others_are_served, "answers before the handshakes are given up")


def test_clients_that_vanish_take_nobody_with_them(server, connect, pem):
    """OpenSSL keeps a list of a thread's errors, and Python takes what one connection left there for another's."""
    for number in range(1, 7):
        client = connect()
        client.sendall(request("/slow?seconds=0.2&size=100"))
        wait_until(lambda number=number: server.logs().count("slow begins") == number, "the request")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    wait_until(lambda: server.logs().count("slow is done") == 6, "the end of what nobody waits for")
    for _ in range(8):
        client = connect()
        for piece in (b"POST /post HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n", b"01234", b"56789"):
            client.sendall(piece)
            # So that the thread waits for more.
            assert pem.get(server, "/echo").status_code == 200
        assert answer(client)[1] == b"0123456789"


def test_while_the_server_starts(start, pem):
    environment = pem.settings(READY_PATH="/ready", IMPORT_SECONDS="4", **SEPARATE)
    container = start("echo_wsgi.py", volumes=pem.volumes, environment=environment)
    container.wait_for_log("Booting worker")

    answers = [pem.get(container, "/ready"), pem.get(container, "/")]
    assert [(answer.status_code, answer.text) for answer in answers] == [(503, "starting")] * 2
    container.wait_ready()
    assert pem.get(container, "/ready").text == "ready"


# What cannot be loaded never listens

on_the_same_network = pytest.mark.xdist_group("tls-network")


@pytest.fixture(scope="module")
def network(start_for_all):
    """A container that does nothing; others share its address, which is known before they start."""
    return start_for_all(command=["sleep", "infinity"])


@pytest.fixture
def watch(network):
    """Try to connect until the test ends, and return the list of what came of it."""
    seen, ended, address = [], threading.Event(), network.address

    def knock():
        while not ended.is_set():
            try:
                with socket.create_connection((address, 8000), timeout=10):
                    seen.append("listens")
            except ConnectionRefusedError:
                seen.append("refused")
            ended.wait(0.005)

    thread = threading.Thread(target=knock)
    thread.start()
    yield seen
    ended.set()
    thread.join()


@on_the_same_network
@pytest.mark.parametrize(
    ("app", "worker_class", "preload"),
    [
        ("asgi.py", "auto", "true"),
        ("wsgi.py", "auto", "false"),
        ("asgi.py", "asgi", "false"),
        ("wsgi.py", "sync", "true"),
    ],
)
def test_what_cannot_be_loaded_never_listens(finish, pem, network, watch, app, worker_class, preload):
    """Gunicorn's own ASGI worker would answer in plain text, others would fail for each connection or fork for ever."""
    environment = pem.settings(
        CERTFILE="server.crt", KEYFILE="other.key", WORKER_CLASS=worker_class, PRELOAD_APP=preload
    )
    before = len(watch)
    outcome = finish(app, volumes=pem.volumes, environment=environment, network_mode=f"container:{network.raw.id}")

    assert outcome.status == 78
    (line,) = said(outcome.err)
    assert line.startswith("KEYFILE='/tls/other.key': is not the key of the certificate")
    assert set(watch) == {"refused"}
    assert len(watch) > before + 10


@on_the_same_network
def test_the_port_that_is_watched_is_the_right_one(start, pem, network, watch):
    environment = pem.settings(**SEPARATE)
    options = {"volumes": pem.volumes, "environment": environment, "network_mode": f"container:{network.raw.id}"}
    start("asgi.py", **options).wait_ready()

    wait_until(lambda: "listens" in watch, "a connection")


def test_files_that_only_root_can_read(finish, certificates):
    certificates.issue("server")
    closed = certificates.directory / "live"
    closed.mkdir(mode=0o700)
    (certificates.directory / "server.crt").rename(closed / "server.crt")
    (certificates.directory / "server.key").chmod(0o600)
    environment = {"CERTFILE": "/tls/live/server.crt", "KEYFILE": "/tls/server.key"}
    outcome = finish("asgi.py", volumes=certificates.volumes, environment=environment)

    assert outcome.status == 78
    expected = "expected the path of a file that can be read; if it is your application's, set IGNORE_ENV="
    assert said(outcome.err) == [
        f"CERTFILE='/tls/live/server.crt': is in a directory that is closed to user 10001; {expected}CERTFILE",
        f"KEYFILE='/tls/server.key': cannot be read by user 10001; {expected}KEYFILE",
    ]
