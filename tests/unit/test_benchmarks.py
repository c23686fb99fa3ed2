"""What the benchmarks make of their measurements: figures, tables, and errors."""

import http.client
import http.server
import json
import os
import threading
import time

import pytest

from benchmarks import cpu, mixed, pages, results
from benchmarks.ratios import COMPARISONS, Comparison, Ratio, spread, table
from benchmarks.servers import APPS, Failed, LineCounter, Load, parse_report

REPORT = {
    "requests": 5000,
    "duration": 2_500_000,
    "p50": 1500,
    "p99": 4250,
    **dict.fromkeys(["connect", "read", "write", "timeout", "status"], 0),
}

RATES = [{"a": 300, "b": 400}, {"a": 160, "b": 200}, {"a": 360, "b": 400}]


def output(**changes):
    """Return what wrk prints, with its own summary first."""
    return f"Running 2s test @ http://127.0.0.1:8000/\n  5000 requests in 2.50s\n\n{json.dumps(REPORT | changes)}\n"


def test_report():
    load = parse_report(output())

    assert (load.requests, load.rate, load.p50, load.p99) == (5000, 2000, 1.5, 4.25)


def test_cpu_time_a_request():
    assert Load(5000, 2.5, p50=1.5, p99=4.25, cpu=0.25).cpu_each == 50


@pytest.mark.parametrize("kind", ["connect", "read", "write", "timeout", "status"])
def test_every_kind_of_error_is_a_failure(kind):
    with pytest.raises(Failed, match=f"5000 requests, and errors: {{'{kind}': 3}}"):
        parse_report(output(**{kind: 3}))


def test_no_requests_are_a_failure():
    with pytest.raises(Failed, match="wrk counted 0 requests"):
        parse_report(output(requests=0))


def test_ratios_are_of_pairs():
    found = spread(RATES, Ratio("a", "b"))

    # Not the ratio of the medians, which is 0.75.
    assert (found.median, found.low, found.high) == (0.8, 0.75, 0.9)


def test_table_of_ratios():
    comparison = Comparison("", lambda image, peers: [], (Ratio("a", "b", goal=0.72), Ratio("b", "a")))

    assert table(comparison, RATES).splitlines() == [
        "| requests/s, median of 3 pairs | ratio | lowest to highest | goal |",
        "|---|---|---|---|",
        "| a / b | 0.80 | 0.75 to 0.90 | 0.72 |",
        "| b / a | 1.25 | 1.11 to 1.33 |  |",
    ]


@pytest.mark.parametrize("comparison", COMPARISONS.values(), ids=COMPARISONS)
def test_ratios_are_of_contenders(comparison):
    names = [contender.name for contender in comparison.contenders("paddock:slim", "peers")]

    assert len(set(names)) == len(names)
    assert {name for ratio in comparison.ratios for name in (ratio.this, ratio.that)} == set(names)


@pytest.mark.parametrize("comparison", cpu.COMPARISONS.values(), ids=cpu.COMPARISONS)
def test_ratios_beside_other_servers_are_of_contenders(comparison):
    contenders = comparison.contenders("paddock:frameworks", "peers")
    names = [contender.name for contender in contenders]

    assert len(set(names)) == len(names)
    assert {name for ratio in comparison.ratios for name in (ratio.this, ratio.that)} <= set(names)
    assert all((APPS / contender.app).exists() for contender in contenders)


@pytest.mark.parametrize("kind", ["ASGI", "WSGI"])
def test_peers_are_measured_with_their_access_log_and_without(kind):
    contenders = {
        contender.name: contender for contender in cpu.COMPARISONS[kind.lower()].contenders("paddock", "peers")
    }

    for peer in cpu.PEERS[kind]:
        assert contenders[peer].logs
        assert not contenders[cpu.off(peer)].logs
        assert contenders[peer].command != contenders[cpu.off(peer)].command


def test_table_of_ratios_beside_other_servers():
    figures = {cpu.OFF: 20, cpu.TEXT: 30, cpu.JSON: 33, cpu.GTHREAD: 60, cpu.off(cpu.GTHREAD): 40}
    figures |= {cpu.GRANIAN: 40, cpu.UVICORN: 100}

    lines = cpu.ratios({name: [figures] for name in cpu.COMPARISONS}).splitlines()

    assert len(lines) == 2 + sum(len(comparison.ratios) for comparison in cpu.COMPARISONS.values())
    assert lines[:3] == [
        "| | to reach | measured | lowest to highest |",
        "|---|---|---|---|",
        "| WSGI, bare: CPU time a request, Paddock / `gunicorn -k gthread` | 0.35 | 0.50 | 0.50 to 0.50 |",
    ]
    assert lines[-1].startswith("| WSGI, 1 of 10 requests sleeps 200 ms: 99th percentile of the others, Paddock / ")


def test_table_of_cpu_time():
    measured = {"wsgi": [{"a": 20.4, "b": 30}, {"a": 22, "b": 31}, {"a": 10, "b": 90}], "flask": [{"a": 100}]}

    assert cpu.times(measured, ["wsgi", "flask"]).splitlines() == [
        "| | WSGI, bare | Flask |",
        "|---|---|---|",
        "| a | 20 µs | 100 µs |",
        "| b | 31 µs |  |",
    ]


@pytest.fixture
def answering(monkeypatch):
    """Answer on a port that stands for 8000: `/slow` after a while, with the handler's `status`."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        status = 200

        def do_GET(self):
            asked.append(self.path)
            if self.path == "/slow":
                time.sleep(0.1)
            self.send_response(Handler.status if self.path == "/slow" else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        connect = http.client.HTTPConnection
        monkeypatch.setattr(
            http.client, "HTTPConnection", lambda host, port, **more: connect(host, server.server_port, **more)
        )
        yield Handler, asked
        server.shutdown()
        thread.join()


def test_quick_requests_are_measured_apart_from_slow_ones(answering):
    _, asked = answering

    times = mixed.quick("127.0.0.1", 0.5, 2)

    assert len(times) == asked.count("/") > 0
    assert asked.count("/slow") == pytest.approx(len(asked) / mixed.SLOW_EACH, abs=2)
    assert asked.count("/slow") > 0


def test_a_slow_request_that_fails_is_a_failure(answering):
    handler, _ = answering
    handler.status = 500

    with pytest.raises(Failed, match="/slow was answered with 500"):
        mixed.quick("127.0.0.1", 0.2, 2)


def test_table_of_memory():
    rows = [
        {"preload": preload, "workers": workers, "idle": 40 + workers * each, "used": 50 + workers * each}
        for preload, each in ((False, 30), (True, 10))
        for workers in (1, 2, 8)
    ]

    assert pages.memory(rows).splitlines() == [
        "| workers | 1 | 2 | 8 | each further one |",
        "| --- | --- | --- | --- | --- |",
        "| as started | 70 MiB | 100 MiB | 280 MiB | 30 MiB |",
        "| after a load | 80 MiB | 110 MiB | 290 MiB | 30 MiB |",
        "| with `PRELOAD_APP=true`, as started | 50 MiB | 60 MiB | 120 MiB | 10 MiB |",
        "| with `PRELOAD_APP=true`, after a load | 60 MiB | 70 MiB | 130 MiB | 10 MiB |",
    ]


def test_table_of_cpus():
    rows = [
        {"cpus": 0.5, "workers": 1, "rate": 60, "p50": 250.4, "p99": 900, "throttled": 0.954},
        {"cpus": 1, "workers": 1, "rate": 120, "p50": 130, "p99": 310, "throttled": 0},
    ]

    assert pages.cpus(rows).splitlines()[2:] == [
        "| 0.5 | 1 | 0.50 | 250 ms | 900 ms | 95% |",
        "| 1 | 1 | 1.00 | 130 ms | 310 ms | 0% |",
    ]


def test_table_of_threads():
    rows = [{"threads": 4, "rate": 79.6, "p50": 400.2}]

    assert pages.threads(rows).splitlines()[2:] == ["| 4 | 80 | 400 ms |"]


def test_results_are_read_as_they_were_written(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    assert not results.has("access-log")
    results.save("access-log", versions={"python": "3.14.0", "uvicorn": "0.54.0"}, rates=RATES)

    found = results.load("access-log")

    assert results.has("access-log")
    assert found["rates"] == RATES
    assert f", {os.cpu_count()} CPUs, " in results.conditions(found)
    assert results.conditions(found).endswith("Python 3.14.0, uvicorn 0.54.0")


def test_versions_of_several_images():
    paddock = {"python": "3.14.0", "uvicorn": "0.54.0"}

    assert results.merged([paddock, paddock | {"uvicorn-worker": "0.4.0"}]) == paddock | {"uvicorn-worker": "0.4.0"}
    with pytest.raises(Failed, match=r"uvicorn is 0\.54\.0 in one image, and 0\.53\.0 in another"):
        results.merged([paddock, {"uvicorn": "0.53.0"}])


def test_what_is_in_the_repository_tells_nothing_of_whose_machine_it_was():
    for file in results.RESULTS.glob("*.json"):
        assert set(json.loads(file.read_text())["machine"]) == {"architecture", "cpus", "kernel"}


def test_lines_are_counted(tmp_path):
    counter = LineCounter(tmp_path / "stdout")
    with (tmp_path / "stdout").open("w") as pipe:
        pipe.write("one\ntwo\n" + "x" * 200_000 + "\nno end")
    counter.close()

    assert counter.lines == 3


def test_a_pipe_that_nobody_wrote_to_is_closed(tmp_path):
    before = threading.active_count()
    counter = LineCounter(tmp_path / "stdout")
    counter.close()

    assert counter.lines == 0
    assert threading.active_count() == before
