"""The observability example: the application's metrics beside the image's, rules, dashboard, Compose file."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from conftest import wait_until
from prometheus import Prometheus
from scrape import Page

EXAMPLE = Path(__file__).parents[2] / "examples" / "observability"
IMAGE = "paddock-example:observability"
DRIVERS = ("ada", "ben", "cid")


@pytest.fixture
def track(start):
    """The example with two workers, as its Compose file has it."""

    def run(**environment):
        return start(
            image=IMAGE,
            environment={"WORKERS": "2", "METRICS_BIND": "0.0.0.0:9090", **environment},
            read_only=True,
            tmpfs={"/tmp": ""},
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            allow=("SIGKILL", "PRELOAD_APP"),
        ).wait_healthy()

    return run


def drive(container, driver, seconds=81.2, **more):
    return container.post(f"/laps/{driver}", json={"seconds": seconds, **more}).status_code


def drive_many(container, laps):
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda n: drive(container, DRIVERS[n % 3], 65 + n % 60), range(laps))) == {200}


@pytest.mark.parametrize("preload", ["false", "true"])
def test_figures_of_all_workers_dead_and_alive(track, preload):
    container = track(PRELOAD_APP=preload)
    wait_until(lambda: Page.of(container).sum("paddock_workers", state="serving") == 2, "two workers")
    drive_many(container, 60)
    workers = len(list(container.children())) - 1
    assert workers == 2

    with ThreadPoolExecutor(4) as pool:
        laps = [pool.submit(drive, container, "ada", wait=3) for _ in range(4)]
        wait_until(lambda: Page.of(container).sum("laps_being_timed") == 4, "four laps that are being timed")
        assert {lap.result() for lap in laps} == {200}
    container.signal("HUP")
    wait_until(lambda: Page.of(container).sum("paddock_worker_restarts_total", reason="reload") == 2, "new workers")
    drive_many(container, 30)

    page = Page.of(container)
    assert page.by("laps_total", "driver") == {"ada": 34, "ben": 30, "cid": 30}
    assert page.sum("lap_seconds_count") == 94
    assert page.sum("laps_being_timed") == 0
    assert page.sum("paddock_http_requests_total", method="POST", status="2xx") == 94
    assert len([name for name, _, _ in page.samples if name == "laps_being_timed"]) == 1


def test_a_gauge_forgets_a_worker_that_is_killed(track):
    container = track(WORKERS="1")
    with ThreadPoolExecutor(1) as pool:
        lap = pool.submit(drive, container, "ada", wait=60)
        wait_until(lambda: Page.of(container).sum("laps_being_timed") == 1, "a lap that is being timed")
        rows = container.run("sh", "-c", "for p in $(cat /proc/1/task/1/children); do cat /proc/$p/stat; done")
        [worker] = [row.split()[0] for row in rows.splitlines() if row.split()[18] == "0"]
        container.run("sh", "-c", f"kill -9 {worker}")
        assert lap.exception() is not None

    wait_until(lambda: Page.of(container).sum("laps_being_timed") == 0, "the gauge to fall")


def test_files_that_are_broken(track):
    container = track()
    container.allowed.append("cannot be read, and are left out")
    drive(container, "ada")
    container.run("sh", "-c", "cd /dev/shm/paddock-*.prometheus && echo nonsense > counter_999.db")

    for _ in range(3):
        page = Page.of(container)
        assert page.sum("laps_total") == 1
        assert page.sum("paddock_workers_wanted") == 2
    assert container.logs().count("cannot be read, and are left out") == 1


def test_openmetrics(track):
    container = track()
    drive(container, "ada")

    text = container.get("/metrics", 9090, headers={"Accept": "application/openmetrics-text"}).text

    assert "# TYPE laps counter\n" in text
    assert text.count("# EOF") == 1


def test_a_directory_of_ones_own(track):
    container = track(PROMETHEUS_MULTIPROC_DIR="/tmp/mine")
    drive(container, "ada")

    assert "counter_" in container.run("ls", "/tmp/mine")
    assert Page.of(container).sum("laps_total") == 1


def test_nothing_without_metrics_bind(start):
    container = start(image=IMAGE, environment={"WORKERS": "1"}).wait_healthy()

    assert "prometheus" not in container.run("ls", "/dev/shm")
    assert drive(container, "ada") == 200


# --- Prometheus and Grafana ---


def test_rules(engine, tools):
    for command in (
        "check rules rules.yaml",
        "test rules rules_test.yaml",
        "check config --syntax-only prometheus.yaml",
    ):
        output = engine.containers.run(
            f"{tools}:prometheus",
            ["promtool", *command.split()],
            volumes={str(EXAMPLE): {"bind": "/example", "mode": "ro"}},
            working_dir="/example",
            remove=True,
            stderr=True,
        ).decode()
        assert "SUCCESS" in output
        assert "FAILED" not in output


def test_every_alert_is_tested():
    rules = yaml.safe_load((EXAMPLE / "rules.yaml").read_text())
    tests = yaml.safe_load((EXAMPLE / "rules_test.yaml").read_text())

    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    assert {
        case["alertname"] for test in tests["tests"] for case in test["alert_rule_test"] if case.get("exp_alerts")
    } == alerts


def test_every_query_has_data(track, start, tools, tmp_path):
    """Of the dashboard and of the recording rules, but for what an event loop has not."""
    # What the application raises on /crash.
    container = track().allow("")
    prometheus = Prometheus(start, tools, tmp_path, container, EXAMPLE / "rules.yaml")
    for _ in range(4):
        drive_many(container, 20)
        container.get("/crash")
        prometheus.wait_for_scrape()

    dashboard = json.loads((EXAMPLE / "grafana" / "dashboards" / "paddock.json").read_text())
    variables = {"$__rate_interval": "1m", "$job": "app"}
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) > 12
    for expression in expressions:
        for name, value in variables.items():
            expression = expression.replace(name, value)
        assert "$" not in expression
        assert prometheus.query(expression), expression
    groups = prometheus.get("/api/v1/rules")["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert {rule["health"] for rule in rules.values()} == {"ok"}
    for name in (name for name, rule in rules.items() if rule["type"] == "recording"):
        assert prometheus.query(name) or name == "instance:paddock_threads:ratio", name


def test_the_dashboard_is_whole():
    dashboard = json.loads((EXAMPLE / "grafana" / "dashboards" / "paddock.json").read_text())
    source = yaml.safe_load((EXAMPLE / "grafana" / "provisioning" / "datasources" / "prometheus.yaml").read_text())

    assert dashboard["uid"] == "paddock"
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    # Whoever imports it chooses a data source; here there is one.
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    assert {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"} in dashboard[
        "templating"
    ]["list"]
    assert [row["type"] for row in source["datasources"]] == ["prometheus"]
    taken = {
        (p["gridPos"]["x"] + x, p["gridPos"]["y"] + y)
        for p in panels
        for x in range(p["gridPos"]["w"])
        for y in range(p["gridPos"]["h"])
    }
    assert len(taken) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in panels), "panels overlap"
    assert max(x for x, _ in taken) == 23


def test_the_compose_file():
    command = ["docker", "compose", "--project-directory", EXAMPLE, "config", "--format", "json"]
    services = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["services"]

    assert services["app"]["image"] == IMAGE
    assert [port["target"] for port in services["app"]["ports"]] == [8000], "the metrics are not published"
    for name in ("prometheus", "grafana"):
        assert {port["host_ip"] for port in services[name]["ports"]} == {"127.0.0.1"}
    mounts = {
        volume["source"]: volume["target"] for volume in services["grafana"]["volumes"] if volume["type"] == "bind"
    }
    for source in mounts:
        assert Path(source).is_dir()
    provider = yaml.safe_load((EXAMPLE / "grafana/provisioning/dashboards/paddock.yaml").read_text())["providers"][0]
    assert provider["options"]["path"] in mounts.values()
    scrape = yaml.safe_load((EXAMPLE / "prometheus.yaml").read_text())["scrape_configs"][0]["dns_sd_configs"][0]
    assert scrape["names"] == ["app"]
    assert services["app"]["environment"]["METRICS_BIND"] == f"0.0.0.0:{scrape['port']}"
