from typing import Any
from unittest.mock import Mock

import pytest
from flask.testing import FlaskClient
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from race.tasks import simulate
from race.web import app

SPA = {"lap": 107.0, "spread": 0.5, "laps": 44, "times": 100}


@pytest.fixture
def client() -> FlaskClient:
    return app.test_client()


def test_the_same_race_has_the_same_forecast() -> None:
    forecast = simulate(SPA)

    assert forecast == simulate(SPA)
    assert forecast["fast"] < forecast["median"] < forecast["slow"]
    assert forecast["median"] == pytest.approx(107 * 44, abs=5)


def test_an_order_is_answered_with_where_to_look(client: FlaskClient) -> None:
    answer = client.post("/races", json=SPA)

    assert answer.status_code == 202
    assert client.get(answer.location).json == {"state": "SUCCESS", "forecast": simulate(SPA)}


def test_an_unknown_order_is_pending(client: FlaskClient) -> None:
    assert client.get("/races/00000000-0000-0000-0000-000000000000").json == {"state": "PENDING"}
    assert client.get("/races/spa").status_code == 404


@pytest.mark.parametrize("order", [{}, {**SPA, "laps": 0}, {**SPA, "times": 10**9}])
def test_an_order_that_makes_no_sense_is_refused(client: FlaskClient, order: dict[str, Any]) -> None:
    answer = client.post("/races", json=order)

    assert answer.status_code == 422
    assert answer.json is not None
    assert answer.json["errors"]


@pytest.mark.parametrize("error", [OperationalError("connection refused"), RuntimeError("retry limit exceeded")])
def test_without_redis_no_order_is_taken(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(simulate, "delay", Mock(side_effect=error))

    assert client.post("/races", json=SPA).status_code == 503
    assert client.get("/health").status_code == 200


def test_without_redis_nothing_is_known(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "AsyncResult", Mock(side_effect=RedisError("connection refused")))

    assert client.get("/races/00000000-0000-0000-0000-000000000000").status_code == 503
