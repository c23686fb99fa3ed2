"""The text formats that Prometheus reads.

https://prometheus.io/docs/instrumenting/exposition_formats/, https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

END = "# EOF\n"
"""The last line of OpenMetrics."""

Labels = Mapping[str, str]


@dataclass
class Family:
    """A metric and its samples. `name` is without the suffix that its `kind` (gauge, counter, …) gives its samples."""

    name: str
    kind: str
    help: str
    samples: list[tuple[str, Labels, float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> None:
        """Add a sample."""
        self.samples.append((SUFFIXES.get(self.kind, ""), labels, value))

    def add_histogram(self, bounds: Iterable[float], counts: list[int], total: float, **labels: str) -> None:
        """Add the samples of a histogram: `counts` is the number in each bucket, the one above all bounds last."""
        for bound, count in zip([*map(repr, bounds), "+Inf"], accumulate(counts), strict=True):
            self.samples.append(("_bucket", {**labels, "le": bound}, count))
        self.samples.append(("_count", labels, sum(counts)))
        self.samples.append(("_sum", labels, total))

    def lines(self, openmetrics: bool) -> Iterator[str]:
        """Yield the lines of this metric."""
        suffix = SUFFIXES.get(self.kind, "")
        name = self.name if openmetrics else self.name + suffix
        kind = self.kind if openmetrics else PLAIN.get(self.kind, self.kind)
        yield f"# HELP {name} {_escape(self.help)}\n"
        yield f"# TYPE {name} {kind}\n"
        for ending, labels, value in self.samples:
            pairs = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
            yield f"{self.name}{ending}{{{pairs}}} {value!r}\n" if pairs else f"{self.name}{ending} {value!r}\n"


SUFFIXES = {"counter": "_total", "info": "_info"}
"""What the names of samples end with."""

PLAIN = {"info": "gauge"}
"""Kinds that only OpenMetrics knows, and what they are without it."""


def render(families: Iterable[Family], openmetrics: bool) -> bytes:
    """Return the page, without OpenMetrics' last line."""
    text = "".join(line for family in families for line in family.lines(openmetrics))
    return text.encode("utf-8", "replace")


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def wants_openmetrics(accept: str) -> bool:
    """Tell whether a client that sends `Accept: accept` likes OpenMetrics at least as much as plain text."""
    openmetrics = plain = 0.0
    for item in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        weight = next((_weight(part[2:]) for part in parameters if part.startswith("q=")), 1.0)
        if kind == "application/openmetrics-text":
            openmetrics = max(openmetrics, weight)
        elif kind == "text/plain":
            plain = max(plain, weight)
    return openmetrics > 0 and openmetrics >= plain


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
