"""Processes: one of the arbiter's that is no worker, what a child must not inherit, what the kernel knows of one."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

SHELLS = ("sh", "bash", "dash", "ash", "busybox", "ksh", "zsh")

PAGE = os.sysconf("SC_PAGE_SIZE")
"""Bytes."""


def fork(run: Callable[[set[Any]], None]) -> int:
    """Fork a process that calls `run` and ends; return its pid. The arbiter reaps it like any child that is no worker.

    `run` begins with every signal blocked, so that one which comes before it has handlers neither gets lost nor runs
    the arbiter's; it is given the mask to set once it is ready for them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if not pid:
            _be_the_child(run, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _be_the_child(run: Callable[[set[Any]], None], mask: set[Any]) -> None:
    status = 1
    try:
        forget_handlers(set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
        run(mask)
        status = 0
    except Exception:
        logging.getLogger("gunicorn.error").exception("A process of the arbiter's has failed")
    finally:
        # Nothing of the arbiter's may run here: no atexit, no buffers written twice.
        os._exit(status)


def forget_handlers(numbers: Iterable[int]) -> None:
    """Give signals their defaults back in a process that was forked: its parent's handlers would swallow them."""
    signal.set_wakeup_fd(-1)
    for number in numbers:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


def read_text(file: Path) -> str:
    """Return what a file of the kernel's says; nothing where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def shell_above(parent: int, proc: Path = Path("/proc")) -> str:
    """Return the name of the shell that is PID 1 and our `parent`; nothing where there is none.

    A shell hands on no signal, and PID 1 dies of none that it has no handler for:
    https://man7.org/linux/man-pages/man7/pid_namespaces.7.html
    """
    name = read_text(proc / "1" / "comm") if parent == 1 else ""
    return name if name in SHELLS else ""


def resident(pid: int, proc: Path = Path("/proc")) -> int:
    """Return how much memory a process holds, in bytes; 0 for one that has ended.

    https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html
    """
    fields = read_text(proc / str(pid) / "statm").split()
    return int(fields[1]) * PAGE if len(fields) > 1 else 0
