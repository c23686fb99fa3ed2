"""`./dev bench NAME`: measure, print a table, write `results/NAME.json`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

import docker

from benchmarks import cpu, results, sizing
from benchmarks.pages import tables
from benchmarks.ratios import COMPARISONS, CONNECTIONS, measure
from benchmarks.servers import Failed

PYTHON = os.environ["PADDOCK_PYTHON"]
IMAGE = f"{os.environ['IMAGE']}:{PYTHON}-slim"
PEERS = f"{os.environ['IMAGE']}-bench:peers"
FRAMEWORKS = f"{os.environ['IMAGE']}-bench:frameworks"
EXAMPLE = f"{os.environ['EXAMPLE_IMAGE']}:fastapi-uv"


def two_cpus() -> tuple[int, int]:
    """Return a CPU for the server and one for the load; this process moves to the second.

    Raises:
        Failed: when there is only one.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise Failed("the load would take the server's CPU: two are needed, and there is one")
    os.sched_setaffinity(0, usable[1:2])
    return usable[0], usable[1]


def compare(name: str, engine: docker.DockerClient, pairs: int, seconds: int) -> None:
    """Measure one of COMPARISONS."""
    cpus = two_cpus()
    versions = results.versions(engine, IMAGE, PEERS)
    contenders = COMPARISONS[name].contenders(IMAGE, PEERS)
    rates = []
    for pair in measure(engine, contenders, PEERS, cpus, pairs, seconds):
        rates.append({contender: round(rate) for contender, rate in pair.items()})
        say("requests/s: " + ", ".join(f"{contender} {rate}" for contender, rate in rates[-1].items()))
    method = {"seconds": 2 * seconds, "connections": CONNECTIONS, "stdout": "a pipe, read on the CPU of wrk"}
    results.save(name, versions=versions, method=method, rates=rates)


def beside(engine: docker.DockerClient, pairs: int, seconds: int) -> None:
    """Measure what docs/speed.md shows."""
    cpus = two_cpus()
    versions = results.versions(engine, FRAMEWORKS, PEERS)
    measured: dict[str, list[dict[str, float]]] = {}
    for name, comparison in cpu.COMPARISONS.items():
        contenders = comparison.contenders(FRAMEWORKS, PEERS)
        measured[name] = []
        for pair in measure(engine, contenders, PEERS, cpus, pairs, seconds, comparison.figure):
            measured[name].append({contender: round(figure, 1) for contender, figure in pair.items()})
            say(f"{name}: " + ", ".join(f"{contender} {figure}" for contender, figure in measured[name][-1].items()))
    method = {"seconds": 2 * seconds, "pairs": pairs, "connections": CONNECTIONS}
    results.save("cpu", versions=versions, method=method, measured=measured)


def size(engine: docker.DockerClient, pairs: int, seconds: int) -> None:
    """Measure what docs/sizing.md shows; only the latencies and rates by CPU are measured more than once."""
    versions = results.versions(engine, IMAGE)
    measured: dict[str, list[dict[str, object]]] = {"memory": [], "threads": [], "cpus": []}
    for part, rows in (
        ("memory", sizing.memory(engine, EXAMPLE, PEERS, seconds)),
        ("threads", sizing.threads(engine, IMAGE, PEERS, seconds)),
        ("cpus", sizing.cpus(engine, IMAGE, PEERS, pairs, seconds)),
    ):
        for row in rows:
            say(f"{part}: {', '.join(f'{key} {value}' for key, value in row.items())}")
            measured[part].append(row)
    results.save("sizing", versions=versions, method={"seconds": seconds, "pairs": pairs}, **measured)


def say(line: str) -> None:
    """Show at once that something is going on."""
    print(line, file=sys.stderr, flush=True)


def number_from(least: int) -> Callable[[str], int]:
    """Return a parser of whole numbers, `least` or more."""

    def whole_number(text: str) -> int:
        if int(text) < least:
            raise ValueError(text)
        return int(text)

    return whole_number


def main() -> int:
    """Run one benchmark; return the exit status."""
    parser = argparse.ArgumentParser("./dev bench", description="Measure, and write benchmarks/results/NAME.json.")
    parser.add_argument("name", choices=[*COMPARISONS, "cpu", "sizing"])
    parser.add_argument("--pairs", type=number_from(1), default=4, help="how often everything is measured (4)")
    parser.add_argument("--seconds", type=number_from(1), default=2, help="how long each measurement takes (2)")
    options = parser.parse_args()
    engine = docker.from_env(timeout=120)
    try:
        if options.name == "sizing":
            size(engine, options.pairs, options.seconds)
        elif options.name == "cpu":
            beside(engine, options.pairs, options.seconds)
        else:
            compare(options.name, engine, options.pairs, options.seconds)
    except Failed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    for title, table in tables(options.name, results.load(options.name)).items():
        print(f"\n{title}\n\n{table}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
