"""PRELOAD_APP: what the import left behind that a fork breaks, and memory that the workers share."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

PRELOAD_REMEDY = "Make them in lifespan startup or at the first use, or set PRELOAD_APP=false"


@dataclass(frozen=True)
class Snapshot:
    """What there is of all that a fork breaks."""

    threads: frozenset[int]
    sockets: frozenset[str]
    loops: frozenset[int]

    @classmethod
    def take(cls) -> Snapshot:
        """Look at this process before the import."""
        return cls(
            frozenset(id(thread) for thread in threading.enumerate()),
            frozenset(name for name, _ in _sockets()),
            frozenset(map(id, _loops())),
        )


def inspect_after_import(before: Snapshot) -> list[str]:
    """Return what the import has made that does not survive the fork, in words; nothing when all is well."""
    threads = [thread.name for thread in threading.enumerate() if id(thread) not in before.threads]
    sockets = [
        words for name, file in _sockets() if name not in before.sockets and (words := _describe(file)) is not None
    ]
    loops = sum(id(loop) not in before.loops for loop in _loops())
    found = []
    if threads:
        found.append(f"threads, which no worker will have: {', '.join(threads)}")
    if sockets:
        found.append(f"sockets, which all workers will share: {', '.join(sorted(sockets))}")
    if loops:
        found.append(f"event loops, which no worker will run: {loops}")
    return found


def sentence(found: list[str]) -> str:
    """Return one line for the log from what `inspect_after_import` found."""
    return f"PRELOAD_APP: the import made what does not survive the fork: {'; '.join(found)}. {PRELOAD_REMEDY}"


def freeze() -> None:
    """Keep the garbage collector from touching what the workers share, which would copy it page by page.

    https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.collect()
    gc.freeze()


def _sockets() -> Iterator[tuple[str, int]]:
    """Yield the kernel's name and the file descriptor of each open socket."""
    for file in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{file}")
        except OSError:
            # The descriptor of this very listing.
            continue
        if name.startswith("socket:"):
            yield name, int(file)


def _describe(file: int) -> str | None:
    """Return what a socket is connected to or bound to; None for one that can be shared.

    Those are datagrams that only go out (statsd, syslog), pairs of the process's own, such as an event loop has, and
    sockets that are neither connected nor bound yet.
    """
    try:
        with socket.socket(fileno=os.dup(file)) as sock:
            if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
                return None
            datagrams = sock.type == socket.SOCK_DGRAM
            try:
                peer = sock.getpeername()
            except OSError:
                name = sock.getsockname()
                bound = bool(name[1]) if isinstance(name, tuple) else bool(name)
                return f"bound to {_address(name)}" if bound else None
            return f"connected to {_address(peer)}" if peer and not datagrams else None
    except OSError:
        return None


def _address(name: object) -> str:
    if isinstance(name, tuple):
        host, port = name[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return os.fsdecode(name) if isinstance(name, bytes) else str(name)


def _loops() -> Iterator[asyncio.AbstractEventLoop]:
    """Yield the event loops that are not closed, uvloop's too."""
    for found in gc.get_objects():
        # By its type: isinstance would run the code of proxies, which import or connect when they are touched.
        if issubclass(type(found), asyncio.AbstractEventLoop) and not found.is_closed():
            yield found
