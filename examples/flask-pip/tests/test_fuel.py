"""The pages and the API."""

import pytest
from flask.testing import FlaskClient

from fuel import create_app

RACE = {"laps": 50, "litres_per_lap": 2.5, "tank": 60}
STINTS = [
    {"first_lap": 1, "last_lap": 24, "litres": 60.0},
    {"first_lap": 25, "last_lap": 48, "litres": 60.0},
    {"first_lap": 49, "last_lap": 50, "litres": 5.0},
]


@pytest.fixture
def client() -> FlaskClient:
    return create_app().test_client()


def test_the_form_is_answered_with_the_stints(client: FlaskClient) -> None:
    assert "<form" in client.get("/").text
    page = client.post("/", data=RACE).text

    assert "laps 49 to 50: 5.0 l" in page
    assert 'href="/api/fuel.csv?laps=50&amp;litres_per_lap=2.5&amp;tank=60"' in page


def test_the_api_returns_the_stints(client: FlaskClient) -> None:
    assert client.post("/api/plan", json=RACE).json == {"stints": STINTS}


def test_a_tank_for_three_laps_lasts_three_laps(client: FlaskClient) -> None:
    race = {"laps": 3, "litres_per_lap": 0.1, "tank": 0.3}

    assert client.post("/api/plan", json=race).json == {"stints": [{"first_lap": 1, "last_lap": 3, "litres": 0.3}]}


def test_the_download_has_every_lap(client: FlaskClient) -> None:
    lines = client.get("/api/fuel.csv", query_string=RACE | {"laps": 2500}).text.splitlines()

    assert lines[:3] == ["lap,litres", "1,60.000", "2,57.500"]
    assert len(lines) == 2501
    assert lines[-1] == "2500,2.500"


@pytest.mark.parametrize(
    "race",
    [
        {},
        [],
        RACE | {"laps": 0},
        RACE | {"laps": "many"},
        RACE | {"tank": 2},
        RACE | {"tank": "nan"},
        RACE | {"laps": 1e999},
    ],
)
def test_what_is_no_race_is_refused(client: FlaskClient, race: object) -> None:
    answer = client.post("/api/plan", json=race)

    assert answer.status_code == 400
    assert answer.json["error"]


def test_people_get_a_page_when_something_is_wrong(client: FlaskClient) -> None:
    assert "a race has 1 to 100000 laps" in client.post("/", data=RACE | {"laps": 0}).text
    missing = client.get("/nope")

    assert missing.status_code == 404
    assert "<h1>Not Found</h1>" in missing.text


@pytest.mark.parametrize(("data", "status"), [(b"{", 400), (b"x" * 20_000, 413)])
def test_programs_get_json_when_something_is_wrong(client: FlaskClient, data: bytes, status: int) -> None:
    answer = client.post("/api/plan", data=data, content_type="application/json")

    assert answer.status_code == status
    assert answer.json["error"]


def test_programs_get_json_for_an_address_that_is_not_there(client: FlaskClient) -> None:
    assert client.get("/api/nope").json["error"]
    assert client.get("/api/plan").json["error"] == "The method is not allowed for the requested URL."
