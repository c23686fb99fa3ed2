from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from shop.main import app
from shop.settings import get_settings

KEY = {"X-API-Key": "open sesame"}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("API_KEY", "open sesame")
    get_settings.cache_clear()
    with TestClient(app) as client:
        yield client


def test_root_welcomes(client: TestClient) -> None:
    assert client.get("/").json()["message"] == "Welcome to the Paddock Shop"


def test_health_needs_no_key(client: TestClient) -> None:
    assert client.get("/health").json() == {"items": 3}


def test_items_are_for_those_with_the_key(client: TestClient) -> None:
    assert [item["sku"] for item in client.get("/items", headers=KEY).json()] == ["tyre-soft", "tyre-hard", "wheel-nut"]
    assert client.get("/items/wheel-nut", headers=KEY).json() == {"sku": "wheel-nut", "name": "Wheel nut", "price": 12}
    assert client.get("/items/engine", headers=KEY).status_code == 404


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": ""}, {"X-API-Key": "open"}, {"X-API-Key": "clé".encode()}])
@pytest.mark.parametrize("path", ["/items", "/items/wheel-nut", "/items/engine"])
def test_items_are_closed_without_the_key(client: TestClient, path: str, headers: dict[str, str]) -> None:
    answer = client.get(path, headers=headers)

    assert answer.status_code == 401
    assert answer.json() == {"detail": "X-API-Key is missing or wrong"}
