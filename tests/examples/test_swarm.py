"""The Swarm example: what the engine makes of it, and what happens to requests in a rolling update.

The kernel of the machine may be without IPVS: no ingress mesh, no virtual addresses.
"""

from __future__ import annotations

import json
import subprocess

import pytest

from conftest import wait_until
from stack import KEY, Stack, ending

# An engine is in one swarm at most.
pytestmark = pytest.mark.xdist_group("swarm")

LOOPBACK = "127.0.0.1"

DEPLOY = "docker stack deploy --detach=false --compose-file stack.yaml shop"
STATE = "docker service inspect --format '{{.UpdateStatus.State}}' shop_app"


class Swarm(Stack):
    """The example, as a stack of this engine's swarm."""

    label = "com.docker.stack.namespace={name} com.docker.swarm.service.name={name}_{service}"

    def adapt(self, command: str) -> str:
        # The image is in no registry.
        return command.replace(" shop", f" {self.name}").replace("stack deploy", "stack deploy --resolve-image never")


@pytest.fixture(scope="module")
def swarm(engine):
    """The engine's swarm, which is left as it is, or one that is made for these tests."""
    state = engine.info()["Swarm"]
    if state["NodeAddr"] == LOOPBACK:
        # Of an earlier run that was interrupted: nobody else's could be reached there.
        engine.swarm.leave(force=True)
    elif state["LocalNodeState"] != "inactive":
        yield
        return
    bridges = engine.networks.list(names=["docker_gwbridge"])
    engine.swarm.init(advertise_addr=LOOPBACK, listen_addr=f"{LOOPBACK}:2377")
    try:
        yield
    finally:
        engine.swarm.leave(force=True)
        if not bridges:
            engine.networks.get("docker_gwbridge").remove()


@pytest.fixture(scope="module")
def shop(engine, tools, swarm, tmp_path_factory):
    stack = Swarm(engine, tools, tmp_path_factory.mktemp("swarm"), "swarm", "stack.yaml")
    try:
        stack.run("echo 'open sesame' > api_key")
        stack.run(DEPLOY)
        yield stack
    finally:
        remove(stack, check=False)
        label = f"com.docker.stack.namespace={stack.name}"
        wait_until(
            lambda: not engine.containers.list(all=True, filters={"label": label}, ignore_removed=True),
            "the end of the stack",
        )
        stack.close()


def remove(stack, check=True):
    subprocess.run(["docker", "stack", "rm", stack.name], check=check)


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
        assert (host["NanoCpus"], host["Memory"], host["PidsLimit"]) == (cpus * 10**9, mib * 2**20, pids)
        assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
        assert container.health() == "healthy"


def test_the_secret_opens_the_items(shop):
    assert shop.get("/items").status_code == 401
    assert shop.get("/items", headers={"X-API-Key": KEY}).status_code == 200
    for container in shop.containers("app"):
        assert KEY not in str(container.raw.attrs)


def test_the_limits_set_the_workers(shop):
    for container in shop.containers("app"):
        container.wait_for_log("WORKERS=auto: 2 workers, set by the CPU quota: CPU quota 1.5 .*limit 512 MiB allows 3")


def test_there_is_time_to_stop(shop, engine):
    period = engine.services.get(f"{shop.name}_app").attrs["Spec"]["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"]
    for container in shop.containers("app"):
        settings = {row["name"]: row["value"] for row in json.loads(container.run("paddock", "config", "--json"))}
        assert 0 < settings["DRAIN_DELAY"] < settings["GRACEFUL_TIMEOUT"] < period / 10**9


def test_the_application_sees_its_client(shop, engine):
    """Not the proxy, and not whom the client says it is."""
    pretended = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
    answer = shop.get("/items/", headers=pretended)
    [bridge] = engine.networks.get("docker_gwbridge").attrs["IPAM"]["Config"]

    assert answer.headers["Location"] == f"http://127.0.0.1:{shop.port}/items"
    assert shop.logged("GET /items/ ").startswith(f"{bridge['Gateway']} ")


def test_a_rolling_update_loses_no_request(shop):
    old = shop.containers("app")
    shop.release("2", SHOP_NAME="Second Shop")
    with shop.readers() as load, ending(old) as statuses:
        load.wait_more(200)
        shop.run(DEPLOY)
        load.wait_more(200)

    assert load.report.lost == 0, f"\n{load.report}"
    assert statuses == [0, 0]
    assert shop.run(STATE) == "completed\n"
    assert len(shop.containers("app")) == 2
    assert {shop.get("/").json()["message"] for _ in range(4)} == {"Welcome to the Second Shop"}


def test_an_update_that_fails_is_taken_back(shop):
    old = {each.raw.id for each in shop.containers("app")}
    shop.release("3", REQUIRED_FILES="/missing")
    with shop.readers() as load:
        load.wait_more(200)
        shop.run(DEPLOY)
        load.wait_more(200)

    assert load.report.lost == 0, f"\n{load.report}"
    assert shop.run(STATE) == "rollback_completed\n"
    assert {each.raw.id for each in shop.containers("app")} == old


def test_it_stops_cleanly(shop):
    """The last test: nothing runs after it."""
    containers = shop.containers("app") + shop.containers("proxy")
    with ending(containers) as statuses:
        remove(shop)

    # What is not in time is killed, and has another status.
    assert statuses == [0, 0, 0]
