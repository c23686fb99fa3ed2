"""The Litestar example, as its README says that it is used."""

import pytest

from conftest import wait_until
from examples.conftest import LOCKED_UP

# One process of xdist has the container of most of them.
pytestmark = pytest.mark.xdist_group("litestar")

OPTIONS = {"image": "paddock-example:litestar", "environment": {"WORKERS": "2"}, **LOCKED_UP}


@pytest.fixture(scope="module")
def planner(start_for_all):
    """The example with two workers, as locked up as it can be."""
    return start_for_all(**OPTIONS).wait_healthy()


def test_every_route_answers(planner):
    spa = {"name": "spa", "title": "Spa-Francorchamps", "laps": 44, "lap_seconds": 107.0, "pit_seconds": 18.5}

    assert planner.get("/health").json() == {"circuits": 3}
    assert [circuit["name"] for circuit in planner.get("/circuits").json()] == ["monza", "spa", "suzuka"]
    assert planner.get("/circuits/spa").json() == spa
    assert planner.get("/circuits/nowhere").status_code == 404
    plan = planner.post("/plans", json={"circuit": "monza", "wear": 0.1})
    assert plan.status_code == 200
    assert plan.json() == {"circuit": "monza", "stints": [27, 26], "seconds": 4490.6}
    assert {*planner.get("/schema/openapi.json").json()["paths"]} == {
        "/health",
        "/circuits",
        "/circuits/{name}",
        "/circuits/{name}/laps.csv",
        "/plans",
    }
    page = planner.get("/schema")
    assert page.headers["content-type"].startswith("text/html")
    assert "Pit stop planner" in page.text


def test_a_body_that_makes_no_sense_is_refused(planner):
    for race, key in [
        ({"circuit": "spa", "wear": -1}, "wear"),
        ({"circuit": "spa", "wear": 1, "most_stops": 99}, "most_stops"),
        ({"wear": 1}, "data"),
    ]:
        answer = planner.post("/plans", json=race)
        assert answer.status_code == 400
        assert [problem["key"] for problem in answer.json()["extra"]] == [key]


def test_laps_are_streamed(planner):
    answer = planner.get("/circuits/spa/laps.csv", params={"wear": 0.2})

    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["content-type"].startswith("text/csv")
    head, *laps = answer.text.splitlines()
    assert head == "lap,stint,age,seconds"
    assert [int(lap.split(",")[0]) for lap in laps] == [*range(1, 45)]
    assert planner.get("/circuits/spa/laps.csv", params={"wear": 99}).status_code == 400


def test_it_stops_cleanly(start):
    planner = start(**OPTIONS)
    wait_until(lambda: planner.logs().count("app.main: know 3 circuits") == 2, "both workers")

    assert planner.stop() == 0
    assert planner.logs().count("app.main: closed") == 2


def test_the_server_cannot_change_its_code(planner):
    assert planner.run("find", "/app", "/opt", "-writable", "!", "-type", "l") == ""
