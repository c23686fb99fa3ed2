"""Certificates of an authority of the tests' own, where a container finds them, and clients that trust it."""

from __future__ import annotations

import os
import ssl
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

PASSWORD = "correct horse battery staple"

EC = trustme.KeyType.ECDSA
RSA = trustme.KeyType.RSA


class Certificates:
    """A directory of certificates and keys; a container that is given `volumes` sees it as /tls."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.chmod(0o755)
        self.authority = trustme.CA()
        self.write("ca.crt", self.authority.cert_pem.bytes())
        self.volumes = {str(directory): {"bind": "/tls", "mode": "ro"}}

    def write(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """Put a file in its place at once, as whatever renews certificates does."""
        draft = self.directory / f"{name}.new"
        draft.write_bytes(content)
        draft.chmod(mode)
        draft.rename(self.directory / name)

    def issue(
        self,
        name: str,
        key_type: trustme.KeyType = EC,
        intermediate: bool = False,
        password: str = "",
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> None:
        """Write `name`.crt, which has the chain, `name`.key, and `name`.pem with both."""
        signer = self.authority.create_child_ca() if intermediate else self.authority
        issued = signer.issue_cert(f"{name}.test", key_type=key_type, not_before=not_before, not_after=not_after)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        key = issued.private_key_pem.bytes()
        if password:
            encryption = BestAvailableEncryption(password.encode())
            key = load_pem_private_key(key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        self.write(f"{name}.key", key)
        self.write(f"{name}.crt", chain)
        self.write(f"{name}.pem", key + chain)

    def settings(self, **settings: str) -> dict[str, str]:
        """Return an environment with one worker; values that are files of the directory become their paths."""
        found = {name: f"/tls/{value}" for name, value in settings.items() if os.path.isfile(self.directory / value)}
        return {"WORKERS": "1", **settings, **found}

    def context(self, certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """Return what a client needs, who may have a certificate; addresses of containers have no names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        context.check_hostname = False
        if certificate:
            certificate.configure_cert(context)
        return context

    def client(self, certificate: trustme.LeafCert | None = None, **options: Any) -> httpx.Client:
        """Return an HTTP client."""
        return httpx.Client(verify=self.context(certificate), trust_env=False, timeout=30, **options)

    def get(self, container: Any, path: str = "/", certificate: trustme.LeafCert | None = None) -> httpx.Response:
        """Ask the application in a container."""
        with self.client(certificate) as client:
            return client.get(f"https://{container.address}:8000{path}")
