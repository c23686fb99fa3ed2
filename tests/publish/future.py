"""PyPI as it will be one day: its pages with one more release of every package, and a note of who wants that.

A proxy for HTTPS: what goes to PyPI ends here, with a certificate of the tests' own, and everything else is passed on.
So it is in PyPI's place for tools and Dockerfiles that know nothing of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urljoin

import httpx
import trustme

VERSION = "9999.0"
HOST = "pypi.org"
INDEX = f"https://{HOST}/simple"
UPSTREAM = (os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or INDEX).rstrip("/")
"""Where this machine finds PyPI's pages: ./dev sets the variables."""

TODAY = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Future(ThreadingHTTPServer):
    """The proxy, on an address of this machine. `with Future(address, directory) as future` starts and ends it.

    Attributes:
        looked_up: The packages whose pages were read.
        wanted: The packages whose release of the future was asked for.
        bundle: A file with the certificates that the machine trusts and the proxy's own.
    """

    daemon_threads = True

    def __init__(self, address: str, directory: Path) -> None:
        super().__init__((address, 0), Tunnel)
        self.looked_up: set[str] = set()
        self.wanted: set[str] = set()
        authority = trustme.CA()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(HOST).configure_cert(self.tls)
        self.bundle = directory / "bundle.pem"
        trusted = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
        if trusted:
            shutil.copyfile(trusted, self.bundle)
        with self.bundle.open("ab") as file:
            file.write(authority.cert_pem.bytes())

    def __enter__(self) -> Future:
        threading.Thread(target=self.serve_forever).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        """What HTTPS_PROXY has to be."""
        return "http://{}:{}".format(*self.server_address[:2])


class Tunnel(BaseHTTPRequestHandler):
    """One connection to the proxy: to PyPI's pages, or to another server."""

    server: Future
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        self.close_connection = True
        host, _, port = self.path.rpartition(":")
        if host == HOST:
            self.open()
            # Whoever does not trust the certificate goes away in the handshake.
            with suppress(OSError), self.server.tls.wrap_socket(self.connection, server_side=True) as connection:
                Pages(connection, self.client_address, self.server)
        else:
            with socket.create_connection((host, int(port))) as other:
                self.open()
                back = threading.Thread(target=copy, args=(other, self.connection))
                back.start()
                copy(self.connection, other)
                back.join()

    def open(self) -> None:
        self.send_response_only(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def copy(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes, to the end."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class Pages(BaseHTTPRequestHandler):
    """One connection to PyPI: https://packaging.python.org/en/latest/specifications/simple-repository-api/"""

    server: Future
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        match self.path.strip("/").split("/"):
            case ["simple", name]:
                self.server.looked_up.add(name)
                self.answer(*page(name, self.headers.get("Accept", "*/*")))
            case ["future", name, file]:
                self.server.wanted.add(name)
                # A resolver that has read this is done; whoever then wants to install it finds nothing.
                self.answer(*((200, "text/plain", metadata(name)) if file.endswith(".metadata") else NOTHING))
            case _:
                self.answer(*NOTHING)

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *arguments: object) -> None:
        pass


NOTHING = (404, "text/plain", b"There is no such page here.\n")


@cache
def page(name: str, accept: str) -> tuple[int, str, bytes]:
    """Return status, type and content of a package's page, in the form that the client wants."""
    answer = httpx.get(f"{UPSTREAM}/{name}/", headers={"Accept": accept}, follow_redirects=True, timeout=120)
    kind = answer.headers.get("Content-Type", "text/html")
    if answer.status_code != 200:
        return answer.status_code, kind, answer.content
    if not kind.startswith("application/vnd.pypi.simple.v1+json"):
        links = "".join(map(link, future_files(name)))
        text = re.sub("(?i)(?=</body>)", links, answer.text)
        return 200, kind, re.sub("(?i)<head>", f'<head><base href="{answer.url}">', text).encode()
    found = answer.json()
    for file in found["files"]:
        file["url"] = urljoin(str(answer.url), file["url"])
    found["files"] += future_files(name)
    if "versions" in found:
        found["versions"].append(VERSION)
    return 200, kind, json.dumps(found).encode()


def future_files(name: str) -> list[dict]:
    """Return a wheel and an sdist of the release of the future."""
    stem = f"{name.replace('-', '_')}-{VERSION}"
    digest = {"sha256": hashlib.sha256(metadata(name)).hexdigest()}
    return [
        {
            "filename": filename,
            "url": f"https://{HOST}/future/{name}/{filename}",
            "hashes": {"sha256": hashlib.sha256(filename.encode()).hexdigest()},
            "core-metadata": filename.endswith(".whl") and digest,
            "requires-python": None,
            "size": 1000,
            "upload-time": TODAY,
            "yanked": False,
        }
        for filename in (f"{stem}-py3-none-any.whl", f"{stem}.tar.gz")
    ]


def link(file: dict) -> str:
    """Return a file's line of a page in HTML."""
    known = f' data-core-metadata="sha256={file["core-metadata"]["sha256"]}"' if file["core-metadata"] else ""
    return f'<a href="{file["url"]}#sha256={file["hashes"]["sha256"]}"{known}>{file["filename"]}</a><br/>\n'


def metadata(name: str) -> bytes:
    """Return what a resolver reads of the release of the future."""
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSION}\n".encode()
