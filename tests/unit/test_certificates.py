"""What TLS settings name is loaded once, what is wrong with it is said in words, and how long it is valid."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from gunicorn import sock
from gunicorn.config import Config

from certificates import EC, PASSWORD, RSA, Certificates
from paddock.settings import certificates as tls
from paddock.settings.table import register

register()

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates(tmp_path_factory.mktemp("tls"))
    now = datetime.now(UTC)
    made.issue("server", EC)
    made.issue("other", EC)
    made.issue("rsa", RSA)
    made.issue("encrypted", EC, password=PASSWORD)
    made.issue("expired", EC, not_after=now - timedelta(days=1))
    made.issue("early", EC, not_before=now + timedelta(days=1))
    made.write("reversed.crt", made.authority.cert_pem.bytes() + (made.directory / "server.crt").read_bytes())
    made.write("garbage", b"\0\1\2")
    made.write("empty", b"")
    return made


@pytest.fixture
def configure(certificates: Certificates) -> Make:
    """Make Gunicorn's configuration; values that are files of the directory become their paths."""

    def make(**settings: Any) -> Any:
        cfg = Config()
        cfg.set("ssl_context", tls.ssl_context)
        for name, value in settings.items():
            path = certificates.directory / str(value)
            cfg.set(name, str(path) if path.is_file() else value)
        return cfg

    return make


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"certfile": "server.crt", "keyfile": "other.key"}, "KEYFILE={keyfile}: is not the key of the certificate in"),
        ({"certfile": "server.crt", "keyfile": "rsa.key"}, "KEYFILE={keyfile}: is not the key of the certificate in"),
        ({"certfile": "reversed.crt", "keyfile": "server.key"}, "KEYFILE={keyfile}: is not the key of the certificate"),
        (
            {"certfile": "encrypted.crt", "keyfile": "encrypted.key"},
            "KEYFILE_PASSWORD: the key is encrypted, and KEYFILE_PASSWORD is not set",
        ),
        (
            {"certfile": "encrypted.pem", "keyfile_password": "wrong"},
            "KEYFILE_PASSWORD: the key is encrypted, and KEYFILE_PASSWORD is not its password",
        ),
        ({"certfile": "server.crt"}, "CERTFILE={certfile}: holds no private key, and KEYFILE is not set"),
        ({"certfile": "garbage", "keyfile": "server.key"}, "CERTFILE={certfile}: holds no certificate"),
        ({"certfile": "empty", "keyfile": "server.key"}, "CERTFILE={certfile}: holds no certificate"),
        ({"certfile": "server.crt", "keyfile": "garbage"}, "KEYFILE={keyfile}: holds no private key"),
        ({"certfile": "server.crt", "keyfile": "empty"}, "KEYFILE={keyfile}: holds no private key"),
        ({"certfile": "server.pem", "ca_certs": "garbage"}, "CA_CERTS={ca_certs}: holds no certificate"),
        ({"certfile": "server.pem", "ciphers": "ROT13"}, "CIPHERS='ROT13': names no cipher that OpenSSL has"),
        ({"certfile": "server.pem", "cert_reqs": 2}, "CERT_REQS='2': needs CA_CERTS"),
        ({"keyfile": "server.key"}, "KEYFILE={keyfile}: is set without CERTFILE"),
        ({"cert_reqs": 2}, "CERT_REQS: has no effect without CERTFILE"),
        ({"ca_certs": "ca.crt"}, "CA_CERTS: has no effect without CERTFILE"),
    ],
    ids=lambda value: "+".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_what_is_wrong(configure: Make, settings: dict[str, Any], expected: str) -> None:
    cfg = configure(**settings)
    (problem,) = tls.load(cfg)

    assert str(problem).startswith(expected.format(**{name: repr(cfg.settings[name].get()) for name in settings}))


def failing(cfg: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    raise LookupError("no such vault")


@pytest.mark.parametrize(
    ("hook", "reason"),
    [(failing, "LookupError: no such vault"), (lambda cfg, default: None, "TypeError: None is no ssl.SSLContext")],
)
def test_a_hook_that_fails(configure: Make, hook: Any, reason: str) -> None:
    (problem,) = tls.load(configure(certfile="server.pem", ssl_context=hook))
    assert str(problem) == f"ssl_context: the hook of your Gunicorn file failed: {reason}"


def test_a_hook_that_changes_the_context(configure: Make) -> None:
    def hook(cfg: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = default()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    # The password is the image's own: Gunicorn's default would ask the terminal for it.
    cfg = configure(certfile="encrypted.pem", keyfile_password=PASSWORD, ssl_context=hook)
    assert not list(tls.load(cfg))
    assert sock.ssl_context(cfg).maximum_version is ssl.TLSVersion.TLSv1_2
    assert tls.lifetime(cfg)


def test_the_files_are_read_once(configure: Make, tmp_path: Path) -> None:
    own = Certificates(tmp_path)
    own.issue("server")
    cfg = configure(certfile=str(tmp_path / "server.pem"))
    assert not list(tls.load(cfg))

    loaded = sock.ssl_context(cfg)
    (tmp_path / "server.pem").unlink()
    assert sock.ssl_context(cfg) is loaded


@pytest.mark.parametrize(
    ("version", "cert_reqs"),
    [
        (ssl.TLSVersion.TLSv1_2, 0),
        (ssl.TLSVersion.TLSv1_2, 1),
        (ssl.TLSVersion.TLSv1_3, 0),
        (ssl.TLSVersion.TLSv1_3, 1),
        (ssl.TLSVersion.TLSv1_3, 2),
    ],
)
@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("server", ""),
        ("rsa", ""),
        ("encrypted", ""),
        ("expired", "has expired"),
        ("early", "is not valid yet"),
    ],
)
def test_lifetime(configure: Make, name: str, warning: str, version: ssl.TLSVersion, cert_reqs: int) -> None:
    cfg = configure(certfile=f"{name}.pem", keyfile_password=PASSWORD, ca_certs="ca.crt", cert_reqs=cert_reqs)
    assert not list(tls.load(cfg))
    sock.ssl_context(cfg).maximum_version = version
    lifetime = tls.lifetime(cfg)

    assert lifetime
    assert lifetime.warning(time.time()) == warning
    assert name != "server" or lifetime.until == datetime(3000, 1, 1, tzinfo=UTC).timestamp()


def test_the_lifetime_of_another_certificate_than_that_of_the_settings(
    configure: Make, certificates: Certificates
) -> None:
    def hook(cfg: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.directory / "other.pem")
        return context

    cfg = configure(certfile="server.pem", ssl_context=hook)
    assert not list(tls.load(cfg))
    assert tls.lifetime(cfg) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CERTFILE", True),
        ("KEYFILE_PASSWORD_FILE", True),
        ("certfile (command line)", True),
        ("WORKERS", False),
        ("CERT", False),
    ],
)
def test_problems_that_concern_tls(name: str, expected: bool) -> None:
    assert tls.concerns(tls.Problem(name, "is wrong")) is expected
