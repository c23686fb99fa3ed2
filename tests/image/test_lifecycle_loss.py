"""Nothing lost: what clients that keep count see while workers and containers come and go.

Each scenario runs for ASGI and for WSGI with at least 1,500 requests, and in `./dev test soak` with 10,000; two thirds
of the clients are on keep-alive connections, and one third makes a connection for each request. What counts as lost is
defined in `load.py`.
"""

import os
import subprocess
from uuid import uuid4

import pytest

from conftest import wait_until
from load import Load
from wire import asking, connect, received

LEAST = int(os.environ.get("LOSS_REQUESTS", "1500"))
"""Requests of a case."""

APPS = pytest.mark.parametrize("app", ["echo_asgi.py", "echo_wsgi.py"])

CONFIGURATION = """
global
    stats socket ipv4@0.0.0.0:9999 level admin

defaults
    mode http
    # What a server loses is not to be mended by the balancer.
    retries 0
    timeout connect 20s
    timeout client 70s
    timeout server 30s
    timeout check 20s

frontend web
    bind :8080
    default_backend app

backend app
    option httpchk GET /ready
    http-check expect status 200
    # A check has as long to connect as `inter`, and a machine may be busy with something else.
    default-server check inter 100ms fall 5 rise 1
    server one 127.0.0.1:1 disabled
    server two 127.0.0.1:1 disabled
    server three 127.0.0.1:1 disabled
    server four 127.0.0.1:1 disabled
"""


def assert_nothing_lost(report):
    assert report.lost == 0, f"\n{report}"
    assert report.total >= LEAST


def replaced(container, old, workers):
    """Whether none of the `old` children is left, and the others are as many as the workers should be."""
    children = container.children()
    return not children & old and len(children) == workers


@pytest.mark.smoke
@APPS
def test_reload(start, app):
    container = start(app, environment={"WORKERS": "2"}).wait_ready()
    with Load(container.address, least=LEAST) as load:
        for _ in range(4):
            old = container.children()
            container.signal("HUP")
            wait_until(lambda old=old: replaced(container, old, 2), "new workers in the place of the old")
            load.wait_more(200)

    assert_nothing_lost(load.report)
    assert len(load.report.pids) >= 8


@APPS
def test_reload_of_a_slow_application(start, app):
    """The old workers serve until the new ones do, however long the import takes."""
    container = start(app, environment={"WORKERS": "2"}).wait_ready()
    wait_until(lambda: len(container.children()) == 2, "two workers")
    container.run("touch", "/tmp/hold-imports")
    with Load(container.address, least=LEAST) as load:
        old = container.children()
        container.signal("HUP")
        container.wait_for_log("the import is held")
        load.wait_more(LEAST // 2)
        assert old <= container.children()
        container.run("rm", "/tmp/hold-imports")
        wait_until(lambda: replaced(container, old, 2), "new workers in the place of the old")
        load.wait_more(200)

    assert_nothing_lost(load.report)


@APPS
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_workers_follow_the_limits(start, app):
    """As a pod is resized in place."""
    container = start(app, nano_cpus=1_000_000_000).wait_ready()
    with Load(container.address, least=LEAST) as load:
        for cpus, workers in (("2", 2), ("1", 1)):
            subprocess.run(["docker", "update", "--cpus", cpus, container.raw.id], check=True)
            container.wait_for_log(rf"limits have changed\. WORKERS=auto: {workers} workers?, set by the CPU quota")
            wait_until(lambda workers=workers: container.workers() == workers, f"{workers} workers")
            load.wait_more(200)

    assert_nothing_lost(load.report)


@APPS
def test_max_requests(start, app):
    container = start(app, environment={"WORKERS": "2", "MAX_REQUESTS": "300", "MAX_REQUESTS_JITTER": "100"})
    container.wait_ready()
    with Load(container.address, least=LEAST) as load:
        # Workers are replaced one at a time, so however fast the clients are, there is a next one only when one serves.
        load.wait_for(lambda report: len(report.pids) >= 8)

    assert_nothing_lost(load.report)
    assert "MAX_REQUESTS" in container.logs()


@APPS
@pytest.mark.parametrize(("most", "limit"), [("96MiB", None), ("auto", "320m")])
def test_max_worker_memory(start, app, most, limit):
    """Also of the container's limit, which no leak reaches."""
    environment = {"WORKERS": "2", "MAX_WORKER_MEMORY": most}
    container = start(app, environment=environment, mem_limit=limit).wait_ready()
    old = container.children()
    with Load(container.address, least=LEAST, paths=("/echo", "/echo", "/post", "/leak")) as load:
        wait_until(lambda: not container.children() & old, "new workers in the place of those that grew")
        load.wait_for(lambda report: len(report.pids) >= 4)

    assert_nothing_lost(load.report)
    assert "MAX_WORKER_MEMORY" in container.logs()


@APPS
def test_more_and_fewer_workers(start, app):
    container = start(app, environment={"WORKERS": "2"}).wait_ready()
    wait_until(lambda: len(container.children()) == 2, "two workers")
    with Load(container.address, least=LEAST) as load:
        for signal, workers in [("TTIN", 3), ("TTIN", 4), ("TTOU", 3), ("TTOU", 2), ("TTOU", 1), ("TTIN", 2)]:
            container.signal(signal)
            wait_until(lambda workers=workers: len(container.children()) == workers, f"{workers} workers")
            load.wait_more(200)

    assert_nothing_lost(load.report)


@APPS
def test_clients_that_pause(start, app):
    """Connections that are idle when their worker goes are told, or closed before a request is sent on them."""
    container = start(app, environment={"WORKERS": "2"}).wait_ready()
    with Load(container.address, keep_alive=32, single=0, least=LEAST, pause=0.2) as load:
        for _ in range(3):
            old = container.children()
            container.signal("HUP")
            wait_until(lambda old=old: replaced(container, old, 2), "new workers in the place of the old")

    assert_nothing_lost(load.report)


# --- A worker that dies ---


@pytest.mark.smoke
@APPS
@pytest.mark.parametrize("how", ["kill", "segfault"])
def test_only_the_dead_workers_requests_are_lost(start, app, how):
    container = start(app, environment={"WORKERS": "2"}, allow=("SIGKILL|SIGSEGV|Fatal Python error|Segmentation",))
    container.wait_ready()
    wait_until(lambda: len(container.children()) == 2, "two workers")
    for _ in range(10):
        container.get("/echo")
    with Load(container.address, least=LEAST) as load:
        load.wait_for(lambda report: len(report.pids) == 2)
        old = load.report.pids
        with asking(container.address, f"/crash/{how}") as client:
            assert not received(client)
        load.wait_for(lambda report: report.pids - old)

    report = load.report
    dead = {loss.pid for loss in report.losses} - {0}
    assert len(dead) <= 1, f"\n{report}"
    # Each client has one request in flight at most, and new connections may wait in the dead worker's hands.
    assert report.lost <= load.keep_alive + load.single, f"\n{report}"


# --- Behind a balancer ---


class Balancer:
    """HAProxy, told by the test where the replicas are, and by their READY_PATH whether they serve."""

    def __init__(self, container):
        self.container = container
        self.free = ["one", "two", "three", "four"]

    def command(self, text):
        with connect(self.container.address, 9999) as client:
            client.sendall(text.encode() + b"\n")
            return received(client).decode()

    def add(self, replica):
        """Let a replica take part, and return when the balancer has found it ready."""
        name = self.free.pop(0)
        self.command(f"set server app/{name} addr {replica.address} port 8000")
        self.command(f"set server app/{name} state ready")
        wait_until(lambda: self.status(name) == "UP", f"{name} to be up")
        return name

    def status(self, name):
        rows = [row.split(",") for row in self.command("show stat").splitlines()]
        return next(row[17] for row in rows if row[:2] == ["app", name])


@pytest.fixture(scope="module")
def network(engine):
    """A network of their own: the next container on a shared one gets the address of a replica that has gone."""
    network = engine.networks.create(f"paddock-test-{uuid4()}")
    yield network.name
    network.remove()


@pytest.fixture
def balancer(network, start, tools, mount):
    container = start(
        image=f"{tools}:haproxy",
        network=network,
        command=["haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg"],
        volumes=mount("/etc/haproxy/haproxy.cfg", CONFIGURATION),
        allow=("",),
    )
    balancer = Balancer(container)

    def answers():
        try:
            return balancer.command("show info")
        except OSError:
            return False

    wait_until(answers, "HAProxy")
    return balancer


@pytest.fixture
def replica(network, start):
    def run(app):
        environment = {"WORKERS": "1", "READY_PATH": "/ready", "DRAIN_DELAY": "4", "GRACEFUL_TIMEOUT": "60"}
        return start(app, environment=environment, network=network).wait_ready()

    return run


@APPS
def test_stop_of_one_of_two_behind_a_balancer(balancer, replica, app):
    replicas = [replica(app), replica(app)]
    names = [balancer.add(each) for each in replicas]
    with Load(balancer.container.address, 8080, least=LEAST) as load:
        load.wait_more(500)
        assert replicas[0].stop() == 0
        assert balancer.status(names[0]) == "DOWN"
        load.wait_more(500)

    assert_nothing_lost(load.report)


@pytest.mark.smoke
@APPS
def test_rolling_update(balancer, replica, app):
    """Two replicas, replaced one after the other: the new one is added, then the old one stopped."""
    replicas = [replica(app), replica(app)]
    for each in replicas:
        balancer.add(each)
    with Load(balancer.container.address, 8080, least=LEAST) as load:
        for each in replicas:
            balancer.add(replica(app))
            assert each.stop() == 0
            load.wait_more(500)

    assert_nothing_lost(load.report)
