"""The client's address from X-Forwarded-For, for WSGI: Gunicorn believes the scheme of a trusted proxy, and no more."""

from __future__ import annotations

import ipaddress
from typing import Any


class ForwardedFor:
    """WSGI middleware that sets REMOTE_ADDR to the last address in X-Forwarded-For which is no trusted proxy's.

    The same rule as Uvicorn's ProxyHeadersMiddleware, so that an application sees the same client either way.
    """

    def __init__(self, application: Any, cfg: Any) -> None:
        self.application = application
        self.everyone = "*" in cfg.forwarded_allow_ips
        self.networks = [] if self.everyone else cfg.forwarded_allow_networks()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve one request."""
        forwarded = environ.get("HTTP_X_FORWARDED_FOR")
        if forwarded and self.trusts(environ["REMOTE_ADDR"]):
            environ["REMOTE_ADDR"] = self.client(forwarded)
        return self.application(environ, start_response)

    def client(self, forwarded: str) -> str:
        """Return the client of a request that came by way of `forwarded`: each proxy appends whom it saw."""
        hops = [host(hop.strip()) for hop in forwarded.split(",")]
        if self.everyone:
            return hops[0]
        return next((hop for hop in reversed(hops) if not self.trusts(hop)), hops[0])

    def trusts(self, address: str) -> bool:
        """Tell whether `address` is a trusted proxy; a peer without one is on a Unix socket, and is."""
        if self.everyone or not address:
            return True
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self.networks)


def host(hop: str) -> str:
    """Return the address of `address`, `address:port` or `[address]:port`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
