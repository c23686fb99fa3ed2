import pytest
from falcon.testing import TestClient

from main import app, pi


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("WORKER_NUMBER", "3")
    return TestClient(app)


def test_digits_of_pi() -> None:
    assert pi(1) == "3.1"
    assert pi(30) == "3.141592653589793238462643383279"
    assert pi(1000).endswith("2164201989")
    assert len(pi(5000)) == 5002


def test_routes(client: TestClient) -> None:
    assert client.simulate_get("/").json == {"worker": 3}
    assert client.simulate_get("/pi/5").json == {"pi": "3.14159"}
    assert client.simulate_get("/pi/0").status_code == 404
