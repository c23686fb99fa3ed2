"""How many workers fit into this container: `WORKERS=auto`."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from paddock.processes import read_text

MIB = 1024**2

WORKER_MEMORY = 128 * MIB
"""What one worker is counted with, in bytes: a FastAPI worker that has seen some traffic, with room to grow."""

UNLIMITED = 2**60
"""A cgroup v1 memory limit from here on, in bytes, is the kernel's way to say that there is none."""


@dataclass(frozen=True)
class Resources:
    """What the container may use."""

    cpus: int
    """CPUs that this process may run on: the affinity mask, which every cpuset narrows."""

    cpu_quota: float | None
    """CPU time a second, in CPUs (1.5 is one and a half); None without a quota."""

    memory: int | None
    """Memory in bytes; None without a limit."""

    @property
    def processors(self) -> int:
        """How many CPUs there are to use; a started one counts whole."""
        return math.ceil(min(self.cpus, self.cpu_quota or self.cpus))


@dataclass(frozen=True)
class Sizing:
    """A number of workers, and one line for the log that says what it follows from."""

    workers: int
    reason: str


def size(limits: Resources, max_workers: int) -> Sizing:
    """Take the smallest of what CPUs, memory and `max_workers` allow, and at least one worker.

    A started CPU counts whole: a worker waits for the network too. A fifth of the memory stays for the arbiter,
    the page cache and everything else.
    """
    # Of two that allow the same, the first decided: what somebody set tells more than what the machine has.
    allowed = {}
    facts = [_count(limits.cpus, "CPU")]
    if limits.cpu_quota is not None:
        allowed["the CPU quota"] = math.ceil(limits.cpu_quota)
        facts = [f"CPU quota {limits.cpu_quota:.4g} of {facts[0]}"]
    allowed["the number of CPUs"] = limits.cpus
    if limits.memory is None:
        facts.append("no memory limit")
    else:
        allowed["the memory limit"] = limits.memory * 8 // (10 * WORKER_MEMORY)
        facts.append(f"memory limit {in_units(limits.memory)} allows {allowed['the memory limit']}")
    allowed["MAX_WORKERS"] = max_workers
    facts.append(f"MAX_WORKERS {max_workers}")

    decided_by = min(allowed, key=lambda name: allowed[name])
    workers = max(1, allowed[decided_by])
    return Sizing(workers, f"{_count(workers, 'worker')}, set by {decided_by}: {', '.join(facts)}")


def share(memory: int | None, workers: int) -> int | None:
    """Return how many bytes each of so many workers may hold where the container may hold `memory`; None for no limit.

    A tenth is the arbiter's and the page cache's; and there is one worker more while one is replaced.
    """
    return memory * 9 // (10 * (workers + 1)) if memory else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def in_units(number: int) -> str:
    """Return a number of bytes as people write it."""
    return f"{number / 1024**3:.1f} GiB" if number >= 1024**3 else f"{number / MIB:.0f} MiB"


def read_limits(root: Path = Path("/")) -> Resources:
    """Read the limits of this process; `root` is where `/proc` and the cgroup mounts are looked for.

    cgroup v1, v2 and the two together are read alike: every limit from the process's own cgroup up to the root of what
    is mounted counts, and the smallest holds. What cannot be read or understood is no limit.
    https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/index.html
    """
    quotas = [quota for group in cgroups(root, "cpu") for quota in (_cpu_v1(group), _cpu_v2(group)) if quota]
    memories = [
        memory
        for group in cgroups(root, "memory")
        for memory in (_number(group / "memory.limit_in_bytes"), _number(group / "memory.max"))
        if memory and memory < UNLIMITED
    ]
    return Resources(len(os.sched_getaffinity(0)), min(quotas, default=None), min(memories, default=None))


def _cpu_v2(group: Path) -> float | None:
    quota, _, period = read_text(group / "cpu.max").partition(" ")
    return _ratio(_integer(quota), _integer(period) if period else 100_000)


def _cpu_v1(group: Path) -> float | None:
    return _ratio(_number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us"))


def _ratio(quota: int | None, period: int | None) -> float | None:
    return quota / period if quota and period else None


def _number(file: Path) -> int | None:
    return _integer(read_text(file))


def _integer(text: str) -> int | None:
    """A positive number, or None: `max`, -1 and what is no number at all mean that there is no limit."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 and int(text) > 0 else None


def cgroups(root: Path, controller: str) -> Iterator[Path]:
    """The directories whose `controller` limits hold for this process, its own first, in both versions of cgroups."""
    paths = list(_paths(root, controller))
    mounts = list(_mounts(root, controller))
    for version, path in paths:
        of_version = [(top, point) for found, top, point in mounts if found == version]
        # Several mounts may show one hierarchy: the one that shows the process's own part of it tells most.
        for top, point in sorted(of_version, key=lambda mount: _below(path, mount[0]) is None)[:1]:
            yield from _upwards(root / point.lstrip("/"), _below(path, top) or PurePosixPath("."))


def _upwards(mount: Path, below: PurePosixPath) -> Iterator[Path]:
    """The directory `below` the mount and all above it up to the mount.

    Inside a container the path is often one of the host's, and nothing of that name is there: then the mount shows the
    container's own cgroup.
    """
    group = mount / below
    while group != mount:
        if group.is_dir():
            yield group
        group = group.parent
    yield mount


def _below(path: str, top: str) -> PurePosixPath | None:
    """Where `path` is below `top`, or None where it is not, or cannot be told.

    Seen from inside a cgroup namespace, what lies above it is written `/..`, and the names there are unknown.
    https://man7.org/linux/man-pages/man7/cgroup_namespaces.7.html
    """
    try:
        below = PurePosixPath(path).relative_to(top)
    except ValueError:
        return None
    return None if ".." in below.parts else below


def _paths(root: Path, controller: str) -> Iterator[tuple[str, str]]:
    """The version of cgroups and the path in it, for each hierarchy that may limit `controller` for this process.

    https://man7.org/linux/man-pages/man7/cgroups.7.html, "/proc/pid/cgroup"
    """
    for line in read_text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            yield "cgroup2", path
        elif controller in controllers.split(","):
            yield "cgroup", path


def _mounts(root: Path, controller: str) -> Iterator[tuple[str, str, str]]:
    """Version, the cgroup that is its top, and the mount point, for each mount that may show limits of `controller`.

    https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
    """
    for line in read_text(root / "proc/self/mountinfo").splitlines():
        mount, _, super_block = line.partition(" - ")
        fields, file_system = mount.split(" "), super_block.split(" ")
        if len(fields) < 6 or len(file_system) < 3:
            continue
        if file_system[0] == "cgroup2" or (file_system[0] == "cgroup" and controller in file_system[2].split(",")):
            yield file_system[0], _unescape(fields[3]), _unescape(fields[4])


def _unescape(field: str) -> str:
    """Turn the octal escapes of `/proc/self/mountinfo` (`\\040` is a space) back."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
