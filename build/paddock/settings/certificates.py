"""TLS: certificate and key are loaded once, before anything listens, and every worker inherits them."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from gunicorn import sock

from paddock.errors import Problem
from paddock.settings.environment import own
from paddock.settings.table import SETTINGS, TLS

ALPN = {"h1": "http/1.1"}
"""What Gunicorn calls otherwise than https://www.iana.org/assignments/tls-extensiontype-values, protocol IDs."""

AT_ANY_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME: https://docs.openssl.org/master/man3/X509_VERIFY_PARAM_set_flags/"""


class TLSSocket(ssl.SSLSocket):
    """A TLS socket that has no failures but its own.

    Python leaves what a failed write put on OpenSSL's list of the thread's errors, and from then on takes it for the
    reason why a read in that thread has to wait, on whichever connection: a client that goes away takes others with it
    (https://github.com/python/cpython/issues/148594).
    """

    def do_handshake(self, block: bool = False) -> None:
        """As ssl.SSLSocket does."""
        with saying_who_is_refused():
            self._alone(super().do_handshake, block)

    def read(self, *arguments: Any) -> Any:
        """As ssl.SSLSocket does."""
        return self._alone(super().read, *arguments)

    def send(self, data: Any, flags: int = 0) -> int:
        """As ssl.SSLSocket does."""
        sent: int = self._alone(super().send, data, flags)
        return sent

    def unwrap(self) -> socket.socket:
        """As ssl.SSLSocket does."""
        raw: socket.socket = self._alone(super().unwrap)
        return raw

    def _alone(self, operation: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return operation(*arguments)
        except (ssl.SSLError, TimeoutError):
            raise
        except OSError:
            self._forget_errors()
        try:
            # It fails again if the failure is this connection's.
            return operation(*arguments)
        except OSError:
            self._forget_errors()
            raise

    def _forget_errors(self) -> None:
        # Making a TLS object empties OpenSSL's list.
        self.context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)


class TLSObject(ssl.SSLObject):
    """What event loops have in place of a TLS socket."""

    def do_handshake(self) -> None:
        """As ssl.SSLObject does."""
        with saying_who_is_refused():
            super().do_handshake()


@contextmanager
def saying_who_is_refused() -> Iterator[None]:
    """Log why a client's certificate is refused: neither it nor anybody else is told."""
    try:
        yield
    except ssl.SSLError as error:
        logger = logging.getLogger("gunicorn.error")
        if isinstance(error, ssl.SSLCertVerificationError):
            logger.info("Refused a client's certificate: %s", error.verify_message)
        elif getattr(error, "reason", None) == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            logger.info("Refused a client without a certificate")
        raise


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
        context.set_alpn_protocols([ALPN.get(protocol, protocol) for protocol in cfg.http_protocols])
    return context


def concerns(problem: Problem) -> bool:
    """Tell whether `problem` is with a TLS setting by itself, so that the rest of them cannot be judged."""
    name = problem.name.split(" ")[0].upper()
    return any(setting.section == TLS and name in (setting.name, f"{setting.name}_FILE") for setting in SETTINGS)


def load(cfg: Any) -> Iterator[Problem]:
    """Load what the TLS settings of `cfg` name, for every process from now on; yield what is wrong with them.

    Gunicorn's worker classes read the files for each connection, or when a worker starts. While a certificate is being
    replaced they would fail now and then, and Gunicorn's own ASGI worker would answer in plain text.
    """
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
        context = cfg.ssl_context(cfg, lambda: ssl_context(cfg, ssl.create_default_context))
        if not isinstance(context, ssl.SSLContext):
            raise TypeError(f"{context!r} is no ssl.SSLContext")
    except OSError as error:
        yield _explain(cfg, error)
    except Exception as error:
        yield Problem("ssl_context", f"the hook of your Gunicorn file failed: {type(error).__name__}: {error}")
    else:
        if context.sslsocket_class is ssl.SSLSocket:
            context.sslsocket_class = TLSSocket
        if context.sslobject_class is ssl.SSLObject:
            context.sslobject_class = TLSObject
        cfg.set("ssl_context", lambda cfg, default: context)


@dataclass(frozen=True)
class Lifetime:
    """From when until when a certificate is valid, in seconds since the epoch."""

    since: float
    until: float

    def warning(self, now: float) -> str:
        """Return what is wrong with it at the time `now`; nothing if it is valid."""
        if self.until < now:
            return "has expired"
        return "is not valid yet" if now < self.since else ""


def lifetime(cfg: Any) -> Lifetime | None:
    """Return for which time the certificate of `cfg`, which was loaded, is valid; None if that cannot be known.

    Python tells nothing of a certificate but what it tells a client: so this is one, which trusts that certificate and
    nothing else.
    """
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_flags |= ssl.VerifyFlags(ssl.VERIFY_X509_PARTIAL_CHAIN | AT_ANY_TIME)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = sock.ssl_context(cfg).wrap_bio(to_server, to_client, server_side=True)
    try:
        client_context.load_verify_locations(cfg.certfile)
        # A server of TLS 1.2 has a flight more; one that wants a certificate of this client fails after that.
        for side in (client, server, client, server, client):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
                if side is client:
                    break
        certificate = client.getpeercert() or {}
        since, until = (ssl.cert_time_to_seconds(str(certificate[key])) for key in ("notBefore", "notAfter"))
    except (OSError, ValueError, KeyError):
        # The context is the user's own, allows little, or has another certificate.
        return None
    return Lifetime(since, until)


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
