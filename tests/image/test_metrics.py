"""METRICS_BIND: figures that equal what clients have counted, whatever becomes of workers and of the exporter."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain

import httpx
import pytest

from conftest import APPS, wait_until
from load import Load
from scrape import REQUESTS, RESTARTS, Page

BOTH = pytest.mark.parametrize("app", ["echo_asgi.py", "echo_wsgi.py"])

ENVIRONMENT = {"METRICS_BIND": "0.0.0.0:9090", "WORKERS": "2"}

DURATION = "paddock_http_request_duration_seconds"

KILLED = (r"Worker \d+ was (ended|killed) by SIGKILL", r"The metrics exporter was ended by SIGKILL")


@dataclass
class Counted(Load):
    """Clients of one path that count the bytes, too."""

    sizes: Counter[str] = field(default_factory=Counter)

    async def ask(self, connection, number, keep):
        answer = await super().ask(connection, number, keep)
        self.sizes["sent"] += len(answer.body)
        if self.paths == ("/post",):
            self.sizes["received"] += len(answer.body)
        return answer


class Watch(threading.Thread):
    """Scrapes all the time, and notes what has gone back."""

    def __init__(self, container):
        super().__init__(daemon=True)
        self.container = container
        self.over = threading.Event()
        self.steps = 0
        self.back = []

    def run(self):
        before = {}
        while not self.over.is_set():
            with suppress(httpx.TransportError):
                now = Page.of(self.container).counters
                self.back += [
                    (name, value, now.get(name)) for name, value in before.items() if now.get(name, 0) < value
                ]
                before = now
                self.steps += 1


@contextmanager
def watching(container):
    """Scrape all the time; nothing may go back."""
    watch = Watch(container)
    watch.start()
    try:
        yield watch
    finally:
        watch.over.set()
        watch.join(60)
    assert watch.steps > 0
    assert watch.back == []


def process_ids(container):
    """The pids, inside the container, of the workers and of the exporter, which stands back behind them."""
    script = "for pid in $(cat /proc/1/task/1/children); do cat /proc/$pid/stat; done; true"
    rows = [row.split() for row in container.run("sh", "-c", script).splitlines() if "No such" not in row]
    nice = {row[0]: row[18] for row in rows}
    return [pid for pid in nice if nice[pid] == "0"], [pid for pid in nice if nice[pid] == "10"]


def serving(container):
    """How many workers serve, by the page."""
    return Page.of(container).sum("paddock_workers", state="serving")


@pytest.mark.smoke
@BOTH
def test_exact_while_workers_come_and_go(start, app):
    """Recycled, reloaded, added, taken away, killed: nothing is counted twice, and nothing is forgotten."""
    environment = ENVIRONMENT | {"MAX_REQUESTS": "700"}
    container = start(app, environment=environment, allow=KILLED).wait_ready()
    clients = [
        Counted(container.address, least=2000, paths=(path,), keep_alive=3, single=2)
        for path in ("/echo", "/post", "/stream")
    ]
    killed = 0

    with watching(container):
        for _ in range(2):
            for load in clients:
                load.start()
            for name in ("TTIN", "TTIN", "HUP", "TTOU", "TTOU", "HUP"):
                container.signal(name)
                clients[0].wait_more(100)
            reports = [load.finish() for load in clients]
            assert sum(report.lost for report in reports) == 0, reports
            wait_until(lambda: serving(container) == 2 == len(process_ids(container)[0]), "two workers")
            # With nothing in flight: what is lost with a worker nobody could count.
            workers, exporters = process_ids(container)
            killed += len(workers)
            for pid in chain(workers, exporters):
                # One that is being replaced may have gone meanwhile.
                container.attempt("sh", "-c", f"kill -9 {pid}")
            wait_until(lambda: serving(container) == 2, "new workers")
            done = [(load.report, load.sizes) for load in clients]
            clients = [
                Counted(container.address, least=1000, paths=load.paths, report=report, sizes=sizes)
                for load, (report, sizes) in zip(clients, done, strict=True)
            ]
            for load in clients:
                load.numbers = iter(range(load.report.total, load.most))
                load.least += load.report.total

    page = Page.of(container)
    totals = {load.paths[0]: load.report.counts["ok"] for load in clients}
    sizes = sum((load.sizes for load in clients), Counter())
    assert page.by(REQUESTS, "method") == {"GET": totals["/echo"] + totals["/stream"], "POST": totals["/post"]}
    assert page.by(REQUESTS, "status") == {"2xx": sum(totals.values())}
    assert page.sum(f"{DURATION}_count") == page.sum(f"{DURATION}_bucket", le="+Inf") == sum(totals.values())
    assert page.sum("paddock_http_response_body_bytes_total") == sizes["sent"]
    assert page.sum("paddock_http_request_body_bytes_total") == sizes["received"]
    assert page.sum("paddock_http_requests_in_flight") == 0
    restarts = page.by(RESTARTS, "reason")
    assert set(restarts) == {"signal", "recycled", "reload"}
    assert restarts["signal"] <= killed
    assert restarts["recycled"] + restarts["reload"] >= 8
    assert page.sum("paddock_workers_wanted") == 2
    assert len(page.by("paddock_worker_resident_memory_bytes", "worker")) == 2


def test_killed_in_the_middle(start):
    """What a killed worker had in flight is in flight no more, and was never answered."""
    container = start("echo_asgi.py", environment=ENVIRONMENT, allow=KILLED).wait_ready()
    wait_until(lambda: serving(container) == 2, "two workers")
    with socket.create_connection((container.address, 8000)) as client:
        client.sendall(b"GET /slow?seconds=60 HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: Page.of(container).sum("paddock_http_requests_in_flight") == 1, "the request")
        for pid in process_ids(container)[0]:
            container.run("sh", "-c", f"kill -9 {pid}")
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""

    wait_until(lambda: serving(container) == 2, "new workers")
    page = Page.of(container)
    assert page.sum("paddock_http_requests_in_flight") == 0
    assert page.sum(REQUESTS) == 0
    assert page.by(RESTARTS, "reason") == {"signal": 2}


def test_killed_under_load(start):
    """What a client has is counted, at whichever moment its worker was killed."""
    container = start("echo_asgi.py", environment=ENVIRONMENT, allow=KILLED).wait_ready()
    load = Counted(container.address, least=2000, paths=("/echo",), keep_alive=3, single=2)
    load.start()
    for _ in range(6):
        load.wait_more(200)
        for pid in process_ids(container)[0]:
            container.attempt("sh", "-c", f"kill -9 {pid}")
        wait_until(lambda: serving(container) == 2, "new workers")
    report = load.finish()

    assert report.counts["ok"] <= Page.of(container).sum(REQUESTS) <= report.total
    assert report.lost > 0


@pytest.mark.parametrize("app", ["faults_asgi.py", "faults_wsgi.py"])
def test_a_worker_that_hangs(start, app):
    environment = ENVIRONMENT | {"WORKERS": "1", "TIMEOUT": "3", "GRACEFUL_TIMEOUT": "4"}
    allow = (r"\[CRITICAL\]", r"\[ERROR\].*Worker \d+", "Traceback", "Connections were cut off")
    container = start(app, environment=environment, allow=allow).wait_ready()
    with socket.create_connection((container.address, 8000)) as client:
        path = b"/block" if app == "faults_asgi.py" else b"/stuck"
        client.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
        wait_until(lambda: Page.of(container).by(RESTARTS, "reason") == {"timeout": 1}, "the restart")

    wait_until(lambda: serving(container) == 1, "a new worker")


@BOTH
def test_a_worker_that_grows(start, app):
    environment = ENVIRONMENT | {"WORKERS": "1", "MAX_WORKER_MEMORY": "64MiB"}
    container = start(app, environment=environment).wait_ready()
    for _ in range(200):
        container.get("/leak")

    wait_until(lambda: Page.of(container).sum(RESTARTS, reason="memory") >= 1, "the restart")
    assert set(Page.of(container).by(RESTARTS, "reason")) == {"memory"}


@BOTH
def test_statuses_of_requests_that_the_server_refuses(start, app):
    container = start(app, environment=ENVIRONMENT, allow=("Invalid (HTTP )?request", "sent body bytes")).wait_ready()
    for request in (
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"PROPFIND /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"HEAD /echo?size=100 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ):
        with socket.create_connection((container.address, 8000), timeout=60) as client:
            client.sendall(request)
            while client.recv(65536):
                pass

    page = Page.of(container)
    assert page.by(REQUESTS, "status") == {"2xx": 2, "4xx": 2}
    assert page.by(REQUESTS, "method", status="2xx") == {"other": 1, "HEAD": 1}
    assert page.sum("paddock_http_requests_in_flight") == 0


# --- The exporter ---


def test_it_comes_back(start):
    container = start("echo_asgi.py", environment=ENVIRONMENT, allow=KILLED).wait_ready()
    container.get("/echo")
    for _ in range(2):
        workers, (exporter,) = process_ids(container)
        container.run("sh", "-c", f"kill -9 {exporter}")

        # The kernel keeps what comes meanwhile.
        assert Page.of(container).sum(REQUESTS) == 1

        assert process_ids(container)[0] == workers, "no worker was touched"
    assert (
        len(re.findall(r"\[ERROR\] \[1\] gunicorn: The metrics exporter was ended by SIGKILL", container.logs())) == 2
    )


def test_it_stops_with_the_server(start):
    container = start("echo_asgi.py", environment=ENVIRONMENT, init=True).wait_ready()
    assert Page.of(container).samples

    assert container.stop() == 0
    assert "Traceback" not in container.logs()


def test_it_serves_while_the_server_drains(start):
    environment = ENVIRONMENT | {"GRACEFUL_TIMEOUT": "20"}
    container = start("echo_asgi.py", environment=environment).wait_ready()
    wait_until(lambda: serving(container) == 2, "two workers")
    with socket.create_connection((container.address, 8000)) as client:
        client.sendall(b"GET /slow?seconds=5 HTTP/1.1\r\nHost: x\r\n\r\n")
        container.wait_for_log("slow begins")
        container.signal("TERM")
        wait_until(lambda: Page.of(container).sum("paddock_workers", state="stopping") >= 1, "stopping workers")

    assert container.wait_exit() == 0


def test_it_is_no_worker_and_no_zombie(start):
    container = start("echo_asgi.py", environment=ENVIRONMENT | {"WORKERS": "1"}, allow=KILLED).wait_ready()
    for _ in range(3):
        workers, exporters = wait_until(
            lambda: (found := process_ids(container)) and len(found[1]) == 1 and found, "the exporter"
        )
        assert len(workers) == 1
        container.run("sh", "-c", f"kill -9 {exporters[0]}")
        wait_until(lambda gone=exporters: process_ids(container)[1] != gone, "its end")
    assert "Z" not in [row.split()[2] for row in container.run("sh", "-c", "cat /proc/[0-9]*/stat").splitlines()]


def test_nothing_of_it_without_the_setting(start):
    container = start("echo_asgi.py", environment={"WORKERS": "1"}).wait_ready()

    assert len(container.children()) == 1
    with pytest.raises(httpx.ConnectError):
        container.get("/metrics", 9090)
    assert container.get("/metrics").headers["x-number"] == "0", "the application has its own paths"


def test_never_on_the_applications_port(start):
    container = start("echo_asgi.py", environment=ENVIRONMENT).wait_ready()

    assert container.get("/metrics").headers["x-number"] == "0"
    assert container.get("/echo", 9090).status_code == 404


@BOTH
def test_openmetrics(start, app):
    container = start(app, environment=ENVIRONMENT).wait_ready()

    answer = container.get("/metrics", 9090, headers={"Accept": "application/openmetrics-text;version=1.0.0"})

    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("# EOF\n")


def test_a_read_only_container_of_somebody(start):
    container = start(
        "echo_asgi.py",
        environment=ENVIRONMENT,
        read_only=True,
        user="54321:54321",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
    ).wait_ready()

    assert Page.of(container).sum("paddock_workers_wanted") == 2


def test_its_lines_have_the_images_format(start):
    container = start("echo_asgi.py", environment=ENVIRONMENT | {"LOG_FORMAT": "json"}, allow=("",))
    container.wait_for_log('"Ready"')
    _, (exporter,) = process_ids(container)
    container.run("sh", "-c", f"kill -9 {exporter}")
    container.wait_for_log("The metrics exporter")
    container.stop()

    lines = [json.loads(line) for line in container.logs(stdout=False).splitlines()]
    messages = {line["message"]: line["level"] for line in lines}
    assert messages["Metrics at: http://0.0.0.0:9090/metrics"] == "info"
    assert messages["The metrics exporter was ended by SIGKILL; it is started again"] == "error"


def test_settings_without_secrets(start):
    environment = ENVIRONMENT | {"TIMEOUT": "17", "KEYFILE_PASSWORD": "s3cret", "GUNICORN_RAW_ENV": "A=s3cret"}
    container = start("echo_asgi.py", environment=environment).wait_ready()

    ((_, labels, _),) = [s for s in Page.of(container).samples if s[0] == "paddock_config_info"]

    assert labels["timeout"] == "17"
    assert labels["workers"] == "2"
    assert labels["worker_class"] == "auto"
    assert "s3cret" not in container.get("/metrics", 9090).text


def test_a_reload_with_another_address(start, folder):
    folder.write("main.py", (APPS / "echo_asgi.py").read_text())
    folder.write("gunicorn_conf.py", "metrics_bind = '0.0.0.0:9090'; workers = 1")
    volumes = {str(folder.path): {"bind": "/app", "mode": "rw"}}
    container = start(volumes=volumes, allow=("METRICS_BIND=", "The reload is refused")).wait_ready()
    container.get("/echo")
    assert Page.of(container).sum(REQUESTS) == 1

    folder.write("gunicorn_conf.py", "metrics_bind = '0.0.0.0:9091'; workers = 2")
    container.signal("HUP")
    wait_until(lambda: re.search(r"Metrics at: http://0\.0\.0\.0:9091/metrics", container.logs()), "the new address")
    wait_until(lambda: Page.of(container, 9091).sum("paddock_workers", state="serving") == 2, "two workers")
    page = Page.of(container, 9091)
    assert page.sum(REQUESTS) == 1
    assert page.sum("paddock_config_info", workers="2") == 1

    folder.write("gunicorn_conf.py", "metrics_bind = '192.0.2.1:9090'")
    container.signal("HUP")
    container.wait_for_log(r"METRICS_BIND='192\.0\.2\.1:9090': cannot be bound")
    assert Page.of(container, 9091).sum("paddock_config_info", workers="2") == 1


# --- What is wrong ---


@pytest.mark.parametrize(
    ("environment", "error"),
    [
        (
            {"METRICS_BIND": "9090"},
            "METRICS_BIND='9090': expected host:port, [IPv6]:port or unix:/path",
        ),
        ({"METRICS_BIND": "fd://3"}, "METRICS_BIND='fd://3': expected host:port, [IPv6]:port or unix:/path"),
        ({"METRICS_BIND": "0.0.0.0:99999"}, "METRICS_BIND='0.0.0.0:99999': expected host:port, "),
        (
            {"METRICS_BIND": "0.0.0.0:8000"},
            "METRICS_BIND='0.0.0.0:8000': is where the application listens (BIND=0.0.0.0:8000): expected a port of its"
            " own",
        ),
        (
            {"METRICS_BIND": "127.0.0.1:80", "BIND": "[::]:80,0.0.0.0:81"},
            "METRICS_BIND='127.0.0.1:80': is where the application listens (BIND=[::]:80)",
        ),
        (
            {"METRICS_BIND": "unix:/tmp/s", "BIND": "unix:/tmp/s"},
            "METRICS_BIND='unix:/tmp/s': is where the application listens",
        ),
        (
            {"METRICS_BIND": "192.0.2.1:9090"},
            "METRICS_BIND='192.0.2.1:9090': cannot be bound: Cannot assign requested address",
        ),
        (
            {"METRICS_BIND": "0.0.0.0:9090", "WORKER_CLASS": "gunicorn.workers.sync.SyncWorker", "APP_TYPE": "wsgi"},
            "METRICS_BIND: is for the image's own worker classes",
        ),
    ],
)
def test_wrong_values(attempt, environment, error):
    outcome = attempt("echo_asgi.py", environment=environment)

    assert outcome.status == 78
    assert f"paddock: {error}" in outcome.err
    assert "Listening at" not in outcome.err


def test_a_port_that_is_taken(start, finish):
    other = start("echo_asgi.py", environment=ENVIRONMENT).wait_ready()

    outcome = finish(
        "echo_asgi.py",
        environment={"METRICS_BIND": "0.0.0.0:9090", "BIND": "0.0.0.0:8001"},
        network_mode=f"container:{other.raw.id}",
    )

    assert outcome.status == 78
    assert "paddock: METRICS_BIND='0.0.0.0:9090': cannot be bound: Address already in use" in outcome.err
    assert "Listening at" not in outcome.err
    assert "Traceback" not in outcome.err


def test_busy_threads(start):
    container = start("echo_wsgi.py", environment=ENVIRONMENT | {"WORKERS": "1"}).wait_ready()

    with ThreadPoolExecutor() as threads:
        answers = [threads.submit(container.get, f"/slow?number={number}&seconds=5") for number in range(3)]
        wait_until(lambda: Page.of(container).sum("paddock_threads_busy") == 3, "three threads at work")
        assert [answer.result().status_code for answer in answers] == [200] * 3
    wait_until(lambda: Page.of(container).sum("paddock_threads_busy") == 0, "idle threads")
    assert Page.of(container).sum("paddock_threads") == 4


def test_lag_of_a_blocked_event_loop(start):
    container = start("echo_asgi.py", environment=ENVIRONMENT | {"WORKERS": "1"}).wait_ready()
    assert Page.of(container).sum("paddock_event_loop_lag_seconds") < 1.5

    def blocked():
        container.get("/block?seconds=3")
        return Page.of(container).sum("paddock_event_loop_lag_seconds") > 1.5

    # It is gone with the next look.
    wait_until(blocked, "a loop that was late")
