from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from main import app


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def test_visitor(client: TestClient) -> None:
    assert client.get("/").json() == {
        "visitor": "testclient",
        "url": "http://testserver/",
    }


def test_health(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}


def test_laps(client: TestClient) -> None:
    answer = client.get("/laps")

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == "".join(f"data: lap {lap}\n\n" for lap in range(1, 6))


def test_upload(client: TestClient) -> None:
    assert client.post("/uploads/", content=b"x" * 100_000).json() == {"size": 100_000}


def test_radio(client: TestClient) -> None:
    with client.websocket_connect("/radio") as websocket:
        for message in ("box", "box box"):
            websocket.send_text(message)
            assert websocket.receive_text() == f"copy: {message}"
