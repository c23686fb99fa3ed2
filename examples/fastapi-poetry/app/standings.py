"""Points and places, as championships count them."""

from collections import defaultdict

from pydantic import BaseModel

SCALES = {
    "formula-1": [25, 18, 15, 12, 10, 8, 6, 4, 2, 1],
    "motogp": [25, 20, 16, 13, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
}
"""The points of the first, the second, …; whoever comes later gets none."""


class Row(BaseModel):
    """A driver's place in the championship; those who cannot be told apart share one."""

    place: int
    driver: str
    points: int
    wins: int


def standings(races: list[list[str]], scale: list[int]) -> list[Row]:
    """Return the table after `races`, which name who came first, second, and so on.

    With equal points more wins are better, then more second places, and so on down.
    """
    most = max(map(len, races), default=0)
    finishes: dict[str, list[int]] = defaultdict(lambda: [0] * most)
    points: dict[str, int] = defaultdict(int)
    for race in races:
        for place, driver in enumerate(race):
            finishes[driver][place] += 1
            points[driver] += scale[place] if place < len(scale) else 0
    worth = {driver: (points[driver], finishes[driver]) for driver in finishes}
    ranking = sorted(worth.values(), reverse=True)
    return [
        Row(
            place=ranking.index(worth[driver]) + 1,
            driver=driver,
            points=points[driver],
            wins=finishes[driver][0],
        )
        for driver in sorted(worth, key=lambda driver: worth[driver], reverse=True)
    ]
