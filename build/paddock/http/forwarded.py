"""Who the client is, by the word of proxies that are believed: one rule for ASGI and WSGI.

Uvicorn's own middleware believes the peer on a Unix socket only by believing everyone, and then takes the first address
of X-Forwarded-For, which the client may have written itself. Gunicorn believes the scheme, and no address.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Any, NamedTuple

from paddock.http.proxy_protocol import Client

LONGEST_ADDRESS = 64
"""Characters beyond which nothing is an address, nor is kept in a cache."""

SCOPE = re.compile(r"[0-9A-Za-z._-]+")
"""What a scope id may be made of (https://www.rfc-editor.org/rfc/rfc4007#section-11)."""

SCHEMES = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}


class Host(NamedTuple):
    """An address as applications shall see it, and whether what it says of its clients is believed."""

    address: str
    believed: bool


class Proxies:
    """The proxies that FORWARDED_ALLOW_IPS names, or another of Gunicorn's settings of that form."""

    def __init__(self, cfg: Any, setting: str = "forwarded_allow") -> None:
        self.everyone = "*" in getattr(cfg, f"{setting}_ips")
        self.networks = [] if self.everyone else getattr(cfg, f"{setting}_networks")()
        secure = ((name.lower().encode(), value.lower().encode()) for name, value in cfg.secure_scheme_headers.items())
        self.schemes = {name: {value: "https"} for name, value in secure} | {b"x-forwarded-proto": SCHEMES}
        """What header fields say of the scheme, by their names: SECURE_SCHEME_HEADERS has further ones."""
        # Looking one up takes microseconds, and the same few come with every request.
        self.peer = lru_cache(maxsize=4096)(self._peer)
        self._known = lru_cache(maxsize=4096)(self._look_up)

    def _peer(self, address: str) -> Host:
        """Return who is connected. Who has no address is on a Unix socket, and was let in by its permissions."""
        if not address:
            return Host("", True)
        host = self.hop(address) or Host(address, False)
        return Host(host.address, host.believed or self.everyone)

    def believes_scheme(self, client: Any, peer: Host) -> bool:
        """Tell whether the scheme is believed that a request names whose `client` is `peer`.

        Also that of a client whom a believed proxy has announced, which then writes header fields: so does Gunicorn.
        """
        return peer.believed or (type(client) is Client and self.peer(client.by).believed)

    def hop(self, address: str) -> Host | None:
        """Return whom `address` in X-Forwarded-For names; None if it is no address."""
        return self._known(address) if len(address) <= LONGEST_ADDRESS else None

    def _look_up(self, address: str) -> Host | None:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return None
        # Python takes any text for a scope; what it is for is the name of a network interface.
        if SCOPE.fullmatch(getattr(parsed, "scope_id", None) or "0") is None:
            return None
        # A socket that is bound to [::] calls the IPv4 peer 192.0.2.1 ::ffff:192.0.2.1.
        plain = getattr(parsed, "ipv4_mapped", None) or parsed
        return Host(str(plain), any(each in network for network in self.networks for each in (parsed, plain)))

    def client(self, peer: str, port: int, forwarded: str) -> tuple[str, int]:
        """Return address and port of the client for whom a believed `peer` sent `forwarded`; 0 is no known port.

        Each proxy appends whom it saw. So the way back leads from the peer over the proxies to the first address that
        is none of theirs, and ends before what is no address at all.
        """
        client = peer, port
        for entry in reversed(forwarded.split(",")):
            address, entry_port = endpoint(entry.strip())
            host = self.hop(address)
            if host is None:
                break
            client = host.address, entry_port
            if not host.believed:
                break
        return client


def endpoint(entry: str) -> tuple[str, int]:
    """Return address and port of `address`, `address:port`, `[address]` or `[address]:port`; 0 is no known port."""
    if entry.startswith("["):
        address, _, port = entry[1:].partition("]")
        port = port.removeprefix(":")
    elif entry.count(":") == 1:
        address, _, port = entry.partition(":")
    else:
        address, port = entry, ""
    return address, int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0


def first(value: bytes) -> bytes:
    """Return what the first of several proxies has said, whom the client was connected to; in lower case."""
    return value.partition(b",")[0].strip().lower()


def asgi(application: Any, proxies: Proxies) -> Any:
    """Return the ASGI 3 `application`, whose scopes have the client's address and the scheme that it used."""

    schemes = proxies.schemes

    def believing(scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] != "lifespan":
            address, port = scope["client"] or ("", 0)
            peer = proxies.peer(address)
            client = peer.address, port
            if proxies.believes_scheme(scope["client"], peer):
                sent_for: list[str] = []
                said: dict[bytes, bytes] = {}
                for name, value in scope["headers"]:
                    if name == b"x-forwarded-for" and peer.believed:
                        sent_for.append(value.decode("latin-1"))
                    elif name in schemes:
                        said.setdefault(name, value)
                for name, value in said.items():
                    if scheme := schemes[name].get(first(value)):
                        scope["scheme"] = scheme if scope["type"] == "http" else scheme.replace("http", "ws")
                if sent_for:
                    client = proxies.client(*client, ",".join(sent_for))
            if client[0]:
                scope["client"] = client
        return application(scope, receive, send)

    return believing
