"""The Compose example: what it says, what the engine makes of it, and what happens to requests in an update."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import wait_until
from stack import EXAMPLES, KEY, PROXY, SHOP, Stack, ending

# One at a time: the subnet is fixed.
pytestmark = pytest.mark.xdist_group("compose")

START = "docker compose up --detach --wait"
ADD = "docker compose up --detach --wait --no-recreate --scale app=4"
DROP_NEW = "docker compose up --detach --wait --no-recreate"
DROP_OLD = START


class Compose(Stack):
    """The example, as Compose runs it."""

    label = "com.docker.compose.project={name} com.docker.compose.service={service}"

    @contextmanager
    def running(self) -> Iterator[Compose]:
        """Start it as its README says, and take it down at the end."""
        self.environment["COMPOSE_PROJECT_NAME"] = self.name
        try:
            self.run("echo 'open sesame' > api_key")
            self.run(START)
            yield self
        finally:
            subprocess.run(["docker", "compose", "--project-name", self.name, "down"], check=True)
            self.close()


@pytest.fixture(scope="module")
def shop(engine, tools, tmp_path_factory):
    with Compose(engine, tools, tmp_path_factory.mktemp("compose"), "compose", "compose.yaml").running() as stack:
        yield stack


def test_its_files_lead_somewhere():
    command = ["docker", "compose", "--project-directory", EXAMPLES / "compose", "config", "--format", "json"]
    services = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["services"]

    assert services["app"]["image"] == SHOP
    assert Path(services["app"]["build"]["context"], "Dockerfile").exists()
    assert services["proxy"]["image"] == PROXY
    assert [port["published"] for port in services["proxy"]["ports"]] == ["8080"]


@pytest.mark.parametrize(
    ("service", "replicas", "cpus", "mib", "pids"), [("app", 2, 1.5, 512, 200), ("proxy", 1, 1, 256, 50)]
)
def test_its_containers_are_locked_up_and_limited(shop, service, replicas, cpus, mib, pids):
    containers = shop.containers(service)

    assert len(containers) == replicas
    for container in containers:
        host = container.raw.attrs["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert (host["NanoCpus"], host["Memory"], host["PidsLimit"]) == (cpus * 10**9, mib * 2**20, pids)
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
        assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
        assert container.health() == "healthy"


def test_only_the_proxy_can_be_reached(shop):
    assert not any(container.raw.ports["8000/tcp"] for container in shop.containers("app"))
    assert shop.get("/").json()["message"] == "Welcome to the Paddock Shop"
    assert shop.get("/items").status_code == 401
    assert shop.get("/items", headers={"X-API-Key": KEY}).status_code == 200


def test_the_limits_set_the_workers(shop):
    for container in shop.containers("app"):
        wait_until(lambda container=container: container.workers() == 2, "two workers")
        container.wait_for_log("WORKERS=auto: 2 workers, set by the CPU quota: CPU quota 1.5 .*limit 512 MiB allows 3")


def test_there_is_time_to_stop(shop):
    for container in shop.containers("app"):
        settings = {row["name"]: row["value"] for row in json.loads(container.run("paddock", "config", "--json"))}
        assert 0 < settings["DRAIN_DELAY"] < settings["GRACEFUL_TIMEOUT"] < container.raw.attrs["Config"]["StopTimeout"]


def test_the_application_sees_its_client(shop):
    """Not the proxy, and not whom the client says it is."""
    pretended = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
    answer = shop.get("/items/", headers=pretended)
    [proxy] = shop.containers("proxy")
    [network] = proxy.raw.attrs["NetworkSettings"]["Networks"].values()

    assert answer.headers["Location"] == f"http://127.0.0.1:{shop.port}/items"
    assert shop.logged("GET /items/ ").startswith(f"{network['Gateway']} ")


def test_an_update_loses_no_request(shop):
    old = shop.containers("app")
    with shop.readers() as load:
        load.wait_more(200)
        shop.release("1", SHOP_NAME="Second Shop")
        shop.run(ADD)
        with ending(old) as statuses:
            shop.run(DROP_OLD)
        load.wait_more(200)

    assert load.report.lost == 0, f"\n{load.report}"
    assert statuses == [0, 0]
    new = shop.containers("app")
    assert len(new) == 2
    assert not {each.raw.id for each in new} & {each.raw.id for each in old}
    assert {shop.get("/").json()["message"] for _ in range(4)} == {"Welcome to the Second Shop"}


def test_an_update_that_fails_loses_no_request(shop):
    old = {each.raw.id for each in shop.containers("app")}
    with shop.readers() as load:
        load.wait_more(200)
        shop.release("1", REQUIRED_FILES="/missing")
        assert "is unhealthy" in shop.run(ADD, status=1)
        shop.run(DROP_NEW)
        load.wait_more(200)

    assert load.report.lost == 0, f"\n{load.report}"
    assert {each.raw.id for each in shop.containers("app")} == old


def test_it_stops_cleanly(shop):
    """The last test: nothing runs after it."""
    apps, [proxy] = shop.containers("app"), shop.containers("proxy")
    subprocess.run(["docker", "compose", "--project-name", shop.name, "stop"], check=True)

    # What is not in time is killed, and has another status.
    assert [each.wait_exit() for each in [*apps, proxy]] == [0, 0, 0]
    for each in apps:
        each.assert_silent()
        assert each.logs().count("closed") == 2
