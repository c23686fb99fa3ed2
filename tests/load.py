"""A client that keeps count: numbered requests, each answer checked whole, every other end told apart.

It speaks HTTP over plain asyncio streams, because what a client library calls an error (or hides by trying again) is
what has to be told apart here.

A request is *lost* when it was written and its complete, right answer did not come in time, or when there was no
connection to write it on. Two things are not losses, and lead to a new connection for the next request: that the
server closes a connection after it said `Connection: close` with an answer, and that it closes an idle one before a
request is written on it (`IDLE_CLOSE`, counted so that a test can look at it).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

OK = "ok"
IDLE_CLOSE = "idle close"
REFUSED = "refused"
NO_CONNECTION = "no connection"
RESET = "reset"
CLOSED = "closed"
SHORT = "short"
WRONG = "wrong"
LATE = "late"
ERROR = "5xx"

OUTCOMES = {
    OK: "a complete and right answer",
    IDLE_CLOSE: "the server closed an idle connection before a request was written on it: not a loss",
    REFUSED: "the connection was refused",
    NO_CONNECTION: "the connection was not made in time, or failed otherwise",
    RESET: "the request was sent, and the connection was reset before the first byte of an answer",
    CLOSED: "the request was sent, and the connection was closed before the first byte of an answer",
    SHORT: "the answer began and did not end",
    WRONG: "the answer is not the one to this request",
    LATE: "no complete answer within the time allowed",
    ERROR: "the answer's status is 500 or more",
}

FILLING = bytes(range(256)) * 256


def payload(number: int, size: int) -> bytes:
    """Return the bytes that belong to a number: what the applications in `image/apps/echo_*.py` answer with."""
    return (b"%d:" % number + FILLING)[:size]


class Lost(Exception):
    """A request that got no complete, right answer; `outcome` is one of OUTCOMES."""

    def __init__(self, outcome: str, detail: object = "") -> None:
        super().__init__(f"{outcome} {detail}".strip())
        self.outcome = outcome


@dataclass(frozen=True)
class Answer:
    """A complete answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def pid(self) -> int:
        """The worker that gave it."""
        return int(self.headers.get("x-pid", 0))

    @property
    def closes(self) -> bool:
        """Whether the server announced the end of the connection."""
        return self.headers.get("connection", "").lower() == "close"


@dataclass(frozen=True)
class Loss:
    """A request that was lost: when, how, and which worker had answered on that connection before, 0 for none."""

    at: float
    number: int
    outcome: str
    detail: str
    pid: int


@dataclass
class Report:
    """What came of the requests so far."""

    counts: Counter[str] = field(default_factory=Counter)
    losses: list[Loss] = field(default_factory=list)
    answers: list[tuple[float, int, str]] = field(default_factory=list)
    """Time, process id and version of each right answer."""

    @property
    def total(self) -> int:
        """How many requests there were."""
        return sum(self.counts.values()) - self.counts[IDLE_CLOSE]

    @property
    def lost(self) -> int:
        """How many of them were lost."""
        return len(self.losses)

    @property
    def pids(self) -> set[int]:
        """The workers that answered."""
        return {pid for _, pid, _ in self.answers}

    @property
    def longest_gap(self) -> float:
        """The longest time without any right answer, in seconds."""
        times = sorted(at for at, _, _ in self.answers)
        return max((b - a for a, b in pairwise(times)), default=0.0)

    def __add__(self, other: Report) -> Report:
        return Report(self.counts + other.counts, self.losses + other.losses, self.answers + other.answers)

    def __str__(self) -> str:
        lines = [f"{count:8d} {outcome}" for outcome, count in self.counts.most_common()]
        start = min((at for at, _, _ in self.answers), default=0.0)
        lines += [
            f"         lost number {loss.number} at {loss.at - start:.3f} s: {loss.detail} (pid {loss.pid})"
            for loss in self.losses[:20]
        ]
        return "\n".join(lines)


class Connection:
    """One connection to the server, for one request after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.pid = 0

    @classmethod
    async def open(cls, host: str, port: int, patience: float, tls: ssl.SSLContext | None = None) -> Connection:
        """Connect, or raise Lost."""
        try:
            opened = asyncio.open_connection(host, port, limit=2**20, ssl=tls)
            return cls(*await asyncio.wait_for(opened, patience))
        except ConnectionRefusedError:
            raise Lost(REFUSED) from None
        except (OSError, TimeoutError) as error:
            raise Lost(NO_CONNECTION, type(error).__name__) from None

    @property
    def gone(self) -> bool:
        """Whether the server has closed this connection, as far as can be known before a request is written."""
        return self.reader.at_eof() or self.reader.exception() is not None or self.writer.is_closing()

    async def ask(self, request: bytes) -> Answer:
        """Send a request and return the answer, or raise Lost."""
        begun = False
        try:
            self.writer.write(request)
            await self.writer.drain()
            status_line = await self.reader.readuntil(b"\r\n")
            begun = True
            headers = await self.read_headers()
            body = await self.read_body(headers)
        except asyncio.IncompleteReadError as error:
            raise Lost(SHORT if begun or error.partial else CLOSED) from None
        except OSError as error:
            raise Lost(SHORT if begun else RESET, type(error).__name__) from None
        except (ValueError, asyncio.LimitOverrunError) as error:
            raise Lost(WRONG, error) from None
        return Answer(int(status_line.split()[1]), headers, body, time.monotonic())

    async def read_headers(self) -> dict[str, str]:
        headers = {}
        while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return headers

    async def read_body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") != "chunked":
            raise ValueError(f"an answer without an end: {headers}")
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += await self.reader.readexactly(size)
            if await self.reader.readexactly(2) != b"\r\n":
                raise ValueError("a chunk without its end")
        if await self.reader.readexactly(2) != b"\r\n":
            raise ValueError("chunks without their end")
        return body

    def close(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            if self.writer.get_extra_info("ssl_object"):
                # Closing would wait for the server to do the same, perhaps beyond the end of the event loop.
                self.writer.transport.abort()
            else:
                self.writer.close()


@dataclass
class Load:
    """Clients that send numbered requests in a thread of their own, beside the test.

    `keep_alive` clients keep their connection, `single` ones make one for each request. They go on until the test
    calls `finish` and `least` requests are done, but never beyond `most` requests or `seconds`.
    """

    host: str
    port: int = 8000
    keep_alive: int = 8
    single: int = 4
    least: int = 1500
    most: int = 100_000
    seconds: float = 300.0
    late: float = 30.0
    pause: float = 0.0
    """The longest pause of a client between two requests, in seconds."""
    paths: tuple[str, ...] = ("/echo", "/echo", "/echo", "/post", "/stream")
    tls: ssl.SSLContext | None = None
    seed: int = 0
    report: Report = field(default_factory=Report)
    finishing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.numbers: Iterator[int] = iter(range(self.most))
        self.random = random.Random(self.seed)
        self.in_flight: dict[int, int] = {}
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()), daemon=True)

    def start(self) -> Load:
        """Begin, and return when the first answer is there."""
        self.begun = time.monotonic()
        self.thread.start()
        self.wait_for(lambda report: report.total > 0)
        return self

    def wait_for(self, condition: Callable[[Report], Any], patience: float = 60.0) -> Any:
        """Return the first true result of `condition`, asked often."""
        deadline = time.monotonic() + patience
        while not (result := condition(self.report)):
            assert time.monotonic() < deadline, f"waited {patience:.0f} s under load in vain\n{self.report}"
            assert self.thread.is_alive(), f"the load ended before what the test waits for\n{self.report}"
            time.sleep(0.005)
        return result

    def wait_more(self, requests: int) -> None:
        """Wait until so many more requests are done."""
        target = self.report.total + requests
        self.wait_for(lambda report: report.total >= target)

    def finish(self) -> Report:
        """Wait until the least number of requests is done, and return what came of all."""
        self.finishing.set()
        self.thread.join(self.seconds + 2 * self.late + 10)
        assert not self.thread.is_alive(), "the clients do not end"
        return self.report

    def __enter__(self) -> Load:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.finish()

    @property
    def done(self) -> bool:
        if time.monotonic() - self.begun > self.seconds:
            return True
        return self.finishing.is_set() and self.report.total >= self.least

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for keep in [True] * self.keep_alive + [False] * self.single:
                group.create_task(self.client(keep))

    async def client(self, keep: bool) -> None:
        connection = None
        while not self.done and (number := next(self.numbers, None)) is not None:
            pid = 0
            try:
                async with asyncio.timeout(self.late):
                    if connection and connection.gone:
                        self.report.counts[IDLE_CLOSE] += 1
                        connection.close()
                        connection = None
                    if connection is None:
                        connection = await Connection.open(self.host, self.port, self.late, self.tls)
                    pid = connection.pid
                    answer = await self.ask(connection, number, keep)
                connection.pid = answer.pid
                self.report.counts[OK] += 1
                self.report.answers.append((answer.at, answer.pid, answer.headers.get("x-version", "")))
                if keep and not answer.closes:
                    if self.pause:
                        await asyncio.sleep(self.random.uniform(0, self.pause))
                    continue
            except Lost as lost:
                self.lose(number, lost.outcome, str(lost), pid)
                # What is gone is not asked again at once.
                await asyncio.sleep(0.01)
            except TimeoutError:
                self.lose(number, LATE, "", pid)
            if connection:
                connection.close()
                connection = None
        if connection:
            connection.close()

    def lose(self, number: int, outcome: str, detail: str, pid: int) -> None:
        self.report.counts[outcome] += 1
        self.report.losses.append(Loss(time.monotonic(), number, outcome, detail, pid))

    async def ask(self, connection: Connection, number: int, keep: bool) -> Answer:
        path = self.random.choice(self.paths)
        size = self.random.choice((10, 100, 1000, 20_000))
        body = payload(number, size) if path == "/post" else b""
        head = f"{'POST' if body else 'GET'} {path}?number={number}&size={size} HTTP/1.1\r\nHost: test\r\n"
        head += f"Content-Length: {len(body)}\r\n" if body else ""
        head += "\r\n" if keep else "Connection: close\r\n\r\n"
        answer = await connection.ask(head.encode() + body)
        if answer.status >= 500:
            raise Lost(ERROR, answer.status)
        if answer.status != 200 or answer.headers.get("x-number") != str(number):
            raise Lost(WRONG, f"status {answer.status}, number {answer.headers.get('x-number')}")
        if answer.body != payload(number, size):
            raise Lost(WRONG, f"body of {len(answer.body)} bytes instead of {size}")
        return answer


@dataclass
class Readers(Load):
    """Clients that read one path of an application that numbers nothing: `right` is the body of every answer."""

    headers: dict[str, str] = field(default_factory=dict)
    right: bytes = b""

    async def ask(self, connection: Connection, number: int, keep: bool) -> Answer:
        lines = [f"GET {self.random.choice(self.paths)} HTTP/1.1", "Host: test"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [] if keep else ["Connection: close"]
        answer = await connection.ask("\r\n".join([*lines, "", ""]).encode())
        if answer.status >= 500:
            raise Lost(ERROR, answer.status)
        if answer.status != 200 or answer.body != self.right:
            raise Lost(WRONG, f"status {answer.status}, {answer.body[:100]!r}")
        return answer
