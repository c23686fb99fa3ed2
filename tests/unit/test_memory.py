from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from paddock.arbiter.memory import OomCounter, Sizes, explain
from paddock.processes import PAGE, resident

MIB = 1024**2

V2 = {
    "proc/self/cgroup": "0::/\n",
    "proc/self/mountinfo": "40 39 0:29 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
}
V1 = {
    "proc/self/cgroup": "5:memory:/docker/abc\n",
    "proc/self/mountinfo": "40 39 0:29 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
}


def grow(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_version_2_counts_in_memory_events(tmp_path: Path) -> None:
    events = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"
    counter = OomCounter(grow(tmp_path, {**V2, "sys/fs/cgroup/memory.events": events}))

    assert counter.read() == 2


def test_version_1_counts_in_oom_control(tmp_path: Path) -> None:
    control = "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"
    counter = OomCounter(grow(tmp_path, {**V1, "sys/fs/cgroup/memory/memory.oom_control": control}))

    assert counter.read() == 1


def test_nearest_cgroup_counts(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/pod/own\n",
        "proc/self/mountinfo": V2["proc/self/mountinfo"],
        "sys/fs/cgroup/pod/own/memory.events": "oom_kill 1\n",
        "sys/fs/cgroup/pod/memory.events": "oom_kill 7\n",
    }

    assert OomCounter(grow(tmp_path, files)).read() == 1


@pytest.mark.parametrize("control", [None, "", "oom_kill_disable 0\nunder_oom 0\n", "oom_kill many\n"])
def test_kernel_that_does_not_tell(tmp_path: Path, control: str | None) -> None:
    files = V1 | ({"sys/fs/cgroup/memory/memory.oom_control": control} if control is not None else {})

    assert OomCounter(grow(tmp_path, files)).read() is None


def test_out_of_memory_is_said_with_limit_and_sizes() -> None:
    text = explain(7, 0, 1, 256 * MIB, {7: 180 * MIB, 8: 40 * MIB, 9: 41 * MIB})

    assert text.startswith("was killed by the kernel because the container has reached its memory limit of 256 MiB. ")
    assert "It held 180 MiB when last seen; the other workers hold 40 MiB (pid 8), 41 MiB (pid 9). " in text
    assert text.endswith("(MAX_WORKER_MEMORY)")


def test_only_worker_never_seen() -> None:
    text = explain(7, 0, 1, 256 * MIB, {})

    assert "256 MiB. Give the container more memory" in text


def test_out_of_memory_without_limit() -> None:
    assert "the machine has no memory left" in explain(7, 4, 5, None, {8: MIB})


def test_other_kill_is_not_called_lack_of_memory() -> None:
    assert "not for lack of memory" in explain(7, 5, 5, 256 * MIB, {})


@pytest.mark.parametrize(("before", "after"), [(None, 1), (1, None), (None, None)])
def test_unknown_is_said(before: int | None, after: int | None) -> None:
    assert "this kernel does not tell" in explain(7, before, after, 256 * MIB, {})


def test_sizes_keep_what_was_last_seen(tmp_path: Path) -> None:
    sizes = Sizes(grow(tmp_path, {"7/statm": "900 100 30 1 0 50 0\n", "8/statm": "900 200 30 1 0 50 0\n"}))
    sizes.sample([7, 8])
    (tmp_path / "7/statm").write_text("0 0 0 0 0 0 0\n")
    (tmp_path / "8/statm").write_text("900 250 30 1 0 50 0\n")
    sizes.sample([7, 8])

    assert sizes.last == {7: 100 * PAGE, 8: 250 * PAGE}
    sizes.sample([8])
    assert sizes.last == {8: 250 * PAGE}


def test_size_of_a_real_process() -> None:
    assert MIB < resident(os.getpid()) < 4096 * MIB


def test_a_zombie_holds_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert resident(child.pid) == 0
    child.communicate()
