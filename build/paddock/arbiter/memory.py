"""Why a worker was killed: an end for lack of memory is told from every other SIGKILL, and said with the sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from paddock.processes import read_text, resident
from paddock.settings.sizing import cgroups, in_units

MEMORY_REMEDY = (
    "Give the container more memory, run fewer workers (WORKERS), or have them replaced before they grow so large "
    "(MAX_WORKER_MEMORY)"
)


class OomCounter:
    """How many processes of this container the kernel has killed for lack of memory.

    https://docs.kernel.org/admin-guide/cgroup-v2.html, memory.events;
    https://docs.kernel.org/admin-guide/cgroup-v1/memory.html, memory.oom_control
    """

    def __init__(self, root: Path = Path("/")) -> None:
        """Find the counter; `root` is where `/proc` and the cgroup mounts are looked for."""
        files = (group / name for group in cgroups(root, "memory") for name in ("memory.events", "memory.oom_control"))
        # The nearest that counts: those above it count for other containers too.
        self.file = next((file for file in files if _count(file) is not None), None)

    def read(self) -> int | None:
        """Return the count; None where the kernel does not tell."""
        return _count(self.file) if self.file else None


def _count(file: Path) -> int | None:
    for line in read_text(file).splitlines():
        name, _, number = line.partition(" ")
        if name == "oom_kill" and number.isdecimal():
            return int(number)
    return None


class Sizes:
    """The resident memory of workers, in bytes, as last seen: one that has ended holds none."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self.proc = proc
        self.last: dict[int, int] = {}

    def sample(self, pids: Iterable[int]) -> None:
        """Look at the workers `pids`, and forget all others."""
        self.last = {pid: size for pid in pids if (size := resident(pid, self.proc) or self.last.get(pid, 0))}


def is_memory_short(before: int | None, after: int | None) -> bool:
    """Tell, from the counter at two times, whether the kernel has killed something in between."""
    return before is not None and after is not None and after > before


def explain(pid: int, before: int | None, after: int | None, limit: int | None, sizes: Mapping[int, int]) -> str:
    """Return, in words that follow the worker's number, why the worker `pid` has ended by SIGKILL.

    `before` and `after` are the counter from before its end and from after it, `limit` the memory limit in bytes, and
    `sizes` what each worker holds in bytes, the ended one when it was last looked at.
    """
    if before is None or after is None:
        return "was killed by SIGKILL; whether for lack of memory, this kernel does not tell"
    if not is_memory_short(before, after):
        return (
            "was killed by SIGKILL, not for lack of memory: the kernel has counted none. Somebody or something sent "
            "the signal"
        )
    why = (
        f"the container has reached its memory limit of {in_units(limit)}"
        if limit
        else "the machine has no memory left; the container has no limit of its own"
    )
    return f"was killed by the kernel because {why}. {_held(pid, sizes)}{MEMORY_REMEDY}"


def _held(pid: int, sizes: Mapping[int, int]) -> str:
    own = f"It held {in_units(sizes[pid])} when last seen" if pid in sizes else ""
    others = ", ".join(f"{in_units(size)} (pid {other})" for other, size in sorted(sizes.items()) if other != pid)
    sentences = [own, f"the other workers hold {others}" if others else ""]
    text = "; ".join(filter(None, sentences))
    return f"{text[0].upper()}{text[1:]}. " if text else ""
