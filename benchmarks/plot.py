"""Plots of results, which are the same bytes whenever they are made of the same results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.ratios import Comparison, spread

# Element ids are random and the metadata has the time, unless told otherwise; text stays text.
# https://matplotlib.org/stable/users/explain/customizing.html#matplotlibrc-sample
mpl.rcParams.update({"svg.hashsalt": "paddock", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9})

COLOUR = "#2f6f9f"
OTHER = "#c8682c"
THIRD = "#5b8c3a"
GREY = "#666666"


def ratios(comparison: Comparison, result: Mapping[str, Any], path: Path) -> None:
    """Write a bar for each ratio of a comparison, with its lowest, its highest and its goal."""
    figure = Figure(figsize=(8, 0.7 + 0.45 * len(comparison.ratios)), layout="constrained")
    axes = figure.subplots()
    for row, ratio in enumerate(comparison.ratios):
        found = spread(result["rates"], ratio)
        error = [[found.median - found.low], [found.high - found.median]]
        axes.barh(row, found.median, 0.55, color=COLOUR, xerr=error, ecolor=GREY, capsize=3)
        if ratio.goal is not None:
            axes.plot([ratio.goal] * 2, [row - 0.4, row + 0.4], color=OTHER, label="" if row else "goal")
    axes.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
    names = [f"{ratio.this} /\n{ratio.that}".replace("`", "") for ratio in comparison.ratios]
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("requests/s, ratio: median, lowest and highest of the pairs")
    axes.legend(frameon=False)
    _write(figure, path)


def sizing(result: Mapping[str, Any], path: Path) -> None:
    """Write memory by workers, requests a second by workers and CPUs, and by threads, side by side."""
    figure = Figure(figsize=(10, 3), layout="constrained")
    memory, cpus, threads = figure.subplots(1, 3)
    for preload, colour in ((False, COLOUR), (True, OTHER)):
        rows = [row for row in result["memory"] if row["preload"] is preload]
        label = f"PRELOAD_APP={str(preload).lower()}"
        memory.plot([row["workers"] for row in rows], [row["used"] for row in rows], "o-", color=colour, label=label)
    memory.set(title="Memory (MiB)", xlabel="workers", ylim=(0, None))

    (one,) = (row["rate"] for row in result["cpus"] if row["cpus"] == row["workers"] == 1)
    quotas = sorted({row["cpus"] for row in result["cpus"]})
    for quota, colour in zip(quotas, (GREY, OTHER, COLOUR, THIRD), strict=True):
        rows = [row for row in result["cpus"] if row["cpus"] == quota]
        rates = [row["rate"] / one for row in rows]
        label = f"{quota:g} CPU{'' if quota == 1 else 's'}"
        cpus.plot([row["workers"] for row in rows], rates, "o-", color=colour, label=label)
    cpus.set(title="Requests/s (1 worker on 1 CPU: 1)", xlabel="workers", ylim=(0, None))

    rows = result["threads"]
    threads.plot([row["threads"] for row in rows], [row["rate"] for row in rows], "o-", color=COLOUR)
    threads.set(title="Requests/s, WSGI that waits 50 ms", xlabel="THREADS", ylim=(0, None))
    for axes, part in ((memory, "memory"), (cpus, "cpus")):
        axes.set_xticks(sorted({row["workers"] for row in result[part]}))
        axes.legend(frameon=False)
    _write(figure, path)


def _write(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    # No spaces at the ends of lines, which editors would remove.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
