"""What makes the head of a request invalid that a parser lets pass: one rule for all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

VERSIONS = frozenset({"1.0", "1.1"})

FRAMING = frozenset({b"content-length", b"host", b"transfer-encoding"})

HOST = re.compile(rb"(?:\[[0-9A-Za-z:.%_~-]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
"""https://www.rfc-editor.org/rfc/rfc3986#section-3.2.2, with a port"""


def malformed(version: str, fields: Sequence[tuple[bytes, bytes]]) -> tuple[int, str] | None:
    """Return why a head is refused, with the status that says so; None for one that is as it should be.

    `version` is that of HTTP, such as `1.1`, and `fields` have names in lower case.
    https://www.rfc-editor.org/rfc/rfc9112#section-3.2, and #section-6.1 for codings and lengths
    """
    if version not in VERSIONS:
        return 400, "a version of HTTP that is neither 1.1 nor 1.0"
    hosts, codings, has_length = 0, [], False
    for name, value in [field for field in fields if field[0] in FRAMING]:
        if name == b"host":
            hosts += 1
            if HOST.fullmatch(value) is None:
                return 400, "a Host that is no name or address"
        elif name == b"content-length":
            has_length = True
        else:
            codings.append(value.lower())
    if hosts > 1:
        return 400, "more than one Host"
    if not hosts and version == "1.1":
        return 400, "no Host"
    if codings and codings != [b"chunked"]:
        return 501, "a Transfer-Encoding other than chunked"
    if codings and has_length:
        return 400, "both a Content-Length and a Transfer-Encoding"
    return None
