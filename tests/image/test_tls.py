"""TLS: every way to give the certificate and the key, clients' certificates, and never an answer in plain text."""

import socket
import ssl

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

PASSWORD = "correct horse battery staple"

SERVERS = [
    ("asgi.py", "auto"),
    ("wsgi.py", "auto"),
    ("asgi.py", "asgi"),
    ("wsgi.py", "sync"),
]


@pytest.fixture(scope="session")
def authority():
    """Who signs the certificates of servers and clients."""
    return trustme.CA()


@pytest.fixture(scope="session")
def pem(authority, tmp_path_factory):
    """The directory with every file that a server is given; a container sees it as /tls."""
    directory = tmp_path_factory.mktemp("tls")
    issued = authority.issue_cert("paddock.test")
    certificate = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    key = issued.private_key_pem.bytes()
    encrypted = load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode())
    )
    files = {
        "server.crt": certificate,
        "server.key": key,
        "server.pem": key + certificate,
        "encrypted.key": encrypted,
        "encrypted.pem": encrypted + certificate,
        "other.key": authority.issue_cert("other.test").private_key_pem.bytes(),
        "password": f"{PASSWORD}\n".encode(),
        "ca.crt": authority.cert_pem.bytes(),
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o644)
    directory.chmod(0o755)
    return directory


@pytest.fixture
def serve(start, pem):
    """Start a server with TLS: `serve("asgi.py", CERTFILE="server.pem")`; values that are files are found in /tls."""

    def run(app, allow=(), **environment):
        volumes = {str(pem): {"bind": "/tls", "mode": "ro"}}
        return start(app, volumes=volumes, environment={"WORKERS": "1", **located(pem, environment)}, allow=allow)

    return run


def located(pem, environment):
    return {name: f"/tls/{value}" if (pem / value).is_file() else value for name, value in environment.items()}


def client(authority, certificate=None):
    """What a client needs, who trusts the authority and may have a certificate; addresses have no names here."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.check_hostname = False
    if certificate:
        certificate.configure_cert(context)
    return context


def ask(container, context):
    with httpx.Client(verify=context, trust_env=False, timeout=20) as http:
        return http.get(f"https://{container.address}:8000/")


def plain_text(container):
    """What the port says to somebody who speaks plain HTTP."""
    with socket.create_connection((container.address, 8000), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b""
        try:
            while data := connection.recv(4096):
                received += data
        except ConnectionResetError:
            pass
        return received


SEPARATE = {"CERTFILE": "server.crt", "KEYFILE": "server.key"}
COMBINED = {"CERTFILE": "server.pem"}
ENCRYPTED = {"CERTFILE": "server.crt", "KEYFILE": "encrypted.key", "KEYFILE_PASSWORD": PASSWORD}
PASSWORD_FILE = {"CERTFILE": "server.crt", "KEYFILE": "encrypted.key", "KEYFILE_PASSWORD_FILE": "password"}
COMBINED_ENCRYPTED = {"CERTFILE": "encrypted.pem", "KEYFILE_PASSWORD_FILE": "password"}


@pytest.mark.parametrize(
    ("app", "worker_class", "files"),
    [
        *((app, worker_class, SEPARATE) for app, worker_class in SERVERS),
        *((app, worker_class, PASSWORD_FILE) for app, worker_class in SERVERS),
        *((app, "auto", files) for app in ("asgi.py", "wsgi.py") for files in (COMBINED, ENCRYPTED)),
        ("asgi.py", "auto", COMBINED_ENCRYPTED),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else value,
)
def test_serves(serve, authority, app, worker_class, files):
    container = serve(app, WORKER_CLASS=worker_class, **files).wait_ready()

    answer = ask(container, client(authority))
    assert answer.json()["scheme"] == "https"
    assert container.run("paddock", "health") == "healthy: 127.0.0.1:8000 answered GET / with 200\n"
    assert container.stop() == 0
    assert PASSWORD not in container.logs()


def test_docker_calls_it_healthy(serve):
    container = serve("asgi.py", **SEPARATE).wait_healthy()

    assert "https://0.0.0.0:8000" in container.logs()


@pytest.mark.parametrize(("app", "worker_class"), SERVERS)
def test_plain_text_is_never_answered(serve, authority, app, worker_class):
    # Each server says in its own words that this was no TLS.
    container = serve(app, allow=("SSL", "ssl", "Traceback"), WORKER_CLASS=worker_class, **SEPARATE).wait_ready()

    assert not plain_text(container).startswith(b"HTTP/")
    # And goes on for those who do speak it.
    assert ask(container, client(authority)).status_code == 200


LOCKED = "KEYFILE_PASSWORD: the key is encrypted, and KEYFILE_PASSWORD"


@pytest.mark.parametrize(("app", "worker_class"), SERVERS)
@pytest.mark.parametrize(
    ("files", "message"),
    [
        (SEPARATE | {"KEYFILE": "other.key"}, "KEYFILE='/tls/other.key': is not the key of the certificate"),
        (
            SEPARATE | {"KEYFILE": "encrypted.key"},
            "KEYFILE_PASSWORD: the key is encrypted, and KEYFILE_PASSWORD is not set",
        ),
        (
            ENCRYPTED | {"KEYFILE_PASSWORD": "wrong"},
            "KEYFILE_PASSWORD: the key is encrypted, and KEYFILE_PASSWORD is not its",
        ),
    ],
    ids=["other", "no-password", "wrong-password"],
)
def test_what_cannot_be_loaded_ends_the_start(finish, pem, app, worker_class, files, message):
    """Gunicorn's own ASGI worker would answer in plain text, others would fail for each connection or fork for ever."""
    volumes = {str(pem): {"bind": "/tls", "mode": "ro"}}
    environment = located(pem, {"WORKER_CLASS": worker_class, **files})
    outcome = finish(app, volumes=volumes, environment=environment)

    assert outcome.status == 78
    (line,) = outcome.err.splitlines()
    assert line.startswith(f"paddock: error: {message}")


# Mutual TLS

MUTUAL = {**SEPARATE, "CA_CERTS": "ca.crt"}


@pytest.fixture(scope="session")
def known(authority):
    """A client's certificate of the authority that the server trusts."""
    return authority.issue_cert("client@paddock.test")


@pytest.fixture(scope="session")
def unknown():
    """A client's certificate of another authority."""
    return trustme.CA().issue_cert("client@paddock.test")


@pytest.mark.parametrize(("app", "worker_class"), SERVERS)
def test_clients_need_a_certificate(serve, authority, known, unknown, app, worker_class):
    # Refused handshakes are said in the log.
    allow = ("SSL", "ssl", "Traceback", "certificate", "CERTIFICATE")
    container = serve(app, allow=allow, WORKER_CLASS=worker_class, CERT_REQS="2", **MUTUAL).wait_ready()

    assert ask(container, client(authority, known)).status_code == 200
    for certificate in (None, unknown):
        with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
            ask(container, client(authority, certificate))
    assert not plain_text(container).startswith(b"HTTP/")
    assert ask(container, client(authority, known)).status_code == 200
    assert "requires a client certificate" in container.run("paddock", "health")
    assert container.stop() == 0


@pytest.mark.parametrize("app", ["asgi.py", "wsgi.py"])
def test_health_of_a_server_that_needs_certificates_says_nothing(serve, app):
    """The check has no certificate: what it does must not look like an attack in the log, every few seconds."""
    container = serve(app, CERT_REQS="2", **MUTUAL).wait_healthy()

    for _ in range(3):
        container.run("paddock", "health")
    container.assert_silent()


@pytest.mark.parametrize("app", ["asgi.py", "wsgi.py"])
def test_clients_may_have_a_certificate(serve, authority, known, unknown, app):
    container = serve(app, allow=("SSL", "ssl", "Traceback"), CERT_REQS="1", **MUTUAL).wait_ready()

    assert ask(container, client(authority, known)).status_code == 200
    assert ask(container, client(authority)).status_code == 200
    with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
        ask(container, client(authority, unknown))
