"""The arithmetic."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Stint:
    """Laps between two stops, the last one included, and the litres they need."""

    first_lap: int
    last_lap: int
    litres: float


@dataclass(frozen=True)
class Race:
    """A race: its laps, and a car's litres for each and in its tank."""

    laps: int
    litres_per_lap: float
    tank: float

    @classmethod
    def read(cls, values: Any) -> "Race":
        """Return the race that a form, a query or any JSON describes.

        Raises:
            ValueError: when something is missing or no number, or the race cannot be driven.
        """
        try:
            race = cls(int(values["laps"]), float(values["litres_per_lap"]), float(values["tank"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ValueError("laps, litres_per_lap and tank have to be numbers") from None
        if not 1 <= race.laps <= 100_000:
            raise ValueError("a race has 1 to 100000 laps")
        if not 0 < race.litres_per_lap <= race.tank < 1000:
            raise ValueError("the tank has to hold a lap's fuel, and less than 1000 litres")
        return race

    def stints(self) -> Iterator[Stint]:
        """Yield the stints, each as long as the tank allows."""
        # Rounded first: 0.3 / 0.1 is a little less than 3.
        length = int(round(self.tank / self.litres_per_lap, 6))
        for first in range(1, self.laps + 1, length):
            last = min(first + length - 1, self.laps)
            yield Stint(first, last, round((last - first + 1) * self.litres_per_lap, 3))

    def fuel(self) -> Iterator[tuple[int, float]]:
        """Yield each lap and the litres in the tank at its start."""
        for stint in self.stints():
            for lap in range(stint.first_lap, stint.last_lap + 1):
                yield lap, round((stint.last_lap + 1 - lap) * self.litres_per_lap, 3)
