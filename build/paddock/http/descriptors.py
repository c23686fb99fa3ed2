"""Descriptors, of which a process has no more than its limit: one that runs out makes room, or waits, and serves on."""

from __future__ import annotations

import errno
import os
import resource
from contextlib import suppress

from paddock.start.messages import Seldom

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What accept(2) fails with when the process or the system has no room for one more:
https://man7.org/linux/man-pages/man2/accept.2.html"""

CEILING = 1024 * 1024
"""The limit is raised no further: there are programs that close every descriptor there could be before they start
another, one by one."""

RESERVE = 32
"""Descriptors that connections leave to the application and to the server itself, for files and connections of their
own; of a small limit an eighth."""

LEAST_IDLE = 0.5
"""Seconds that a connection must have waited for a request to be closed in favour of another: of one that has only just
been accepted or answered, the request may be on its way."""

SHORTAGE_PAUSE = 0.1
"""Seconds until the next attempt to accept where no connection could be closed to make room."""


def raise_limit() -> None:
    """Raise this process's limit as far as it may itself: Docker's usual 1024 is for programs that call select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = CEILING if hard == resource.RLIM_INFINITY else min(hard, CEILING)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        # A hard limit above the kernel's fs.nr_open is refused even as it is.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def limit() -> int:
    """Return how many descriptors this process may have."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return CEILING if soft == resource.RLIM_INFINITY else soft


def is_short() -> bool:
    """Tell whether no more than the reserve is left: the kernel gives out the lowest number that is free."""
    most = limit()
    try:
        lowest = os.eventfd(0)
    except OSError as error:
        if error.errno in SHORTAGES:
            return True
        raise
    os.close(lowest)
    return lowest >= most - min(RESERVE, most // 8)


def warn(say: Seldom) -> None:
    """Warn that descriptors have run out: which limit it is, and how to raise it."""
    say(
        "Only a reserve is left of the %d files and connections that this process may have open (ulimit -n): closing "
        "connections that wait for a request, the oldest first, and accepting no more where there are none. The limit "
        "of a container is set with `docker run --ulimit nofile=65536`",
        limit(),
    )
