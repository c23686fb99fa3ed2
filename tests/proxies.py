"""nginx, HAProxy and Caddy as docs/proxies.md configures them: its blocks and its table are what is run."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import trustme

from conftest import PATIENCE, Container
from page import BLOCK, ROOT

PAGE = (ROOT / "docs" / "proxies.md").read_text()
FILES = {block["path"]: block["text"] for block in BLOCK.finditer(PAGE) if block["path"]}
HOST = "app.example.com"
"""Whose certificate the proxies have, and what clients ask for."""


@dataclass(frozen=True)
class Program:
    """A proxy, and the lines of its configuration that a test exchanges or adds to."""

    name: str
    file: str
    """Where its configuration is, in the page and in its container."""
    command: tuple[str, ...]
    upstream: str
    """The directive that says where the application is."""
    before: str
    """What another directive is put before."""
    user: str = "10001"
    more: str = ""
    """What it needs in a test besides."""


PROGRAMS = {
    program.name: program
    for program in [
        Program(
            "nginx",
            "etc/nginx/nginx.conf",
            ("nginx", "-g", "daemon off;"),
            "server app:8000;",
            "        location / {",
            # Its workers are another user still, whom the kernel asks about Unix sockets.
            user="0",
        ),
        Program(
            "haproxy",
            "etc/haproxy/haproxy.cfg",
            ("haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg"),
            "server app app:8000 check",
            "    default_backend app",
        ),
        Program(
            "caddy",
            "etc/caddy/Caddyfile",
            ("caddy", "run", "--config", "/etc/caddy/Caddyfile"),
            "reverse_proxy app:8000",
            "    reverse_proxy",
            # No authority gives out a certificate for the test's name.
            more="    tls /etc/caddy/tls.crt /etc/caddy/tls.key\n",
        ),
    ]
}


def cell(row: str, program: Program) -> str:
    """Return the directive that the page's table has for `program` in a row."""
    headings = re.search(r"^\| \|(.*)\|$", PAGE, re.MULTILINE)[1].lower().replace(" ", "").split("|")
    cells = re.search(rf"^\| {re.escape(row)} \|(.*)\|$", PAGE, re.MULTILINE)[1].split("|")
    return cells[headings.index(program.name)].strip(" `")


def exchange(text: str, old: str, new: str) -> str:
    """Return `text` with `new` for `old`, which must be there once."""
    assert text.count(old) == 1, f"{old!r} is not in the page once:\n{text}"
    return text.replace(old, new)


class Proxy:
    """A proxy that runs, and a client's way to it."""

    def __init__(self, container: Container, authority: trustme.CA) -> None:
        self.container = container
        self.trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(self.trust)

    def address(self, ipv6: bool = False) -> str:
        """Return the proxy's address as it stands in a URL."""
        return f"[{self.container.ipv6}]" if ipv6 else self.container.address

    @contextmanager
    def client(self, scheme: str = "https", ipv6: bool = False) -> Iterator[httpx.Client]:
        """Give a client that keeps its connection, and knows the proxy by the name in its certificate."""
        with httpx.Client(
            base_url=f"{scheme}://{self.address(ipv6)}",
            headers={"Host": HOST},
            event_hooks={"request": [lambda request: request.extensions.update(sni_hostname=HOST)]},
            verify=self.trust,
            trust_env=False,
            timeout=PATIENCE,
        ) as client:
            yield client

    def ask(
        self, path: str = "/", headers: Mapping[str, str] | None = None, scheme: str = "https", ipv6: bool = False
    ) -> Any:
        """Return what the application says at `path`."""
        with self.client(scheme, ipv6) as client:
            answer = client.get(path, headers=headers)
            assert answer.status_code == 200, answer.text
            return answer.json()
