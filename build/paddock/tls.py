"""TLS: one way to make the context, used to check it at start and to serve with it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any

from gunicorn.config import ALPN_PROTOCOL_MAP

from paddock.errors import Problem
from paddock.settings import own


def ssl_context(cfg: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return the context for Gunicorn's configuration `cfg`: Gunicorn's `ssl_context` hook.

    Gunicorn's own context takes no password for the key (`default` is not called), and OpenSSL would ask a terminal.

    Raises:
        OSError: (ssl.SSLError is one) when a file cannot be loaded or key and certificate do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=cfg.ca_certs)
    context.load_cert_chain(cfg.certfile, cfg.keyfile, password=lambda: own(cfg, "keyfile_password") or "")
    context.verify_mode = ssl.VerifyMode(cfg.cert_reqs)
    if cfg.ciphers:
        context.set_ciphers(cfg.ciphers)
    if "h2" in cfg.http_protocols:
        context.set_alpn_protocols([ALPN_PROTOCOL_MAP[p] for p in cfg.http_protocols if p in ALPN_PROTOCOL_MAP])
    return context


def problems(cfg: Any) -> Iterator[Problem]:
    """Yield what is wrong with the TLS settings of `cfg`, by loading them as the server will."""
    if not cfg.certfile:
        if cfg.keyfile:
            yield Problem("KEYFILE", "is set without CERTFILE: set both", cfg.keyfile)
        if cfg.cert_reqs or cfg.ca_certs:
            name = "CERT_REQS" if cfg.cert_reqs else "CA_CERTS"
            yield Problem(name, "has no effect without CERTFILE and KEYFILE: set them")
        return
    if cfg.cert_reqs and not cfg.ca_certs:
        yield Problem(
            "CERT_REQS", "needs CA_CERTS, the authorities that sign clients' certificates", str(cfg.cert_reqs)
        )
        return
    try:
        cfg.ssl_context(cfg, lambda: ssl_context(cfg, ssl.create_default_context))
    except OSError as error:
        yield _explain(cfg, error)


def _explain(cfg: Any, error: OSError) -> Problem:
    reason = str(getattr(error, "reason", None) or error)
    # The second is what OpenSSL says when the two are of different algorithms.
    if "MISMATCH" in reason or "NO_CERTIFICATE_ASSIGNED" in reason:
        return Problem("KEYFILE", f"is not the key of the certificate in CERTFILE={cfg.certfile!r}", cfg.keyfile)
    if _is_encrypted(cfg.keyfile or cfg.certfile):
        hint = "the key is encrypted, and KEYFILE_PASSWORD is " + (
            "not its password" if own(cfg, "keyfile_password") else "not set"
        )
        return Problem("KEYFILE_PASSWORD", hint)
    if not cfg.keyfile and not _has_key(cfg.certfile):
        return Problem("CERTFILE", "holds no private key, and KEYFILE is not set: set it", cfg.certfile)
    if not _has(cfg.certfile, b"CERTIFICATE-----"):
        return Problem("CERTFILE", "holds no certificate; expected a PEM file", cfg.certfile)
    if cfg.keyfile and not _has_key(cfg.keyfile):
        return Problem("KEYFILE", "holds no private key; expected a PEM file", cfg.keyfile)
    if cfg.ca_certs and not _has(cfg.ca_certs, b"CERTIFICATE-----"):
        return Problem("CA_CERTS", "holds no certificate; expected a PEM file", cfg.ca_certs)
    if "cipher" in reason.lower():
        return Problem("CIPHERS", "names no cipher that OpenSSL has", cfg.ciphers)
    return Problem("CERTFILE", f"TLS cannot be set up: {reason}", cfg.certfile)


def _has_key(path: str) -> bool:
    return _has(path, b"PRIVATE KEY-----")


def _is_encrypted(path: str) -> bool:
    return _has(path, b"ENCRYPTED")


def _has(path: str, text: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return text in file.read()
    except OSError:
        return False
