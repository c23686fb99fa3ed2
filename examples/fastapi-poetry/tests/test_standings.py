import pytest

from app.standings import SCALES, standings

POINTS = SCALES["formula-1"]


def test_points_add_up() -> None:
    table = standings([["ann", "bob"], ["bob", "ann"], ["bob"]], POINTS)

    assert [row.model_dump() for row in table] == [
        {"place": 1, "driver": "bob", "points": 68, "wins": 2},
        {"place": 2, "driver": "ann", "points": 43, "wins": 1},
    ]


def test_with_equal_points_the_better_finishes_count() -> None:
    table = standings([["ann", "cid", "bob"], ["cid", "bob", "ann"]], [2, 1, 1])

    assert [(row.driver, row.points) for row in table] == [
        ("cid", 3),
        ("ann", 3),
        ("bob", 2),
    ]


def test_who_cannot_be_told_apart_shares_a_place() -> None:
    table = standings([["ann", "bob", "cid"], ["bob", "ann"]], POINTS)

    assert [(row.driver, row.place) for row in table] == [
        ("ann", 1),
        ("bob", 1),
        ("cid", 3),
    ]


@pytest.mark.parametrize("races", [[], [[]]])
def test_nobody_has_finished(races: list[list[str]]) -> None:
    assert standings(races, POINTS) == []


def test_the_eleventh_gets_nothing() -> None:
    drivers = [f"driver {number}" for number in range(1, 12)]

    assert standings([drivers], POINTS)[-1].points == 0
