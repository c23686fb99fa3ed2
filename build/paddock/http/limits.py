"""What a client may send before it is refused, and how long it may take: one set of limits for every worker class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paddock.settings.environment import own

LARGEST_LINE = 8190
MOST_FIELDS = 32768
FIELD_SIZE = 8190
"""What Gunicorn's parser goes by at most, and what it takes for none: gunicorn/http/message.py."""

CLOSE_LINGER = 2.0
"""Seconds that a client may go on sending after the last answer: closing at once would reset what it has not read yet
(https://www.rfc-editor.org/rfc/rfc9112#section-9.6)."""

BODY_RATE = 500
"""Bytes of a body that must come in each second, on average over REQUEST_BODY_TIMEOUT; as with Apache's mod_reqtimeout:
https://httpd.apache.org/docs/2.4/mod/mod_reqtimeout.html"""

PHRASES = {
    400: "Bad Request",
    403: "Forbidden",
    408: "Request Timeout",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
}


@dataclass(frozen=True)
class Limits:
    """The limits of the table's section of that name; a time of 0 is no limit, nor is a line of 0 bytes."""

    line: int = 4094
    fields: int = 100
    field_size: int = FIELD_SIZE
    head_timeout: float = 10.0
    body_timeout: float = 30.0
    response_timeout: float = 60.0

    @classmethod
    def of(cls, cfg: Any) -> Limits:
        """Return the limits that Gunicorn's parser draws from `cfg`, and the image's own."""
        line = cfg.limit_request_line
        return cls(
            line=min(line, LARGEST_LINE) if line >= 0 else LARGEST_LINE,
            fields=min(cfg.limit_request_fields, MOST_FIELDS) if cfg.limit_request_fields > 0 else MOST_FIELDS,
            field_size=cfg.limit_request_field_size if cfg.limit_request_field_size > 0 else FIELD_SIZE,
            head_timeout=own(cfg, "request_head_timeout"),
            body_timeout=own(cfg, "request_body_timeout"),
            response_timeout=own(cfg, "response_timeout"),
        )

    @property
    def fine(self) -> int:
        """How many bytes, whatever they are, can exceed no limit on a size."""
        return min(self.line or self.field_size, self.field_size)

    @property
    def head(self) -> int:
        """How many bytes the largest head has that the limits allow."""
        return self.line + self.fields * (self.field_size + 2) + 4

    def refusal(self, line: int, fields: Sequence[tuple[bytes, bytes]]) -> tuple[int, str] | None:
        """Return why a head is refused, with the status that says so; None for one within the limits.

        `line` is the length of the request line without its end. Lengths are counted as Gunicorn does.
        """
        if 0 < self.line < line:
            return 414, f"a request line of {line} bytes, LIMIT_REQUEST_LINE is {self.line}"
        if len(fields) > self.fields:
            return 431, f"{len(fields)} header fields, LIMIT_REQUEST_FIELDS is {self.fields}"
        for name, value in fields:
            if (size := len(name) + len(value) + 4) > self.field_size:
                return 431, f"a header field of {size} bytes, LIMIT_REQUEST_FIELD_SIZE is {self.field_size}"
        return None


def answer(status: int, fields: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """Return a whole HTTP/1.1 answer that ends its connection, with further header fields if need be."""
    phrase = PHRASES[status].encode()
    head = [
        b"HTTP/1.1 %d %s" % (status, phrase),
        *(name + b": " + value for name, value in fields if name.lower() != b"connection"),
        b"content-type: text/plain; charset=utf-8",
        b"content-length: %d" % len(phrase),
        b"connection: close",
    ]
    return b"\r\n".join([*head, b"", phrase])
