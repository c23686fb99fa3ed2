import pytest
from prometheus_client import REGISTRY
from starlette.testclient import TestClient

from main import app


@pytest.fixture
def client():
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_a_lap_is_counted(client):
    before = REGISTRY.get_sample_value("laps_total", {"driver": "ada"}) or 0

    assert client.post("/laps/ada", json={"seconds": 81.2}).json() == {"driver": "ada"}

    assert REGISTRY.get_sample_value("laps_total", {"driver": "ada"}) == before + 1
    assert REGISTRY.get_sample_value("laps_being_timed") == 0


def test_nobody_elses(client):
    assert client.post("/laps/zoe", json={"seconds": 81.2}).status_code == 404


def test_health_and_crash(client):
    assert client.get("/health").json() == {"drivers": 3}
    assert client.get("/crash").status_code == 500
