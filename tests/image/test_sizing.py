"""WORKERS=auto under real limits of the engine: the number of processes, and the line that says why."""

import os
import re
import subprocess

import pytest

from conftest import wait_until

CPUS = len(os.sched_getaffinity(0))
MANY = min(CPUS, 16)
needs_two_cpus = pytest.mark.skipif(CPUS < 2, reason="needs two CPUs")


def reason_of(container, workers):
    """Wait for `workers` workers, and return what the log says of WORKERS=auto."""
    container.wait_ready()
    wait_until(lambda: container.workers() >= workers, f"{workers} workers")
    assert container.workers() == workers
    (reason,) = re.findall(r"gunicorn: WORKERS=auto: (.+)", container.logs())
    assert re.match(rf"{workers} workers?, set by ", reason), reason
    return reason


@pytest.mark.parametrize(
    ("limits", "workers", "expected"),
    [
        ({"nano_cpus": 500_000_000}, 1, ["set by the CPU quota", "CPU quota 0.5 of"]),
        ({"nano_cpus": 1_000_000_000}, 1, ["set by the CPU quota", "CPU quota 1 of"]),
        pytest.param({"nano_cpus": 1_500_000_000}, 2, ["CPU quota 1.5 of"], marks=needs_two_cpus),
        ({"cpuset_cpus": "0"}, 1, ["set by the number of CPUs", "1 CPU,"]),
        ({"mem_limit": "128m"}, 1, ["set by the memory limit", "memory limit 128 MiB allows 0"]),
        ({"mem_limit": "256m"}, 1, ["set by the memory limit", "memory limit 256 MiB allows 1"]),
        ({"mem_limit": "512m"}, min(MANY, 3), ["memory limit 512 MiB allows 3"]),
        (
            {"mem_limit": "2g", "nano_cpus": 1_000_000_000},
            1,
            ["set by the CPU quota", "memory limit 2.0 GiB allows 12"],
        ),
        ({"environment": {"MAX_WORKERS": "1"}}, 1, ["MAX_WORKERS 1"]),
        ({}, MANY, ["no memory limit", "MAX_WORKERS 16"]),
    ],
)
def test_auto(start, limits, workers, expected):
    reason = reason_of(start("observed.py", **limits), workers)

    assert all(part in reason for part in expected), reason


@pytest.mark.smoke
@pytest.mark.parametrize("variable", ["WORKERS", "WEB_CONCURRENCY"])
def test_auto_by_name(start, variable):
    reason_of(start("observed.py", environment={variable: "AUTO"}, cpuset_cpus="0"), 1)


def test_auto_for_another_user_without_privileges(start):
    container = start(
        "observed.py",
        nano_cpus=500_000_000,
        user="4711:4711",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
    )

    reason_of(container, 1)


@pytest.mark.parametrize(
    ("options", "workers"), [({"environment": {"WORKERS": "2"}}, 2), ({"command": ["-w", "2"]}, 2)]
)
def test_a_number_is_not_limited(start, options, workers):
    container = start("observed.py", cpuset_cpus="0", mem_limit="256m", **options).wait_ready()

    wait_until(lambda: container.workers() == workers, f"{workers} workers")


def test_a_number_in_the_environment_is_not_explained(start):
    container = start("observed.py", environment={"WORKERS": "2", "MAX_WORKERS": "1"}).wait_ready()

    wait_until(lambda: container.workers() == 2, "two workers")
    assert "WORKERS=auto" not in container.logs()


@needs_two_cpus
def test_a_number_that_was_asked_for_stays(start):
    container = start("observed.py", environment={"WORKERS": "3"}, nano_cpus=1_000_000_000).wait_ready()
    wait_until(lambda: container.workers() == 3, "three workers")
    auto = start("observed.py", nano_cpus=1_000_000_000).wait_ready()
    auto.signal("TTIN")
    wait_until(lambda: auto.workers() == 2, "a worker more")
    followed = start("observed.py", nano_cpus=1_000_000_000).wait_ready()
    for each in (container, auto, followed):
        subprocess.run(["docker", "update", "--cpus", "2", each.raw.id], check=True)
    followed.wait_for_log("limits have changed")

    assert container.workers() == 3
    assert "limits have changed" not in container.logs() + auto.logs()
