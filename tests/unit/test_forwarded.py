"""Whose word about the client is believed, and how far."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gunicorn.config import Config
from hypothesis import given
from hypothesis import strategies as st

from paddock.http.forwarded import Proxies, asgi, endpoint
from paddock.http.proxy_protocol import Client
from paddock.settings.parsers import TrustedProxies
from paddock.workers.wsgi.environ import Environs

PROXY = "10.0.0.1"
CLIENT = "203.0.113.7"


def proxies(allowed: str) -> Proxies:
    cfg = Config()
    cfg.set("forwarded_allow_ips", TrustedProxies()(allowed))
    return Proxies(cfg)


def ask_asgi(allowed: str, peer: tuple[str, int] | None, *headers: tuple[str, str], **scope: Any) -> dict[str, Any]:
    """What an ASGI application is given."""
    seen: dict[str, Any] = {}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)

    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    full = {"type": "http", "client": peer, "scheme": "http", "headers": encoded, **scope}
    asyncio.run(asgi(application, proxies(allowed))(full, None, None))
    return seen


def as_environ(scope: Any) -> dict[str, Any]:
    """What a WSGI application is given."""
    rest = {"method": "GET", "raw_path": b"/", "query_string": b"", "http_version": "1.1", "server": ("192.0.2.9", 80)}
    return Environs(Config()).of({**rest, **scope}, None, None)


def client(allowed: str, peer: tuple[str, int] | None, *sent_for: str) -> tuple[str, int] | None:
    """The client, which must be the same for both kinds."""
    headers = [("X-Forwarded-For", value) for value in sent_for]
    scope = ask_asgi(allowed, peer, *headers)
    environ = as_environ(scope)
    if not environ["REMOTE_ADDR"]:
        assert scope["client"] is None
        return None
    assert scope["client"] == (environ["REMOTE_ADDR"], int(environ["REMOTE_PORT"]))
    seen: tuple[str, int] = scope["client"]
    return seen


@pytest.mark.parametrize(
    ("allowed", "peer", "sent_for", "expected"),
    [
        # From whom
        ("10.0.0.0/8", PROXY, [CLIENT], CLIENT),
        ("10.0.0.1", PROXY, [CLIENT], CLIENT),
        ("10.0.0.2", PROXY, [CLIENT], PROXY),
        ("127.0.0.1,::1", PROXY, [CLIENT], PROXY),
        ("*", PROXY, [CLIENT], CLIENT),
        ("2001:db8::/32", "2001:db8::1", [CLIENT], CLIENT),
        ("2001:db8::/32", "2001:db9::1", [CLIENT], "2001:db9::1"),
        # A socket bound to [::]
        ("10.0.0.0/8", f"::ffff:{PROXY}", [CLIENT], CLIENT),
        ("::ffff:10.0.0.0/104", f"::ffff:{PROXY}", [CLIENT], CLIENT),
        ("10.0.0.0/8", f"::ffff:{CLIENT}", ["192.0.2.1"], CLIENT),
        ("10.0.0.0/8", f"::ffff:{CLIENT}", [], CLIENT),
        ("10.0.0.0/8", PROXY, [f"::ffff:{CLIENT}"], CLIENT),
        ("10.0.0.0/8", PROXY, [f"{CLIENT}, ::ffff:10.9.9.9"], CLIENT),
        # What the client wrote itself
        ("10.0.0.0/8", PROXY, [f"192.0.2.1, {CLIENT}"], CLIENT),
        ("10.0.0.0/8", PROXY, ["192.0.2.1", CLIENT], CLIENT),
        ("10.0.0.0/8", PROXY, [f"127.0.0.1,10.0.0.3,{CLIENT}"], CLIENT),
        ("*", PROXY, [f"192.0.2.1, {CLIENT}"], CLIENT),
        # Several proxies
        ("10.0.0.0/8", PROXY, [f"192.0.2.1, {CLIENT}, 10.0.0.3, 10.0.0.2"], CLIENT),
        ("10.0.0.0/8,198.51.100.0/24", PROXY, [f"192.0.2.1, {CLIENT}, 198.51.100.9"], CLIENT),
        ("10.0.0.0/8", PROXY, ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("0.0.0.0/0,::/0", PROXY, ["192.0.2.1, 2001:db8::1, 10.0.0.2"], "192.0.2.1"),
        # No address
        ("10.0.0.0/8", PROXY, [""], PROXY),
        ("10.0.0.0/8", PROXY, ["unknown"], PROXY),
        ("10.0.0.0/8", PROXY, ["unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.0/8", PROXY, [f"{CLIENT}, <script>"], PROXY),
        ("10.0.0.0/8", PROXY, [f"{CLIENT}, {'1' * 5000}"], PROXY),
        ("10.0.0.0/8", PROXY, ["203.0.113.0/24"], PROXY),
        ("10.0.0.0/8", PROXY, ["fe80::1%eth0.1"], "fe80::1%eth0.1"),
        ("10.0.0.0/8", PROXY, ['fe80::1%25a"b c'], PROXY),
        ("10.0.0.0/8", PROXY, ["fe80::1%\x1b[2J"], PROXY),
    ],
)
def test_the_client(allowed: str, peer: str, sent_for: list[str], expected: str) -> None:
    found = client(allowed, (peer, 1234), *sent_for)

    assert found is not None
    assert found[0] == expected


@pytest.mark.parametrize(
    ("sent_for", "expected"),
    [
        ([], None),
        (["unknown"], None),
        ([CLIENT], (CLIENT, 0)),
        ([f"192.0.2.1, {CLIENT}"], (CLIENT, 0)),
        ([f"{CLIENT}, 10.0.0.2"], (CLIENT, 0)),
    ],
)
def test_who_connects_to_a_unix_socket_is_believed(sent_for: list[str], expected: tuple[str, int] | None) -> None:
    assert client("10.0.0.0/8", None, *sent_for) == expected


def test_the_port_is_the_clients_or_unknown() -> None:
    assert client(PROXY, (PROXY, 1234)) == (PROXY, 1234)
    assert client(PROXY, (PROXY, 1234), f"{CLIENT}:4321") == (CLIENT, 4321)
    assert client(PROXY, (PROXY, 1234), CLIENT) == (CLIENT, 0)
    assert client(PROXY, (CLIENT, 1234), "192.0.2.1:4321") == (CLIENT, 1234)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1:80", ("192.0.2.1", 80)),
        ("192.0.2.1:http", ("192.0.2.1", 0)),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("[2001:db8::1]", ("2001:db8::1", 0)),
        ("[2001:db8::1]:80", ("2001:db8::1", 80)),
        ("[2001:db8::1", ("2001:db8::1", 0)),
        ("192.0.2.1:" + "9" * 5000, ("192.0.2.1", 0)),
        ("192.0.2.1:²", ("192.0.2.1", 0)),
    ],
)
def test_endpoints(entry: str, expected: tuple[str, int]) -> None:
    assert endpoint(entry) == expected


@given(st.lists(st.text(st.characters(max_codepoint=255)) | st.sampled_from([PROXY, "192.0.2.1", "::1", "[::1]:1"])))
def test_whatever_the_client_writes_its_address_is_what_the_proxy_saw(written: list[str]) -> None:
    for allowed in ("10.0.0.0/8", "*"):
        for peer in ((PROXY, 1234), None):
            assert client(allowed, peer, *written, CLIENT) == (CLIENT, 0)
        assert client("10.0.0.0/8", (CLIENT, 1234), *written) == (CLIENT, 1234)


# --- The scheme ---


@pytest.mark.parametrize("peer", [(PROXY, 1234), None])
@pytest.mark.parametrize(
    ("kind", "sent", "expected"),
    [
        ("http", "https", "https"),
        ("http", "wss", "https"),
        ("http", "http", "http"),
        ("http", "HTTPS", "https"),
        ("http", "https,http", "https"),
        ("http", " https , http", "https"),
        ("http", "http,https", "http"),
        ("http", "gopher", "http"),
        ("http", "gopher,https", "http"),
        ("http", "", "http"),
        ("websocket", "https", "wss"),
        ("websocket", "wss", "wss"),
        ("websocket", "WSS,ws", "wss"),
        ("websocket", "http", "ws"),
    ],
)
def test_the_scheme(kind: str, sent: str, expected: str, peer: tuple[str, int] | None) -> None:
    scheme = "http" if kind == "http" else "ws"

    assert ask_asgi(PROXY, peer, ("X-Forwarded-Proto", sent), type=kind, scheme=scheme)["scheme"] == expected


def test_the_scheme_of_several_fields() -> None:
    sent = (("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http"))

    assert ask_asgi(PROXY, (PROXY, 1234), *sent)["scheme"] == "https"


def test_the_scheme_of_nobody() -> None:
    assert ask_asgi(PROXY, (CLIENT, 1234), ("X-Forwarded-Proto", "https"))["scheme"] == "http"


# --- Clients whom a proxy has announced, by the PROXY protocol ---

BALANCER = "10.0.0.9"
SENT = (("X-Forwarded-For", "198.51.100.7"), ("X-Forwarded-Proto", "https"))


@pytest.mark.parametrize(
    ("allowed", "announced", "expected"),
    [
        # Nobody has looked at what the client wrote.
        ("192.0.2.1", CLIENT, (CLIENT, "http")),
        # The balancer says itself what the scheme is, and whom it saw twice.
        (BALANCER, CLIENT, (CLIENT, "https")),
        # Behind the balancer's back there is another proxy, which it announces and is not believed itself.
        (PROXY, PROXY, ("198.51.100.7", "https")),
        (f"{PROXY},{BALANCER}", PROXY, ("198.51.100.7", "https")),
        ("*", CLIENT, ("198.51.100.7", "https")),
    ],
)
def test_a_client_who_was_announced(allowed: str, announced: str, expected: tuple[str, str]) -> None:
    """Counts as the peer: X-Forwarded-For goes on from there, where it is a proxy that is believed."""
    client = Client((announced, 40000))
    client.by = BALANCER
    seen = ask_asgi(allowed, client, *SENT)

    assert (seen["client"][0], seen["scheme"]) == expected


def test_who_announces_at_a_unix_socket_is_believed() -> None:
    seen = ask_asgi("192.0.2.1", Client((CLIENT, 40000)), *SENT)

    assert (seen["client"], seen["scheme"]) == ((CLIENT, 40000), "https")


def test_lifespan_is_left_alone() -> None:
    assert ask_asgi("*", None, type="lifespan")["client"] is None
