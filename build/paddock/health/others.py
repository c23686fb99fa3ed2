"""Other questions that `paddock health` answers: whether the server lives, and how a container is that has none."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

from paddock.health.check import NO_SERVER, UnhealthyError, find, is_starting, told
from paddock.health.state import READY

USAGE = "expected --live, --exec COMMAND …, or --file PATH --newer-than SECONDS"


def main(arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """Check this container by the options of the command line; return 0 when it is healthy and 1 when not.

    One line on standard output says why.
    """
    return told(lambda: answer(arguments, os.environ if environ is None else environ))


def answer(arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """Say what makes this container healthy by the options of the command line.

    Raises:
        UnhealthyError: when it is not, or when the options are none.
    """
    option, *rest = arguments
    if option == "--live" and not rest:
        return live(environ)
    if option == "--exec" and rest:
        return succeeds(rest)
    if option == "--file" and len(rest) == 3 and rest[1] == "--newer-than" and rest[2].isdecimal():
        return is_fresh(rest[0], int(rest[2]))
    raise UnhealthyError(f"{' '.join(arguments)}: {USAGE}")


def live(environ: Mapping[str, str]) -> str:
    """Tell whether the arbiter lives, and its workers do when it should have some, however busy they are.

    A worker that hangs is not told from one that works: the arbiter replaces it after TIMEOUT.
    """
    found = find(environ)
    if found is None:
        return "the server is starting" if is_starting() else NO_SERVER
    if found.phase == READY and not any(map(is_alive, children(found.pid))):
        raise UnhealthyError("the server has no worker")
    return f"the server is {found.phase}"


def children(pid: int, proc: str = "/proc") -> list[int]:
    """Return the children of a process; https://man7.org/linux/man-pages/man5/proc_pid_task.5.html."""
    found: list[int] = []
    for thread in os.listdir(f"{proc}/{pid}/task"):
        with open(f"{proc}/{pid}/task/{thread}/children") as file:
            found += map(int, file.read().split())
    return found


def is_alive(pid: int, proc: str = "/proc") -> bool:
    """Tell whether a process has not ended; one that waits to be reaped has."""
    try:
        with open(f"{proc}/{pid}/stat") as file:
            return file.read().rpartition(") ")[2][:1] != "Z"
    except OSError:
        return False


def succeeds(command: Sequence[str]) -> str:
    """Run a command, in the application's environment, whose exit status tells; its last line is the reason."""
    import subprocess  # 15 ms, which no other check needs

    name = " ".join(command)
    try:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=-1, stderr=subprocess.STDOUT)  # noqa: S603
    except OSError as error:
        raise UnhealthyError(f"{name}: {(error.strerror or str(error)).lower()}") from error
    lines = ended.stdout.decode(errors="replace").strip().splitlines()
    said = f": {lines[-1]}" if lines else ""
    if ended.returncode:
        raise UnhealthyError(f"{name} ended with {ended.returncode}{said}")
    return f"{name} succeeded{said}"


def is_fresh(path: str, seconds: int) -> str:
    """Tell whether a file was written within the last `seconds`, as by what touches it while it lives."""
    try:
        age = time.time() - os.stat(path).st_mtime
    except OSError as error:
        raise UnhealthyError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    written = f"{path} was written {age:.0f} s ago"
    if age > seconds:
        raise UnhealthyError(f"{written}, where {seconds} s is healthy")
    return written
