"""How a process ends: once, with its status, whoever comes to it first."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

BEGIN = """
import atexit, sys, threading, time
from paddock.ending import end_by

def hook(name, seconds=0):
    print(name, "begins", flush=True)
    time.sleep(seconds)
    print(name, "ends")

class Held:
    def __del__(self):
        print("taken apart", flush=True)

held = Held()
now = time.monotonic()
"""


def run(source: str, status: int) -> list[str]:
    """Run a program, which must end with a status; return the lines that it has printed."""
    path = {"PYTHONPATH": ":".join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", BEGIN + source], capture_output=True, text=True, env=path, timeout=120
    )
    assert (ended.returncode, ended.stderr) == (status, "")
    return ended.stdout.splitlines()


def test_hooks_run_in_their_order_and_the_interpreter_is_not_taken_apart() -> None:
    said = run("atexit.register(hook, 'first')\natexit.register(hook, 'last')\nend_by(now + 3600, 7)", 7)
    assert said == ["last begins", "last ends", "first begins", "first ends"]


def test_a_hook_that_takes_long_runs_once_and_is_waited_for() -> None:
    said = run("atexit.register(hook, 'flush', 1.5)\nend_by(now + 0.2, 0)", 0)
    assert said == ["flush begins", "flush ends"]


@pytest.mark.parametrize("after", [0, 0.5])
def test_threads_that_go_on_are_not_waited_for(after: float) -> None:
    """Nor does it matter whether they end while the hooks run."""
    thread = f"threading.Thread(target=time.sleep, args=({after or 3600},)).start()"
    said = run(f"atexit.register(hook, 'flush', 1)\n{thread}\nend_by(now + 0.2, 3)", 3)
    assert said == ["flush begins", "flush ends"]


def test_a_hook_that_hangs_is_cut_off() -> None:
    began = time.monotonic()
    assert run("atexit.register(hook, 'flush', 3600)\nend_by(now + 0.2, 1, now + 0.5)", 1) == ["flush begins"]
    assert time.monotonic() - began >= 0.3


def test_what_a_hook_raises_is_said_and_the_others_run() -> None:
    source = (
        "atexit.register(hook, 'flush')\natexit.register(lambda: 1 / 0)\nsys.stderr = sys.stdout\nend_by(now + 60, 0)"
    )
    said = run(source, 0)
    assert [line for line in said if "flush" in line or "ZeroDivisionError" in line] == [
        "ZeroDivisionError: division by zero",
        "flush begins",
        "flush ends",
    ]
