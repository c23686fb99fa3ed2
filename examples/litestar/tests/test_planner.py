from collections.abc import Iterator

import pytest
from litestar.testing import TestClient

from app import main
from app.strategy import Circuit, fastest, plan


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(main.app) as client:
        yield client


@pytest.fixture
def circuit() -> Circuit:
    return Circuit("oval", "The Oval", laps=10, lap_seconds=60, pit_seconds=20)


def test_stints_are_as_equal_as_they_can_be(circuit: Circuit) -> None:
    assert plan(circuit, wear=1, stops=2).stints == [4, 3, 3]


def test_a_stop_costs_time_and_saves_worn_tyres(circuit: Circuit) -> None:
    # 10 laps of 60 s, 1 s more for each lap that the tyres have done: 0+1+2+3+4 for each stint of 5.
    assert plan(circuit, wear=1, stops=1).seconds == 600 + 2 * 10 + 20


@pytest.mark.parametrize(("wear", "stops"), [(0.1, 1), (5, 2)])
def test_the_fastest_plan_depends_on_the_wear(circuit: Circuit, wear: float, stops: int) -> None:
    assert len(fastest(circuit, wear, most_stops=5).stints) == stops + 1


def test_it_plans_a_race(client: TestClient) -> None:
    answer = client.post("/plans", json={"circuit": "monza", "wear": 0.1})

    assert answer.status_code == 200
    assert answer.json() == {"circuit": "monza", "stints": [27, 26], "seconds": 4490.6}


@pytest.mark.parametrize(
    ("race", "key"),
    [
        ({"circuit": "spa", "wear": -1}, "wear"),
        ({"circuit": "spa", "wear": "much"}, "wear"),
        ({"circuit": "spa", "wear": 1, "most_stops": 99}, "most_stops"),
        ({"wear": 1}, "data"),
        ({"circuit": "spa", "wear": 1, "tires": "soft"}, "data"),
    ],
)
def test_a_race_that_makes_no_sense_is_refused(client: TestClient, race: dict[str, object], key: str) -> None:
    answer = client.post("/plans", json=race)

    assert answer.status_code == 400
    assert [problem.get("key") for problem in answer.json()["extra"]] == [key]


def test_a_circuit_that_is_not_there(client: TestClient) -> None:
    assert client.get("/circuits/nowhere").status_code == 404
    assert client.post("/plans", json={"circuit": "nowhere", "wear": 1}).status_code == 404


def test_laps_come_one_a_line(client: TestClient) -> None:
    answer = client.get("/circuits/spa/laps.csv", params={"wear": 0.2})

    head, *laps = answer.text.splitlines()
    assert head == "lap,stint,age,seconds"
    assert len(laps) == 44
    assert laps[0] == "1,1,0,107.0"


def test_what_fails_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("out of laps")

    monkeypatch.setattr(main, "fastest", fail)
    with TestClient(main.app, raise_server_exceptions=False) as client:
        answer = client.post("/plans", json={"circuit": "spa", "wear": 1})

    assert answer.status_code == 500
    assert "out of laps" not in answer.text
    assert "/plans failed" in caplog.text
    assert "out of laps" in caplog.text


def test_health(client: TestClient) -> None:
    assert client.get("/health").json() == {"circuits": 3}
