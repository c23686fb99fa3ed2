from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import app


@pytest.fixture
def client() -> TestClient:
    return TestClient(app)


def test_health(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}


def test_scales(client: TestClient) -> None:
    assert list(client.get("/scales").json()) == ["formula-1", "motogp"]
    assert client.get("/scales/motogp").json()[:3] == [25, 20, 16]
    assert client.get("/scales/chess").status_code == 404


def test_standings(client: TestClient) -> None:
    season = {"scale": "motogp", "races": [["ann", "bob"]]}

    assert client.post("/standings", json=season).json() == [
        {"place": 1, "driver": "ann", "points": 25, "wins": 1},
        {"place": 2, "driver": "bob", "points": 20, "wins": 0},
    ]


@pytest.mark.parametrize(
    ("season", "status"),
    [
        ({"scale": "chess", "races": []}, 404),
        ({"races": [["ann", "ann"]]}, 422),
        ({}, 422),
    ],
)
def test_what_is_no_season(
    client: TestClient, season: dict[str, Any], status: int
) -> None:
    assert client.post("/standings", json=season).status_code == status
