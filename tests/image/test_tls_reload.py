"""Certificates that are replaced while the server runs, files that are wrong then, and what a stop finds open."""

import os
import re
import shutil
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from conftest import wait_until
from load import Load
from wire import connect, request

APPS = pytest.mark.parametrize("app", ["echo_asgi.py", "echo_wsgi.py"])

FILES = {"CERTFILE": "server.crt", "KEYFILE": "server.key"}

NOW = datetime.now(UTC)

UNTIL = datetime(3000, 1, 1, tzinfo=UTC)
"""When certificates end, unless a test says otherwise."""


def served(certificates, container):
    """The fingerprint of the certificate that a new connection gets; nobody looks whether it has expired."""
    context = certificates.context()
    context.verify_mode = 0
    with socket.create_connection((container.address, 8000), timeout=30) as raw, context.wrap_socket(raw) as client:
        return sha256(client.getpeercert(binary_form=True)).hexdigest()


def issued(certificates, name="server"):
    """The fingerprint of the certificate in `name`.crt."""
    certificate = x509.load_pem_x509_certificate((certificates.directory / f"{name}.crt").read_bytes())
    return sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def replaced(container, old, workers=2):
    """Whether there are so many workers, none of them of the `old` ones."""
    children = container.children()
    return not children & old and len(children) == workers


def reload(container, workers=2):
    """Reload, and wait for so many new workers; that MAX_REQUESTS may just be replacing some makes no difference."""
    old = container.children()
    container.signal("HUP")
    wait_until(lambda: replaced(container, old, workers), "new workers")


@pytest.fixture
def serve(start, certificates):
    """Start two workers with the certificate in server.crt."""

    def run(app, allow=(), **settings):
        certificates.issue("server")
        environment = certificates.settings(**{"WORKERS": "2", **FILES, **settings})
        container = start(app, volumes=certificates.volumes, environment=environment, allow=allow).wait_ready()
        wait_until(lambda: len(container.children()) == 2, "two workers")
        return container

    return run


@pytest.mark.smoke
@APPS
def test_under_load(serve, certificates, app):
    container = serve(app, ACCESS_LOG="none")
    with Load(container.address, tls=certificates.context(), least=1000, keep_alive=6, single=12) as load:
        for _ in range(2):
            old = served(certificates, container)
            certificates.issue("server")
            assert served(certificates, container) == old != issued(certificates)
            reload(container)
            assert served(certificates, container) == issued(certificates)
            load.wait_more(100)

    assert load.report.lost == 0, f"\n{load.report}"
    assert container.stop() == 0


def test_as_kubernetes_does_it(start, certificates):
    """The files are links to ..data, which is a link to a directory, which is replaced at once."""
    for version in ("..2025", "..2026"):
        directory = certificates.directory / version
        directory.mkdir()
        certificates.issue("tls")
        for kind in ("crt", "key"):
            shutil.move(certificates.directory / f"tls.{kind}", directory / f"tls.{kind}")
    data = certificates.directory / "..data"
    data.symlink_to("..2025")
    for kind in ("crt", "key"):
        (certificates.directory / f"tls.{kind}").symlink_to(f"..data/tls.{kind}")
    environment = certificates.settings(CERTFILE="tls.crt", KEYFILE="tls.key", PRELOAD_APP="true", WORKERS="1")
    allow = ("PRELOAD_APP: the code is not reloaded",)
    container = start("wsgi.py", volumes=certificates.volumes, environment=environment, allow=allow).wait_ready()
    old = served(certificates, container)
    assert old == issued(certificates, "tls")

    (certificates.directory / "..data_tmp").symlink_to("..2026")
    os.replace(certificates.directory / "..data_tmp", data)
    reload(container, workers=1)
    assert served(certificates, container) == issued(certificates, "tls") != old


@APPS
def test_files_that_are_wrong(serve, certificates, app):
    """The old certificate is served on: by the workers that are there, and by those that take their place."""
    allow = ("KEYFILE=", "The reload is refused", "was killed by SIGKILL")
    container = serve(app, allow=allow, MAX_REQUESTS="100", MAX_REQUESTS_JITTER="0", ACCESS_LOG="none")
    old = issued(certificates)
    certificates.issue("next")
    shutil.move(certificates.directory / "next.crt", certificates.directory / "server.crt")
    workers = container.children()
    container.signal("HUP")
    container.wait_for_log(r"KEYFILE='/tls/server.key': is not the key of the certificate")
    container.wait_for_log("The reload is refused, the server goes on as it was")
    assert container.children() == workers

    pid = certificates.get(container, "/echo").headers["x-pid"]
    container.run("python", "-c", f"import os; os.kill({pid}, 9)")
    container.wait_for_log("was killed by SIGKILL")
    with Load(container.address, tls=certificates.context(), least=500, keep_alive=2, single=2):
        # MAX_REQUESTS has replaced them all, and the one that was killed.
        wait_until(lambda: replaced(container, workers), "other workers")
    assert served(certificates, container) == old

    shutil.move(certificates.directory / "next.key", certificates.directory / "server.key")
    reload(container)
    assert served(certificates, container) == issued(certificates) != old


@pytest.mark.parametrize(
    ("dates", "words"),
    [
        ({"not_after": NOW - timedelta(days=1)}, "the certificate has expired, and clients will refuse it"),
        ({"not_before": NOW + timedelta(days=1)}, "the certificate is not valid yet, and clients will refuse it"),
    ],
    ids=["expired", "early"],
)
def test_a_certificate_whose_time_is_over_or_to_come(start, certificates, dates, words):
    certificates.issue("server", **dates)
    environment = certificates.settings(WORKERS="1", METRICS_BIND="0.0.0.0:9090", **FILES)
    container = start("asgi.py", volumes=certificates.volumes, environment=environment, allow=(words,)).wait_ready()
    assert f"[WARNING] [1] gunicorn: CERTFILE='/tls/server.crt': {words}" in container.logs()

    def until():
        page = container.get("/metrics", port=9090).text
        return float(re.search(r"^paddock_certificate_expiry_timestamp_seconds (\S+)$", page, re.MULTILINE)[1])

    assert until() == int(dates.get("not_after", UNTIL).timestamp())

    certificates.issue("server")
    # What serves the figures is a child of the arbiter's, too.
    reload(container, workers=2)
    assert container.wait_for_log(r"The certificate in /tls/server.crt is valid until 3000-01-01 00:00:00 UTC")
    assert container.logs().count(words) == 1
    wait_until(lambda: until() == UNTIL.timestamp(), "the new certificate's end")


@APPS
def test_a_stop_waits_for_handshakes_and_not_for_idle_clients(serve, certificates, app):
    container = serve(app, GRACEFUL_TIMEOUT="3600")
    context = certificates.context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing)
    with certificates.client() as idle, connect(container.address) as late:
        idle.get(f"https://{container.address}:8000/echo")
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()
        late.sendall(hello[:50])
        container.signal("TERM")
        container.wait_for_log("Handling signal: term")
        late.sendall(hello[50:])

        def finished(operation):
            try:
                return operation()
            except ssl.SSLWantReadError:
                late.sendall(outgoing.read())
                incoming.write(late.recv(65536))

        wait_until(lambda: finished(client.do_handshake) or client.version(), "the handshake")
        client.write(request("/echo"))
        assert wait_until(lambda: finished(lambda: client.read(65536)), "an answer").startswith(b"HTTP/1.1 200 ")
        # And not three quarters of GRACEFUL_TIMEOUT later.
        assert container.wait_exit() == 0
