"""The PROXY protocol: how a proxy that leaves HTTP alone says, before all else, for which client it has connected.

https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt
"""

from __future__ import annotations

import socket
from typing import NamedTuple

BEGIN_V1 = b"PROXY "
BEGIN_V2 = b"\r\n\r\n\0\r\nQUIT\n"
BEGINNINGS = {"v1": (BEGIN_V1,), "v2": (BEGIN_V2,), "auto": (BEGIN_V1, BEGIN_V2)}
"""What a header begins with, by the value of PROXY_PROTOCOL."""

LONGEST_V1 = 107
"""Bytes, with the end of the line: what the longest line of version 1 has."""

LONGEST = 16384
"""Bytes of the longest header that is read. Version 2 allows 64 KiB, and HAProxy has buffers of this size."""

FIXED_V2 = 16
LOCAL, PROXY = 0, 1
STREAM = 1
ADDRESSES = {1: (socket.AF_INET, 4), 2: (socket.AF_INET6, 16)}
"""The family of addresses, and the size of one, by the number that version 2 has for it."""
LAST_FAMILY, LAST_TRANSPORT = 3, 2
"""The highest numbers that version 2 has given away: Unix sockets, and datagrams."""


class MalformedError(ValueError):
    """What began as a header is none."""


class Client(tuple[str, int]):
    """Address and port of a client whom a proxy has announced."""

    by = ""
    """The address of that proxy; empty on a Unix socket."""


class Header(NamedTuple):
    """A complete header."""

    size: int
    """Bytes; what comes behind them is TLS or HTTP."""
    client: Client | None
    """None when the proxy speaks for itself, as in its health checks, or for who has no address of IPv4 or IPv6."""


def announces(data: bytes, versions: str) -> bool | None:
    """Tell whether a connection that begins with `data` begins with a header of `versions`; None: it is too early."""
    beginnings = BEGINNINGS[versions]
    if data.startswith(beginnings):
        return True
    return None if any(beginning.startswith(data) for beginning in beginnings) else False


def parse(data: bytes) -> Header | None:
    """Return the header that `data` begins with; None while it is incomplete.

    Raises:
        MalformedError: when it cannot become one.
    """
    return _parse_v1(data) if data.startswith(BEGIN_V1) else _parse_v2(data)


def _parse_v1(data: bytes) -> Header | None:
    line, end, _ = data[:LONGEST_V1].partition(b"\r\n")
    if not end:
        if len(line) >= LONGEST_V1:
            raise MalformedError(f"a PROXY line of more than {LONGEST_V1} bytes")
        return None
    size = len(line) + len(end)
    words = line.decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return Header(size, None)
    families = {"TCP4": socket.AF_INET, "TCP6": socket.AF_INET6}
    if len(words) != 6 or words[1] not in families:
        raise MalformedError("a PROXY line without TCP4 or TCP6, two addresses and two ports")
    address, _ = (_address(word, families[words[1]]) for word in words[2:4])
    port, _ = map(_port, words[4:])
    return Header(size, Client((address, port)))


def _address(word: str, family: socket.AddressFamily) -> str:
    """Return an address in the usual spelling, which is not HAProxy's for IPv6."""
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, word))
    except (OSError, ValueError) as error:
        raise MalformedError("a PROXY line with an address that is none") from error


def _port(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 5 and int(word) <= 65535):
        raise MalformedError("a PROXY line with a port that is none")
    return int(word)


def _parse_v2(data: bytes) -> Header | None:
    if len(data) < FIXED_V2:
        return None
    version, command = divmod(data[12], 16)
    family, transport = divmod(data[13], 16)
    size = FIXED_V2 + int.from_bytes(data[14:16], "big")
    if version != 2 or command not in (LOCAL, PROXY):
        raise MalformedError(f"a PROXY header with version and command {data[12]:#04x}")
    if size > LONGEST:
        raise MalformedError(f"a PROXY header of {size} bytes, of which {LONGEST} are the most")
    if command == PROXY and (family > LAST_FAMILY or transport > LAST_TRANSPORT):
        raise MalformedError(f"a PROXY header with family and transport {data[13]:#04x}")
    if command == LOCAL or transport != STREAM or family not in ADDRESSES:
        return Header(size, None) if len(data) >= size else None
    kind, length = ADDRESSES[family]
    if size < FIXED_V2 + 2 * (length + 2):
        raise MalformedError(f"a PROXY header of {size} bytes, which leaves no room for its addresses")
    if len(data) < size:
        return None
    port = FIXED_V2 + 2 * length
    address = socket.inet_ntop(kind, data[FIXED_V2 : FIXED_V2 + length])
    return Header(size, Client((address, int.from_bytes(data[port : port + 2], "big"))))
