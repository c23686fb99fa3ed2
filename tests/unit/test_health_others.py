"""`paddock health` with options: whether the server lives, and how a container is that has none."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paddock.health import check as health
from paddock.health import others, state
from paddock.health.others import USAGE
from paddock.health.state import State

UNREAPED = """
import os
pid = os.fork() or os._exit(0)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print(flush=True)
input()
"""

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check(
    own_processes: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Check:
    """Run the check with options, with the test's own directory and no process of the machine's."""
    monkeypatch.setattr(health, "PACKAGE", str(tmp_path / "paddock"))
    monkeypatch.setattr(state, "DIRECTORIES", ())

    def run(*arguments: str) -> tuple[int, str]:
        status = others.main(arguments, {"WORKER_TMP_DIR": str(tmp_path)})
        return status, capsys.readouterr().out.strip()

    return run


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start a process that serves as an arbiter, in a phase, with what a line of shell does."""
    started = []

    def start(line: str, phase: str = state.READY) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["sh", "-c", line], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout
        process.stdout.readline()
        State(process.pid, phase).write(str(tmp_path))
        return process

    yield start
    for process in started:
        process.communicate(b"\n")


def test_a_server_with_workers_lives(check: Check, parent: Callable[..., object]) -> None:
    parent("sleep 600 & echo; read -r line; kill $!")
    assert check("--live") == (0, "healthy: the server is ready")


def test_a_server_without_workers_does_not(check: Check, parent: Callable[..., object]) -> None:
    parent("echo; read -r line")
    assert check("--live") == (1, "unhealthy: the server has no worker")


def test_a_worker_that_waits_to_be_reaped_is_none(check: Check, parent: Callable[..., object]) -> None:
    parent(f"exec {sys.executable} -c '{UNREAPED}'")
    assert check("--live") == (1, "unhealthy: the server has no worker")


@pytest.mark.parametrize("phase", [state.STARTING, state.DRAINING])
def test_who_starts_or_drains_lives(check: Check, parent: Callable[..., object], phase: str) -> None:
    parent("echo; read -r line", phase)
    assert check("--live") == (0, f"healthy: the server is {phase}")


def test_nobody_is_asked(check: Check) -> None:
    assert check("--live") == (0, f"healthy: {health.NO_SERVER}")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["true"], (0, "healthy: true succeeded")),
        (["echo", "all", "well"], (0, "healthy: echo all well succeeded: all well")),
        (["false"], (1, "unhealthy: false ended with 1")),
        (
            ["sh", "-c", "echo a; echo b >&2; exit 3"],
            (1, "unhealthy: sh -c echo a; echo b >&2; exit 3 ended with 3: b"),
        ),
        (["no-such-command"], (1, "unhealthy: no-such-command: no such file or directory")),
    ],
)
def test_a_command(check: Check, command: list[str], expected: tuple[int, str]) -> None:
    assert check("--exec", *command) == expected


def test_a_file(check: Check, tmp_path: Path) -> None:
    file = tmp_path / "alive"
    assert check("--file", str(file), "--newer-than", "60") == (1, f"unhealthy: {file}: no such file or directory")
    file.touch()
    status, said = check("--file", str(file), "--newer-than", "60")
    assert status == 0
    assert said.startswith(f"healthy: {file} was written ")
    os.utime(file, (0, time.time() - 100))
    status, said = check("--file", str(file), "--newer-than", "60")
    assert status == 1
    assert said.endswith("s ago, where 60 s is healthy")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--lively"],
        ["--live", "now"],
        ["--exec"],
        ["--file", "a"],
        ["--file", "a", "--newer-than", "soon"],
        ["--file", "a", "--older-than", "1"],
        ["live"],
    ],
)
def test_other_options(check: Check, arguments: list[str]) -> None:
    status, said = check(*arguments)
    assert status == 1
    assert said == f"unhealthy: {' '.join(arguments)}: {USAGE}"
