"""A page of metrics, as a monitoring system reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

REQUESTS = "paddock_http_requests_total"
RESTARTS = "paddock_worker_restarts_total"


@dataclass(frozen=True)
class Page:
    """The samples of a page: name, labels, value."""

    samples: list[tuple[str, dict[str, str], float]]

    @classmethod
    def of(cls, container: Any, port: int = 9090) -> Page:
        """Scrape a container."""
        answer = container.get("/metrics", port)
        assert answer.status_code == 200, answer.text
        return cls.read(answer.text)

    @classmethod
    def read(cls, text: str) -> Page:
        """Read a page of plain text."""
        families = list(text_string_to_metric_families(text))
        return cls([(s.name, s.labels, s.value) for family in families for s in family.samples])

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of that name with those labels."""
        return sum(value for found, has, value in self.samples if found == name and labels.items() <= has.items())

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Return the sums of the samples of that name by the values of a label, but for those that are zero."""
        values = {has[label] for found, has, _ in self.samples if found == name}
        return {value: total for value in values if (total := self.sum(name, **{label: value}, **labels))}

    @property
    def counters(self) -> dict[tuple[str, ...], float]:
        """What must never go back: counters and the parts of histograms."""
        endings = ("_total", "_bucket", "_count", "_sum")
        return {(name, *map("=".join, has.items())): v for name, has, v in self.samples if name.endswith(endings)}
