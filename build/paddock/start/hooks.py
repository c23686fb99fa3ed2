"""Start hooks: what runs before the server, from a directory such as `/docker-entrypoint.d`.

The rules are those of the official nginx image (https://hub.docker.com/_/nginx, "Running init scripts"): `*.sh` is run,
`*.envsh` is sourced, both only when executable, sorted by name.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from paddock.errors import StartError

STOP_SECONDS = 8
"""How long a hook has to end after SIGTERM: `docker stop` kills everything after 10."""

NOISE = ("PWD", "OLDPWD", "SHLVL", "_")
"""What a shell sets for itself, of no use to the server."""

# The exports are written when the shell exits, so that `exit 0` in a hook ends the hook and keeps what it exported.
# They go to a file of their own, named through /proc because dash knows no file descriptors above 9, and `env` has
# its whole path because the hook may change PATH.
SOURCE = """trap '[ $? -ne 0 ] || /usr/bin/env -0 >/proc/self/fd/{fd}' EXIT
. "$0"
"""


def run_start_hooks(directory: Path, environ: Mapping[str, str], report: Callable[[str], None]) -> dict[str, str]:
    """Run the hooks in `directory`, in the order of their names; return the environment that they leave.

    `environ` is what the first hook sees; each later one also sees what those before it exported or unset. `*.sh` is
    started as a program, by its own `#!` line. `*.envsh` is read by `/bin/sh`, and its exports stay; `exit 0` in it
    ends that hook alone, and what it exported until then counts. Any other file, and one that is not executable, is
    passed over with a line to `report`; names with a leading dot silently. A hook has the container's output and no
    input, and its status is that of its last command. A directory that is not there holds no hooks.

    Raises StartError, with the hook and its status, when one fails; no later hook runs then. When a signal handler of
    the caller raises while a hook runs, the hook gets SIGTERM, and SIGKILL where it has not ended within STOP_SECONDS.
    """
    current = dict(environ)
    for hook in _files(directory):
        if hook.suffix not in (".sh", ".envsh"):
            report(f"{hook} is skipped: a start hook is named *.sh or *.envsh")
        elif not hook.is_file():
            report(f"{hook} is skipped: it is not a file")
        elif not os.access(hook, os.X_OK):
            report(f"{hook} is skipped: it is not executable (chmod +x mends that)")
        elif hook.suffix == ".sh":
            _run(hook, [str(hook)], current)
        else:
            current = _source(hook, current)
    return current


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(file for file in directory.iterdir() if not file.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StartError(f"the start hooks in {directory} cannot be read: {error.strerror}") from error


def _source(hook: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Read a hook with the shell and return the environment it leaves."""
    # In memory, because the container's file system may be read-only; not a pipe, because a process that the hook
    # leaves behind would keep it open.
    exports = os.memfd_create("exports")
    try:
        script = SOURCE.format(fd=exports)
        _run(hook, ["/bin/sh", "-c", script, str(hook.absolute())], environ, pass_fds=(exports,))
        with open(exports, "rb", closefd=False) as file:
            file.seek(0)
            entries = os.fsdecode(file.read()).split("\0")
    finally:
        os.close(exports)
    left = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    if not left:
        raise StartError(f"start hook {hook} left no environment: it must not use exec or set an EXIT trap")
    return _without_noise(left, environ)


def _without_noise(left: dict[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """Put back what the shell, not the hook, changed: its own variables, and names that it cannot hold and drops.

    Such a name is `my.setting`, which Kubernetes takes from the keys of a ConfigMap.
    """
    kept = {
        name: value
        for name, value in before.items()
        if name in NOISE or not re.fullmatch(r"[A-Za-z_][A-Za-z_0-9]*", name)
    }
    return {name: value for name, value in left.items() if name not in NOISE} | kept


def _run(hook: Path, command: Sequence[str], environ: Mapping[str, str], pass_fds: Sequence[int] = ()) -> None:
    """Run one hook to its end; raise StartError unless it exits with 0."""
    # A signal between the child's start and the moment that it is known here would leave the child behind.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    child = None
    try:
        child = _start(hook, command, environ, pass_fds, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        status = child.wait()
    except BaseException:
        if child is not None:
            _stop(child)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if status < 0:
        raise StartError(f"start hook {hook} was killed by {signal.Signals(-status).name}")
    if status > 0:
        raise StartError(f"start hook {hook} failed with exit status {status}")


def _start(
    hook: Path, command: Sequence[str], environ: Mapping[str, str], pass_fds: Sequence[int], signals: set[int]
) -> subprocess.Popen[bytes]:
    """Start one hook, with `signals` as those that it does not get."""
    line = _first_line(hook)
    if line.endswith(b"\r\n"):
        raise StartError(f"start hook {hook} has Windows line endings (CRLF): save it with Unix ones (LF)")
    try:
        return subprocess.Popen(  # noqa: S603
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            pass_fds=pass_fds,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, signals),
            # A group of its own, so that SIGTERM also reaches what the hook itself has started.
            process_group=0,
        )
    except OSError as error:
        raise StartError(f"start hook {hook} cannot be started: {_why(error, line)}") from error


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End a hook and everything in its process group."""
    try:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(STOP_SECONDS)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _first_line(hook: Path) -> bytes:
    try:
        with hook.open("rb") as file:
            return file.readline(4096)
    except OSError:
        # What may be run need not be readable; the start itself says what is wrong.
        return b""


def _why(error: OSError, first_line: bytes) -> str:
    """Say why a file that exists and is executable could not be started, in the words of its author."""
    interpreter = os.fsdecode(first_line[2:].strip()) if first_line.startswith(b"#!") else ""
    if error.errno == errno.ENOENT and interpreter:
        return f"no such file: {interpreter.split()[0]}, which its first line names as its interpreter"
    if error.errno == errno.ENOEXEC:
        return "exec format error: it needs a first line such as #!/bin/sh, or it is a program for another platform"
    if error.errno == errno.EACCES:
        return f"permission denied: {interpreter or 'it'} may not be executed, or its file system is mounted noexec"
    return error.strerror or str(error)
