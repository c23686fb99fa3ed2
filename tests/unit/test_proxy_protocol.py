"""The headers of the PROXY protocol: whom they name, where they end, and what is none."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.http.proxy_protocol import BEGIN_V2, LONGEST, LONGEST_V1, Header, MalformedError, announces, parse

PORTS = st.integers(0, 65535)
V4 = st.ip_addresses(v=4)
V6 = st.ip_addresses(v=6)
ENDS = st.tuples(V4, V4) | st.tuples(V6, V6)
Address = IPv4Address | IPv6Address


def v1(client: Address, server: Address, *ports: int) -> bytes:
    """A line as proxies send it."""
    return f"PROXY TCP{client.version} {client} {server} {' '.join(map(str, ports))}\r\n".encode()


def v2(addresses: bytes, family: int = 0x11, command: int = 0x21, length: int | None = None) -> bytes:
    """A header with what is behind its fixed part."""
    length = len(addresses) if length is None else length
    return BEGIN_V2 + bytes([command, family]) + length.to_bytes(2, "big") + addresses


def ends(client: Address, server: Address, *ports: int) -> bytes:
    """Addresses and ports as version 2 has them."""
    return client.packed + server.packed + b"".join(port.to_bytes(2, "big") for port in ports)


def written(address: Address) -> str:
    """An address as sockets have it."""
    return socket.inet_ntop(socket.AF_INET if address.version == 4 else socket.AF_INET6, address.packed)


IPV4 = ends(ip_address("203.0.113.9"), ip_address("198.51.100.1"), 40000, 443)


@given(ENDS, PORTS, PORTS, st.binary(max_size=40))
def test_the_client_that_version_1_names(between: tuple[Address, Address], one: int, other: int, rest: bytes) -> None:
    line = v1(*between, one, other)

    assert parse(line + rest) == Header(len(line), (written(between[0]), one))  # type: ignore[arg-type]


@given(ENDS, PORTS, PORTS, st.binary(max_size=300), st.binary(max_size=40))
def test_the_client_that_version_2_names(
    between: tuple[Address, Address], one: int, other: int, more: bytes, rest: bytes
) -> None:
    """Whatever stands behind the addresses, such as checksums and names of hosts, and behind the header."""
    header = v2(ends(*between, one, other) + more, 0x11 if between[0].version == 4 else 0x21)

    assert parse(header + rest) == Header(len(header), (written(between[0]), one))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ff:ff::1 ff:ff::2 65535 65535\r\n",
        b"PROXY UNKNOWN \0 what ever\r\n",
        v2(b"", 0x00),
        v2(b"", 0x01),
        v2(IPV4, 0x12),
        v2(bytes(216), 0x31),
        v2(bytes(216), 0x32),
        v2(b"", 0x00, 0x20),
        v2(IPV4, 0x11, 0x20),
        v2(b"junk", 0xFF, 0x20),
        v2(bytes(LONGEST - 16), 0x00),
    ],
)
def test_who_has_no_address_is_not_named(header: bytes) -> None:
    assert parse(header + b"GET / HTTP/1.1\r\n") == Header(len(header), None)


HEADERS = [
    b"PROXY UNKNOWN\r\n",
    b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 443\r\n",
    v2(IPV4),
    v2(IPV4 + bytes(range(100))),
    v2(b"", 0x00, 0x20),
]


@pytest.mark.parametrize("header", HEADERS)
def test_what_is_cut_off_is_incomplete(header: bytes) -> None:
    for length in range(len(header)):
        begins = announces(header[:length], "auto")
        assert begins is not False
        if begins:
            assert parse(header[:length]) is None
    assert parse(header)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", dict.fromkeys(("v1", "v2", "auto"))),
        (b"P", {"v1": None, "v2": False, "auto": None}),
        (b"PROXY", {"v1": None, "v2": False, "auto": None}),
        (b"PROXY ", {"v1": True, "v2": False, "auto": True}),
        (b"\r\n\r\n", {"v1": False, "v2": None, "auto": None}),
        (BEGIN_V2 + b"GET", {"v1": False, "v2": True, "auto": True}),
        (b"POST / HTTP/1.1\r\n", dict.fromkeys(("v1", "v2", "auto"), False)),
        (b"\r\nGET / HTTP/1.1\r\n", dict.fromkeys(("v1", "v2", "auto"), False)),
        (b"proxy TCP4", dict.fromkeys(("v1", "v2", "auto"), False)),
        (b"\x16\x03\x01", dict.fromkeys(("v1", "v2", "auto"), False)),
    ],
)
def test_what_begins_a_header(data: bytes, expected: dict[str, bool | None]) -> None:
    assert {versions: announces(data, versions) for versions in expected} == expected


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP4 203.0.113.9 198.51.100.1 40000\r\n",
        b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 443 1\r\n",
        b"PROXY  TCP4 203.0.113.9 198.51.100.1 40000 443\r\n",
        b"PROXY tcp4 203.0.113.9 198.51.100.1 40000 443\r\n",
        b"PROXY UDP4 203.0.113.9 198.51.100.1 40000 443\r\n",
        b"PROXY TCP4 ::1 ::1 40000 443\r\n",
        b"PROXY TCP6 203.0.113.9 198.51.100.1 40000 443\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 40000 443\r\n",
        b"PROXY TCP4 203.0.113.9 nobody 40000 443\r\n",
        b"PROXY TCP4 203.0.113.9\0 198.51.100.1 40000 443\r\n",
        b"PROXY TCP4 203.0.113 198.51.100.1 40000 443\r\n",
        b"PROXY TCP4 203.0.113.9 198.51.100.1 65536 443\r\n",
        b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 -1\r\n",
        b"PROXY TCP4 203.0.113.9 198.51.100.1 +4000 443\r\n",
        b"PROXY TCP4 203.0.113.9 198.51.100.1 4_000 443\r\n",
        b"PROXY TCP4 203.0.113.9 198.51.100.1 000000443 443\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.1 ² 443\r\n".encode("latin-1"),
        b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 443\nGET / HTTP/1.1\r\n",
        b"PROXY UNKNOWN" + b" " * LONGEST_V1 + b"\r\n",
        v2(IPV4, command=0x11),
        v2(IPV4, command=0x31),
        v2(IPV4, command=0x22),
        v2(IPV4, 0x41),
        v2(IPV4, 0x13),
        v2(IPV4[:-1]),
        v2(IPV4, 0x21),
        v2(b""),
        v2(b"", 0x00, length=65535),
        v2(b"", 0x00, 0x20, length=LONGEST),
    ],
)
def test_what_is_malformed(header: bytes) -> None:
    with pytest.raises(MalformedError, match=r"^a PROXY "):
        parse(header)


def test_the_longest_line_of_version_1() -> None:
    line = b"PROXY UNKNOWN".ljust(LONGEST_V1 - 2)
    assert parse(line) is None
    assert parse(line + b"\r") is None
    assert parse(line + b"\r\nGET /") == Header(LONGEST_V1, None)
    with pytest.raises(MalformedError, match="107 bytes"):
        parse(line + b" \r\n")


@given(st.sampled_from([b"PROXY ", b"PROXY TCP4 ", BEGIN_V2, BEGIN_V2 + b"\x21"]), st.binary(max_size=300))
def test_junk_is_a_header_or_incomplete_or_malformed(begin: bytes, junk: bytes) -> None:
    data = begin + junk
    try:
        header = parse(data)
    except MalformedError:
        return
    if header is None:
        assert len(data) < LONGEST
    else:
        assert len(begin) < header.size <= len(data)
        # More never makes another one of it.
        assert parse(data + b"x") == header
