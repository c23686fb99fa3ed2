"""docs/metrics.md, followed command by command, and whether its tables say what the page has."""

import re

import httpx
import yaml

from conftest import PATIENCE
from paddock.metrics.tally import REASONS, STATES
from page import ROOT
from scrape import Page

TLS = ROOT / "tests/unit/tls"
PAGE = (ROOT / "docs" / "metrics.md").read_text()


def rows(heading):
    """Return the first cells of the table whose heading begins like that, without their quotes."""
    table = PAGE.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_page(page):
    story = page("metrics")
    story.run("docker build")
    story.run("for lap")
    story.run("curl --silent")

    monitor = yaml.safe_load((story.directory / "podmonitor.yaml").read_text())
    assert monitor["kind"] == "PodMonitor"
    assert f"name: {monitor['spec']['podMetricsEndpoints'][0]['port']}, containerPort: 9090" in PAGE
    story.run("docker rm")


def test_tables(start, mount):
    certificate = {"CERTFILE": "/tls/localhost.crt", "KEYFILE": "/tls/localhost.key"}
    container = start(
        "echo_asgi.py",
        environment={"METRICS_BIND": "0.0.0.0:9090", "WORKERS": "1", **certificate},
        volumes=mount("/tls/localhost.crt", (TLS / "localhost.crt").read_text())
        | mount("/tls/localhost.key", (TLS / "localhost.key").read_text()),
    ).wait_ready()
    httpx.get(f"https://{container.address}:8000/echo", verify=False, trust_env=False, timeout=PATIENCE)

    samples = Page.of(container).samples
    names = {re.sub(r"_seconds_(bucket|count|sum)$", "_seconds", name) for name, _, _ in samples}
    assert sorted(rows("metric")) == sorted(names)
    assert sorted(rows("`reason`")) == sorted(REASONS)
    assert all(f"`{state}`" in PAGE for state in STATES)
    for line in re.findall(r"^\| `paddock_\w+` \| \w+ \| .* \|", PAGE, re.MULTILINE):
        name, _, labels = (cell.strip() for cell in line.split("|")[1:4])
        has = {label for found, labels_, _ in samples if found.startswith(name.strip("`")) for label in labels_} - {
            "le"
        }
        has.discard("le")
        if "one for each" not in labels:
            assert set(re.findall(r"`(\w+)`", re.sub(r" \(.*?\)", "", labels))) == has, line
