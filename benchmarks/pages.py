"""Tables and plots of what is in `results/`, for the pages that show them: see `./dev docs`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import cpu, ratios, results

Result = Mapping[str, Any]


def cpu_tables(result: Result) -> dict[str, str]:
    """Return the tables of docs/speed.md by name."""
    measured = result["measured"]
    return {
        "ratios": cpu.ratios(measured),
        "wsgi": cpu.times(measured, ["wsgi", "flask", "django"]),
        "asgi": cpu.times(measured, ["asgi", "fastapi"]),
    }


def sizing_tables(result: Result) -> dict[str, str]:
    """Return the tables of docs/sizing.md by name."""
    return {"memory": memory(result["memory"]), "cpus": cpus(result["cpus"]), "threads": threads(result["threads"])}


def memory(rows: Sequence[Result]) -> str:
    """Return MiB by workers: as started, after a load, and that with `PRELOAD_APP`."""
    found = {(row["preload"], row["workers"]): row for row in rows}
    counts = sorted({row["workers"] for row in rows})
    lines = []
    for title, preload, key in (
        ("as started", False, "idle"),
        ("after a load", False, "used"),
        ("with `PRELOAD_APP=true`, as started", True, "idle"),
        ("with `PRELOAD_APP=true`, after a load", True, "used"),
    ):
        sizes = [found[preload, count][key] for count in counts]
        each = (sizes[-1] - sizes[0]) / (counts[-1] - counts[0])
        lines.append([title, *(f"{size:.0f} MiB" for size in sizes), f"{each:.0f} MiB"])
    return _markdown(["workers", *map(str, counts), "each further one"], lines)


def cpus(rows: Sequence[Result]) -> str:
    """Return rate, latency and throttling by CPU quota and workers; the rate of one worker on one CPU is 1."""
    (one,) = (row["rate"] for row in rows if row["cpus"] == row["workers"] == 1)
    lines = [
        [
            f"{row['cpus']:g}",
            str(row["workers"]),
            f"{row['rate'] / one:.2f}",
            f"{row['p50']:.0f} ms",
            f"{row['p99']:.0f} ms",
            f"{row['throttled']:.0%}",
        ]
        for row in rows
    ]
    return _markdown(["CPUs", "workers", "requests/s", "median", "99th percentile", "periods throttled"], lines)


def threads(rows: Sequence[Result]) -> str:
    """Return requests a second and the median latency by `THREADS`."""
    lines = [[str(row["threads"]), f"{row['rate']:.0f}", f"{row['p50']:.0f} ms"] for row in rows]
    return _markdown(["`THREADS`", "requests/s", "median latency"], lines)


def _markdown(heading: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [heading, ["---"] * len(heading), *lines])


def tables(name: str, result: Result) -> dict[str, str]:
    """Return the tables of a benchmark by title."""
    if name == "sizing":
        return sizing_tables(result)
    if name == "cpu":
        return cpu_tables(result)
    comparison = ratios.COMPARISONS[name]
    return {comparison.title: ratios.table(comparison, result["rates"])}


def speed(measured: Mapping[str, Result]) -> str:
    """Return the README's part on speed: table, plot and conditions of each comparison that was measured."""
    parts = []
    for name, result in measured.items():
        for title, table in tables(name, result).items():
            parts += [f"**{title}**", table, f"![{title}: a plot of the table](benchmarks/results/{name}.svg)"]
        parts.append(f"{results.conditions(result)}.")
    return "\n\n".join(parts)


def main(blocks: Path, plots: Path) -> None:
    """Write the blocks of the pages, each to a file of its name, and a plot of each benchmark."""
    # Not for `./dev bench`, which imports this module for its tables.
    from benchmarks import plot

    compared = {name: results.load(name) for name in ratios.COMPARISONS if results.has(name)}
    sizing, beside = results.load("sizing"), results.load("cpu")
    written = {"speed": speed(compared), "conditions": f"{results.conditions(sizing)}.", **sizing_tables(sizing)}
    written |= {f"cpu-{name}": text for name, text in cpu_tables(beside).items()}
    written["cpu-conditions"] = f"{results.conditions(beside)}; {beside['method']['pairs']} pairs."
    for name, text in written.items():
        (blocks / name).write_text(f"{text}\n")
    for name, result in compared.items():
        plot.ratios(ratios.COMPARISONS[name], result, plots / f"{name}.svg")
    plot.sizing(sizing, plots / "sizing.svg")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
