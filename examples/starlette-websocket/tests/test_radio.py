import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from main import app, events
from room import Room


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def people(*names: str) -> dict[str, Any]:
    return {"kind": "people", "content": [*names]}


def message(name: str, text: str) -> dict[str, Any]:
    return {"kind": "message", "content": {"from": name, "text": text}}


def test_two_people_talk(client: TestClient) -> None:
    with client.websocket_connect("/radio?name=ann") as ann:
        assert [ann.receive_json(), ann.receive_json()] == [people(), people("ann")]
        with client.websocket_connect("/radio?name=bob") as bob:
            assert [bob.receive_json(), bob.receive_json()] == [people("ann"), people("ann", "bob")]
            assert ann.receive_json() == people("ann", "bob")
            bob.send_text(" Box, box. ")
            assert ann.receive_json() == bob.receive_json() == message("bob", "Box, box.")
        assert ann.receive_json() == people("ann")
    assert client.get("/health").json() == {"people": 0, "listening": 0}


def test_what_is_no_text_is_passed_over(client: TestClient) -> None:
    with client.websocket_connect("/radio?name=ann") as ann:
        ann.send_bytes(b"\x00")
        ann.send_text("  ")
        ann.send_text("copy")
        assert [ann.receive_json() for _ in range(3)][-1] == message("ann", "copy")


@pytest.mark.parametrize("name", ["", "%20", "a" * 21])
def test_who_has_no_good_name_is_turned_away(client: TestClient, name: str) -> None:
    with (
        client.websocket_connect(f"/radio?name={name}") as websocket,
        pytest.raises(WebSocketDisconnect) as closed,
    ):
        websocket.receive_json()

    assert closed.value.code == 1008
    assert closed.value.reason == "a name has 1 to 20 characters"


def test_the_page_and_what_it_needs(client: TestClient) -> None:
    assert "Team radio" in client.get("/").text
    for path in ("radio.js", "radio.css", "icon.svg"):
        assert client.get(f"/{path}").status_code == 200


def test_a_listener_hears_and_leaves() -> None:
    """By hand, because the test client waits for the end of an answer."""

    async def test() -> None:
        room, left, parts = Room(), asyncio.Event(), asyncio.Queue[str]()
        scope = {"type": "http", "method": "GET", "path": "/events", "headers": [], "state": {"room": room}}

        async def receive() -> Message:
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if body := message.get("body"):
                parts.put_nowait(body.decode())

        response = await events(Request(scope))
        streaming = asyncio.create_task(response(scope, receive, send))
        assert await parts.get() == "event: people\r\ndata: []\r\n\r\n"
        room.say("ann", "box\n\nbox")
        assert await parts.get() == 'event: message\r\ndata: {"from":"ann","text":"box\\n\\nbox"}\r\n\r\n'
        left.set()
        await streaming
        assert not room.queues

    asyncio.run(asyncio.wait_for(test(), timeout=30))
