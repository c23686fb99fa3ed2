"""The real Prometheus, beside a container."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from conftest import Container, wait_until

CONFIGURATION = """
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: ["/etc/prometheus/rules*.yaml"]
scrape_configs:
  - job_name: app
    static_configs:
      - targets: ["{address}:{port}"]
"""


class Prometheus:
    """A Prometheus that scrapes one container every second."""

    def __init__(
        self, start: Callable[..., Container], tools: str, directory: Path, app: Container, rules: Path | None = None
    ) -> None:
        """Start it; its configuration is written to `directory`."""
        file = directory / "prometheus.yaml"
        file.write_text(CONFIGURATION.format(address=app.address, port=9090))
        volumes = {str(file): {"bind": "/etc/prometheus/prometheus.yaml", "mode": "ro"}}
        if rules:
            volumes[str(rules)] = {"bind": "/etc/prometheus/rules.yaml", "mode": "ro"}
        command = ["--config.file=/etc/prometheus/prometheus.yaml", "--storage.tsdb.path=/tmp/prometheus"]
        self.container = start(
            command=["prometheus", *command], image=f"{tools}:prometheus", volumes=volumes, allow=("",)
        )
        wait_until(lambda: self.get("/-/ready") is not None, "Prometheus")

    def get(self, path: str, **query: str) -> Any:
        """Return an answer of its API; None while there is none."""
        try:
            answer = self.container.get(path, 9090, params=query)
        except httpx.TransportError:
            return None
        if not path.startswith("/api/"):
            return answer if answer.status_code == 200 else None
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of a query at this moment."""
        result: list[dict[str, Any]] = self.get("/api/v1/query", query=expression)["result"]
        return result

    def value(self, expression: str) -> float | None:
        """Return the one value that a query has; None for none."""
        result = self.query(expression)
        assert len(result) < 2, result
        return float(result[0]["value"][1]) if result else None

    def wait_for_scrape(self) -> None:
        """Wait until it has scraped once more from now on."""
        now = time.time()
        wait_until(lambda: (self.value("max(timestamp(up))") or 0) > now, "a scrape")
