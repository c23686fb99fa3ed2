"""How many stops are fastest: each costs time in the pit lane, and each saves laps on worn tyres."""

from collections.abc import Iterator

from msgspec import Struct


class Circuit(Struct):
    """Where a race is: its laps, the time of a lap on fresh tyres, and what a stop costs."""

    name: str
    title: str
    laps: int
    lap_seconds: float
    pit_seconds: float


class Lap(Struct):
    """One lap of a plan; `age` is how many laps its tyres have done before."""

    number: int
    stint: int
    age: int
    seconds: float


class Plan(Struct):
    """The laps of each stint, and the time of the whole race."""

    circuit: str
    stints: list[int]
    seconds: float


def drive(circuit: Circuit, stints: list[int], wear: float) -> Iterator[Lap]:
    """Yield the laps of a race; a lap takes `wear` seconds more for each lap that its tyres have done."""
    number = 0
    for stint, laps in enumerate(stints, 1):
        for age in range(laps):
            number += 1
            yield Lap(number, stint, age, round(circuit.lap_seconds + wear * age, 3))


def plan(circuit: Circuit, wear: float, stops: int) -> Plan:
    """Return the plan with so many stops: stints as equal as they can be."""
    shortest, longer = divmod(circuit.laps, stops + 1)
    stints = [shortest + (stint < longer) for stint in range(stops + 1)]
    seconds = sum(lap.seconds for lap in drive(circuit, stints, wear)) + stops * circuit.pit_seconds
    return Plan(circuit.name, stints, round(seconds, 3))


def fastest(circuit: Circuit, wear: float, most_stops: int) -> Plan:
    """Return the fastest plan with at least one stop, which the rules of most races ask for."""
    return min((plan(circuit, wear, stops) for stops in range(1, most_stops + 1)), key=lambda plan: plan.seconds)
