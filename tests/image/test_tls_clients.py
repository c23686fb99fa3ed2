"""Mutual TLS: who is let in, and what the application gets to know of them."""

import httpx
import pytest
import trustme

from wire import connect, received, request

NAME = "client@paddock.test"
FILES = {"CERTFILE": "server.crt", "KEYFILE": "server.key", "CA_CERTS": "ca.crt"}

REFUSED = (httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)


@pytest.fixture(scope="session")
def known(pem):
    """A client's certificate of the authority that the server trusts."""
    return pem.authority.issue_cert(NAME)


@pytest.fixture(scope="session")
def unknown():
    """A client's certificate of another authority."""
    return trustme.CA().issue_cert(NAME)


SYNC = "gunicorn.workers.sync.SyncWorker"


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(pair, id="-".join(pair), marks=pytest.mark.xdist_group(f"mutual-{'-'.join(pair)}"))
        for pair in (("asgi.py", "auto"), ("wsgi.py", "auto"), ("asgi.py", "asgi"), ("wsgi.py", SYNC))
    ],
)
def server(start_for_all, pem, request):
    app, worker_class = request.param
    # Gunicorn's own classes log a traceback of each handshake that fails.
    allow = () if worker_class == "auto" else ("SSL", "ssl", "Traceback", "is not the image's")
    environment = pem.settings(CERT_REQS="2", WORKER_CLASS=worker_class, **FILES)
    return start_for_all(app, volumes=pem.volumes, environment=environment, allow=allow).wait_healthy()


@pytest.mark.smoke
def test_with_a_certificate(server, pem, known):
    seen = pem.get(server, certificate=known).json()

    assert seen["scheme"] == "https"
    if seen["kind"] == "wsgi":
        assert ["email", NAME] in seen["certificate"]["subjectAltName"]
        assert seen["certificate"]["notAfter"] == "Jan  1 00:00:00 3000 GMT"
    else:
        # https://asgi.readthedocs.io/en/latest/specs/tls.html, which neither Uvicorn nor Gunicorn implements.
        assert "tls" not in seen["extensions"]


def test_without_a_good_certificate(server, pem, known, unknown):
    for certificate in (None, unknown):
        with pytest.raises(REFUSED):
            pem.get(server, certificate=certificate)
    assert pem.get(server, certificate=known).status_code == 200
    if "SyncWorker" not in server.logs():
        # Gunicorn's `sync` shakes hands when it reads, and says in its own words that it cannot.
        server.wait_for_log(r"\[INFO\] .*Refused a client without a certificate")
        server.wait_for_log(r"\[INFO\] .*Refused a client's certificate: unable to get local issuer certificate")


def test_plain_text_is_not_answered(server, pem, known):
    with connect(server.address) as client:
        client.sendall(request("/"))
        assert not received(client).startswith(b"HTTP/")
    assert pem.get(server, certificate=known).status_code == 200


def test_the_health_check_has_no_certificate(server):
    for _ in range(3):
        assert "requires a client certificate" in server.run("paddock", "health")


@pytest.mark.parametrize("app", ["asgi.py", "wsgi.py"])
def test_a_certificate_that_is_not_required(start, pem, known, unknown, app):
    environment = pem.settings(CERT_REQS="1", **FILES)
    container = start(app, volumes=pem.volumes, environment=environment).wait_ready()

    without, with_one = pem.get(container).json(), pem.get(container, certificate=known).json()
    if app == "wsgi.py":
        assert without["certificate"] is None
        assert ["email", NAME] in with_one["certificate"]["subjectAltName"]
    with pytest.raises(REFUSED):
        pem.get(container, certificate=unknown)
    assert container.run("paddock", "health") == "healthy: 127.0.0.1:8000 answered GET / with 200\n"
