"""UVICORN_LIMIT_CONCURRENCY: which requests count, and which are answered in any case."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from front import connected, front, turn_until
from paddock.health.state import HEALTH_TOKEN
from paddock.http.concurrency import limited
from paddock.http.readiness import in_front, readiness

HTTP = pytest.mark.parametrize("http", ["auto", "h11"])

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
HEALTH = b"GET / HTTP/1.1\r\nhost: x\r\nx-paddock-health: " + HEALTH_TOKEN.encode() + b"\r\n\r\n"
READY = GET.replace(b"/ ", b"/ready ", 1)


class Application:
    """Answers when it may."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.running = 0
        self.most = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
        self.running -= 1


def statuses(clients: list[Any]) -> list[bytes]:
    return [client.text[9:12] for client in clients]


@HTTP
def test_what_counts(http: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        application = Application()
        served = in_front(limited(application, 2), {"/ready": lambda: readiness(is_draining=False)})
        silent = [connected(protocol, served) for _ in range(10)]
        clients = [client for _, client in (connected(protocol, served) for _ in range(6))]
        # They come together, and two of them wait when the others' turn comes.
        for client in clients[:4]:
            client.send(GET)
        await turn_until(lambda: all(client.text for client in clients[2:4]))
        assert statuses(clients[:4]) == [b"", b"", b"503", b"503"]
        clients[4].send(HEALTH)
        clients[5].send(READY)
        await turn_until(lambda: clients[5].text and application.running == 3)
        assert statuses(clients[4:]) == [b"", b"200"]
        application.may_answer.set()
        await turn_until(lambda: application.running == 0)
        assert statuses(clients) == [b"200", b"200", b"503", b"503", b"200", b"200"]
        silent[0][1].send(GET)
        await turn_until(lambda: statuses([silent[0][1]]) == [b"200"])

    with front(http) as protocol:
        asyncio.run(main())
    assert [text for text in caplog.messages if "LIMIT" in text] == [
        "Answering 503: 2 requests run, the most that UVICORN_LIMIT_CONCURRENCY allows"
    ]


def test_one_that_fails_counts_no_more() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError

    async def main() -> None:
        application = limited(fails, 1)
        for _ in range(3):
            _, client = connected(protocol, application)
            client.send(GET)
            await turn_until(lambda client=client: client.text)
            assert statuses([client]) == [b"500"]

    with front() as protocol:
        asyncio.run(main())
