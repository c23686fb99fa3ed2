"""Minutes of load and random signals; ends with a table of counts, and with status 1 when a request was lost.

    ./dev test soak [--minutes 3] [--seed 1] [--image paddock:3.14-slim]

For ASGI and WSGI in turn: a container with three workers under load gets HUP, TTIN, TTOU, USR1, and one worker now and
then SIGKILL. What was in flight in a killed worker may be lost, and is counted by itself; nothing else may be.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

import docker

from load import OUTCOMES, Load, Report

APPS = Path(__file__).parent / "image" / "apps"

ENVIRONMENT = {
    "WORKERS": "3",
    "MAX_REQUESTS": "3000",
    "GRACEFUL_TIMEOUT": "8",
    "MAX_WORKER_MEMORY": "256MiB",
    "ACCESS_LOG": "none",
}

SIGNALS = ("HUP", "HUP", "TTIN", "TTOU", "USR1", "USR2", "WINCH")

MOURNING = 1.0
"""Seconds after the death of a worker in which requests count as having been in flight in it."""


def children(container: docker.models.containers.Container) -> list[int]:
    """Return the pids of the workers, as the container sees them."""
    _, output = container.exec_run(["cat", "/proc/1/task/1/children"])
    return [int(pid) for pid in output.split()]


def soak(container: docker.models.containers.Container, seconds: float, source: random.Random) -> tuple[Load, dict]:
    """Load a container while signals arrive; return the load and how many of each were sent."""
    container.reload()
    address = container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    load = Load(address, most=10**9, least=0, seconds=seconds + 30, keep_alive=12, single=6, pause=0.01)
    sent: Counter[str] = Counter()
    deaths: list[float] = []
    extra = 0
    with load:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(source.uniform(0.2, 4))
            container.reload()
            if container.status != "running":
                break
            if source.random() < 0.1 and (workers := children(container)):
                deaths.append(time.monotonic())
                container.exec_run(["sh", "-c", f"kill -9 {source.choice(workers)}"])
                sent["KILL of a worker"] += 1
                continue
            signal = source.choice(SIGNALS)
            # Between one and six workers.
            if (signal, extra) in (("TTIN", 3), ("TTOU", -2)):
                continue
            extra += (signal == "TTIN") - (signal == "TTOU")
            container.kill(signal=signal)
            sent[signal] += 1
    report = load.report
    excused = [loss for loss in report.losses if any(0 <= loss.at - death < MOURNING for death in deaths)]
    report.losses = [loss for loss in report.losses if loss not in excused]
    return load, dict(sent) | {"lost with a killed worker": len(excused)}


def wait_ready(container: docker.models.containers.Container) -> None:
    """Wait for the server, for a minute at most."""
    deadline = time.monotonic() + 60
    while b"gunicorn: Ready" not in container.logs():
        container.reload()
        if container.status not in ("created", "running") or time.monotonic() > deadline:
            sys.exit(f"the container does not come up:\n{container.logs().decode()}")
        time.sleep(0.1)


def table(rows: list[tuple[str, dict[str, object]]]) -> str:
    """Return columns, one for each run, with a line for each thing that was counted."""
    names = list(dict.fromkeys(name for _, counts in rows for name in counts))
    width = max(map(len, names))
    lines = [" " * width + "".join(f"{title:>12}" for title, _ in rows)]
    lines += [f"{name:<{width}}" + "".join(f"{counts.get(name, 0)!s:>12}" for _, counts in rows) for name in names]
    return "\n".join(lines)


def main() -> int:
    """Run both kinds of application; return the exit status."""
    parser = argparse.ArgumentParser("./dev test soak", description=__doc__.splitlines()[0])
    python = os.environ.get("PADDOCK_PYTHON", "3.14")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="what is random, again")
    parser.add_argument("--image", default=f"{os.environ.get('PADDOCK_IMAGE', 'paddock')}:{python}-slim")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.minutes:g} minutes, {options.image}", flush=True)
    source = random.Random(options.seed)
    engine = docker.from_env(timeout=120)
    rows: list[tuple[str, dict[str, object]]] = []
    failed = False
    for app in ("echo_asgi.py", "echo_wsgi.py"):
        volumes = {str(APPS / app): {"bind": "/app/main.py", "mode": "ro"}}
        container = engine.containers.run(options.image, detach=True, volumes=volumes, environment=ENVIRONMENT)
        try:
            wait_ready(container)
            load, sent = soak(container, options.minutes * 30, source)
            container.reload()
            alive = container.status == "running"
            container.stop(timeout=30)
            status = container.wait(timeout=60)["StatusCode"]
            log = container.logs().decode()
        finally:
            container.remove(force=True, v=True)
        report: Report = load.report
        counts: dict[str, object] = {"requests": report.total}
        counts |= {outcome: report.counts[outcome] for outcome in OUTCOMES}
        counts |= {"workers that answered": len(report.pids), "longest gap (s)": f"{report.longest_gap:.2f}"}
        counts |= {"tracebacks in the log": log.count("Traceback")}
        counts |= {"LOST": report.lost, "exit status": status}
        rows.append((app.removesuffix(".py").removeprefix("echo_"), {**sent, **counts}))
        if report.lost or status or not alive or "Traceback" in log:
            failed = True
            print(f"\n{app}\n{report}\n{log[-10_000:]}")
    print(table(rows))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
