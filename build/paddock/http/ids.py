"""Request ids: taken from the client or made, and known to everything that is logged while the request is served."""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from typing import Any

CURRENT: ContextVar[Any] = ContextVar("paddock_request", default=None)
"""The record that is being served, if any; tasks have it too, and threads that asyncio starts."""

SANE = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}").fullmatch
"""What is taken from a client. It can be put into a header, a line of the log or a URL as it is."""

NONE = "none"

DIGITS = 32
"""Hexadecimal digits of an id that is made: 128 bits."""


def current() -> str:
    """Return the id of the request that is being served, or nothing."""
    record = CURRENT.get()
    return record.request_id if record else ""


def header(setting: str) -> str | None:
    """Return the name of the header that REQUEST_ID_HEADER names, or None where there shall be no ids."""
    return None if setting.lower() == NONE else setting


_pool: list[str] = []
"""Ids to give: random bits cost less by the page. A child must not have its parent's."""

os.register_at_fork(after_in_child=_pool.clear)


def request_id(given: str | None) -> str:
    """Return the id of a request: the `given` one if it is sane, else 128 random bits in hexadecimal."""
    return given if given and SANE(given) else _fresh()


def _fresh() -> str:
    while True:
        try:
            return _pool.pop()
        except IndexError:
            digits = os.urandom(4096).hex()
            _pool.extend(digits[start : start + DIGITS] for start in range(0, len(digits), DIGITS))
