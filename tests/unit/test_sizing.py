from __future__ import annotations

import os
from pathlib import Path

import pytest

from paddock.settings.sizing import Resources, read_limits, share, size

GIB = 1024**3
MIB = 1024**2
TREES = Path(__file__).parent / "cgroups"

MOUNTINFO = "40 39 0:29 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n"


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))


def grow(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def recorded(name: str) -> dict[str, str]:
    """A tree as `tail -n +1 FILES` prints it."""
    files: dict[str, str] = {}
    current = ""
    for line in (TREES / f"{name}.tree").read_text().splitlines():
        if line.startswith("==> "):
            current = line.removeprefix("==> ").removesuffix(" <==")
            files[current] = ""
        elif current and line:
            files[current] += f"{line}\n"
    return files


@pytest.mark.parametrize(
    ("tree", "quota", "memory"),
    [
        ("docker-v1-private", 1.5, 512 * MIB),
        ("docker-v1-host", 1.5, 512 * MIB),
        ("docker-v2-private", 1.5, 512 * MIB),
        ("docker-v2-host", 1.5, 512 * MIB),
        ("kubernetes-v1", 2.5, 256 * MIB),
        ("kubernetes-v2", 2.0, 1024 * MIB),
        ("hybrid", 0.5, 3 * GIB),
        ("host-path-v2", 1.5, 512 * MIB),
        ("outside-namespace-v2", 1.5, 512 * MIB),
        ("parent-mount-v2", 1.5, 512 * MIB),
    ],
)
def test_recorded_tree(tmp_path: Path, tree: str, quota: float, memory: int) -> None:
    assert read_limits(grow(tmp_path, recorded(tree))) == Resources(8, quota, memory)


def test_every_recorded_tree_is_tested() -> None:
    assert len(list(TREES.glob("*.tree"))) == 10


@pytest.mark.parametrize(
    ("cpu_max", "quota"),
    [
        ("max 100000\n", None),
        ("max", None),
        ("50000 100000\n", 0.5),
        ("250000\n", 2.5),
        ("100000 50000", 2.0),
        ("100000 0", None),
        ("0 100000", None),
        ("-1 100000", None),
        ("many 100000", None),
        ("100000 often", None),
        ("", None),
        ("\x00\x7f", None),
        ("²00000 100000", None),
        ("9" * 5000, None),
    ],
)
def test_cpu_max(tmp_path: Path, cpu_max: str, quota: float | None) -> None:
    files = {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": MOUNTINFO, "sys/fs/cgroup/cpu.max": cpu_max}
    assert read_limits(grow(tmp_path, files)).cpu_quota == quota


@pytest.mark.parametrize(
    ("memory_max", "memory"),
    [
        ("max\n", None),
        ("536870912\n", 512 * MIB),
        ("0", None),
        (str(2**60), None),
        (str(2**60 - 1), 2**60 - 1),
        ("9223372036854771712", None),
        ("18446744073709551615", None),
        ("512M", None),
    ],
)
def test_memory_max(tmp_path: Path, memory_max: str, memory: int | None) -> None:
    files = {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": MOUNTINFO, "sys/fs/cgroup/memory.max": memory_max}
    assert read_limits(grow(tmp_path, files)).memory == memory


def test_memory_high_is_no_limit(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": MOUNTINFO, "sys/fs/cgroup/memory.high": "1024"}
    assert read_limits(grow(tmp_path, files)).memory is None


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/\n"},
        {"proc/self/mountinfo": MOUNTINFO},
        {"proc/self/cgroup": "no colons\n::\n0\n:::::\n", "proc/self/mountinfo": MOUNTINFO},
        {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": "short\n - \n1 2 3 4 5 6 - cgroup2\n"},
        {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": MOUNTINFO, "sys/fs/cgroup/cpu.max/nested": "a directory"},
        {"proc/self/cgroup": "0::relative\n", "proc/self/mountinfo": MOUNTINFO},
    ],
)
def test_what_cannot_be_understood_is_no_limit(tmp_path: Path, files: dict[str, str]) -> None:
    assert read_limits(grow(tmp_path, files)) == Resources(8, None, None)


@pytest.mark.parametrize(("quota", "processors"), [(None, 8), (0.5, 1), (1.5, 2), (3.0, 3), (20.0, 8)])
def test_processors(quota: float | None, processors: int) -> None:
    assert Resources(8, quota, None).processors == processors


def test_mount_point_with_a_space(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": "40 39 0:29 / /mnt/c\\040groups ro - cgroup2 cgroup rw\n",
        "mnt/c groups/cpu.max": "100000 100000",
    }
    assert read_limits(grow(tmp_path, files)).cpu_quota == 1.0


def test_the_mount_that_shows_the_process_is_preferred(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        "proc/self/mountinfo": "1 0 0:29 /x /other ro - cgroup2 cgroup rw\n2 0 0:29 /a /own ro - cgroup2 cgroup rw\n",
        "other/cpu.max": "100000 100000",
        "own/cpu.max": "300000 100000",
        "own/b/cpu.max": "400000 100000",
    }
    assert read_limits(grow(tmp_path, files)).cpu_quota == 3.0


def test_the_machine_itself_can_be_read() -> None:
    limits = read_limits()
    assert limits.cpus == 8
    assert limits.cpu_quota is None or limits.cpu_quota > 0


@pytest.mark.parametrize(
    ("limits", "max_workers", "reason"),
    [
        (
            Resources(8, 3.5, 2 * GIB),
            16,
            "4 workers, set by the CPU quota: CPU quota 3.5 of 8 CPUs, memory limit 2.0 GiB allows 12, MAX_WORKERS 16",
        ),
        (Resources(8, None, None), 16, "8 workers, set by the number of CPUs: 8 CPUs, no memory limit, MAX_WORKERS 16"),
        (Resources(1, None, None), 16, "1 worker, set by the number of CPUs: 1 CPU, no memory limit, MAX_WORKERS 16"),
        (Resources(64, None, None), 16, "16 workers, set by MAX_WORKERS: 64 CPUs, no memory limit, MAX_WORKERS 16"),
        (
            Resources(2, 6.0, None),
            16,
            "2 workers, set by the number of CPUs: CPU quota 6 of 2 CPUs, no memory limit, MAX_WORKERS 16",
        ),
        (
            Resources(2, 1.5, None),
            16,
            "2 workers, set by the CPU quota: CPU quota 1.5 of 2 CPUs, no memory limit, MAX_WORKERS 16",
        ),
        (
            Resources(8, None, 512 * MIB),
            16,
            "3 workers, set by the memory limit: 8 CPUs, memory limit 512 MiB allows 3, MAX_WORKERS 16",
        ),
        (
            Resources(8, 0.25, 64 * MIB),
            16,
            "1 worker, set by the memory limit: CPU quota 0.25 of 8 CPUs, memory limit 64 MiB allows 0, MAX_WORKERS 16",
        ),
    ],
)
def test_the_reason_names_what_decided(limits: Resources, max_workers: int, reason: str) -> None:
    assert size(limits, max_workers).reason == reason


@pytest.mark.parametrize(
    ("limits", "max_workers", "workers"),
    [
        (Resources(8, 0.01, None), 16, 1),
        (Resources(8, 1.0, None), 16, 1),
        (Resources(8, 1.0001, None), 16, 2),
        (Resources(8, 3.0, None), 16, 3),
        (Resources(8, None, 160 * MIB), 16, 1),
        (Resources(8, None, 320 * MIB), 16, 2),
        (Resources(8, None, 320 * MIB - 1), 16, 1),
        (Resources(8, None, 1), 16, 1),
        (Resources(8, None, None), 1, 1),
    ],
)
def test_workers(limits: Resources, max_workers: int, workers: int) -> None:
    assert size(limits, max_workers).workers == workers


@pytest.mark.parametrize(
    ("memory", "workers", "each"), [(512 * MIB, 1, 230 * MIB), (512 * MIB, 2, 153 * MIB), (8 * GIB, 8, 819 * MIB)]
)
def test_workers_and_one_more_share_the_memory(memory: int, workers: int, each: int) -> None:
    assert each <= (share(memory, workers) or 0) < each + MIB


def test_without_a_limit_there_is_nothing_to_share() -> None:
    assert share(None, 2) is None
