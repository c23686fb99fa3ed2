"""What `serve` tells `health` about itself: a small file in the directory for worker files.

The health check imports this module every few seconds, so it imports next to nothing, and the file is lines of
`name=value`: json alone would cost it a fifth of its time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping

Address = tuple[str, int] | str
"""Where a listener is bound: host and port, or the path of a Unix socket (a leading NUL makes it an abstract one)."""

HEALTH_TOKEN = os.urandom(16).hex()
"""What the health check of this process's server sends, as the state file says: whoever cannot read that is another."""

STARTING = "starting"
READY = "ready"
DRAINING = "draining"


LARGEST = 64 * 1024
"""Bytes beyond which a file is none of the server's."""

DIRECTORIES = ("/dev/shm", "/run", "/tmp")  # noqa: S108
"""Where the workers' heartbeats live unless WORKER_TMP_DIR says so: the first that can be written.

A disk is the last resort: where it is slow, workers look dead.
"""

OWN_DIRECTORY = "/run/paddock"
"""Where somebody may have mounted a directory for the server alone: /dev/shm is all containers' of a pod."""


def directories(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Where the file may be, in the order in which it is looked for."""
    return environ.get("WORKER_TMP_DIR") or OWN_DIRECTORY, *DIRECTORIES


def path(directory: str) -> str:
    """The state file of this container in `directory`."""
    return container_path(directory, "state")


def container_path(directory: str, suffix: str) -> str:
    """A path in `directory` for this container alone.

    The containers of one Kubernetes pod share /dev/shm, but each has a mount namespace of its own.
    """
    try:
        namespace = os.readlink("/proc/self/ns/mnt")
    except OSError:
        namespace = ""
    return os.path.join(directory, f"paddock-{''.join(filter(str.isdigit, namespace))}.{suffix}")


def listeners_of(addresses: Iterable[object]) -> list[Address]:
    """The listeners behind results of `socket.getsockname()`; what is neither TCP nor a named Unix socket is left out.

    Works for a socket passed in as `fd://3` too, since only the socket itself knows where that is bound.
    """
    listeners: list[Address] = []
    for address in addresses:
        if isinstance(address, tuple) and len(address) >= 2:
            listeners.append((str(address[0]), int(address[1])))
        elif isinstance(address, str | bytes) and address:
            listeners.append(os.fsdecode(address))
    return listeners


class State:
    """What the server is doing, and how it can be asked."""

    __slots__ = ("client_certificate", "health_path", "listeners", "phase", "pid", "tls", "token")

    def __init__(
        self,
        pid: int,
        phase: str,
        listeners: Iterable[Address] = (),
        tls: bool = False,
        client_certificate: bool = False,
        health_path: str | None = None,
        token: str = HEALTH_TOKEN,
    ) -> None:
        """Take the arbiter's `pid`, its `phase` (STARTING, READY or DRAINING) and its `listeners`.

        `tls` says that all of them speak TLS, `client_certificate` that they refuse clients without a certificate;
        `health_path` is what the health check has to ask the application for, None when nobody chose one; `token`
        is what it has to send to be known.
        """
        self.pid = pid
        self.phase = phase
        self.listeners = list(listeners)
        self.tls = tls
        self.client_certificate = client_certificate
        self.health_path = health_path
        self.token = token

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self._text() == other._text()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<State {self._text()!r}>"

    @property
    def alive(self) -> bool:
        """Whether the process that wrote this still runs."""
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            return True
        except (OSError, OverflowError):
            return False
        return True

    def write(self, *directories: str) -> None:
        """Replace the state file, in the first of `directories` that takes it; the check looks there in that order.

        One may be full, or have a file of that name which is another user's.

        Raises:
            OSError: what was wrong with the last, when none takes it.
        """
        *others, last = dict.fromkeys(directories)
        failed = []
        for directory in others:
            try:
                self._write(path(directory))
                break
            except OSError:
                failed.append(path(directory))
        else:
            self._write(path(last))
        # What is older must not be found first.
        for file in failed:
            _remove(file)

    def _write(self, target: str) -> None:
        """Replace the file `target`, readable for every user, so that no reader sees half of it."""
        # Others may write to the directory too: a name that they cannot guess, and nothing that is there already.
        draft = f"{target}.{os.urandom(8).hex()}"
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                os.fchmod(file, 0o644)
                _write_all(file, self._text().encode("ascii"))
            finally:
                os.close(file)
            os.replace(draft, target)
        except BaseException:
            os.unlink(draft)
            raise

    @classmethod
    def read(cls, directory: str) -> State | None:
        """The state in `directory`; None where there is none, or none that can be understood.

        Others may have put something in its place: a file of theirs, a link, a pipe that nobody writes to.
        """
        try:
            file = os.open(path(directory), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                found = os.fstat(file)
                if not stat.S_ISREG(found.st_mode) or found.st_uid not in _trusted():
                    return None
                text = os.read(file, LARGEST + 1)
            finally:
                os.close(file)
            return None if len(text) > LARGEST else cls._parse(text.decode("ascii"))
        except (OSError, ValueError):
            return None

    def _text(self) -> str:
        lines = [f"pid={self.pid}", f"phase={self.phase}"]
        for listener in self.listeners:
            if isinstance(listener, str):
                lines.append(f"unix={_escape(listener)}")
            else:
                lines.append(f"tcp={listener[1]} {_escape(listener[0])}")
        if self.tls:
            lines.append("tls=")
        if self.client_certificate:
            lines.append("client_certificate=")
        if self.health_path is not None:
            lines.append(f"health_path={_escape(self.health_path)}")
        lines.append(f"token={_escape(self.token)}")
        # The last line shows that the file is whole.
        return "\n".join([*lines, "end=", ""])

    @classmethod
    def _parse(cls, text: str) -> State:
        entries = [line.partition("=")[::2] for line in text.splitlines()]
        single = dict(entries)
        if not {"pid", "phase", "end"} <= single.keys():
            raise ValueError("not a whole state file")
        if int(single["pid"]) < 1:
            raise ValueError("no process has this number")
        listeners: list[Address] = []
        for name, value in entries:
            if name == "unix":
                abstract = "\0" if value.startswith("\\x00") else ""
                listeners.append(abstract + _unescape(value[4:] if abstract else value))
            elif name == "tcp":
                port, _, host = value.partition(" ")
                listeners.append((_unescape(host), int(port)))
        return cls(
            pid=int(single["pid"]),
            phase=_unescape(single["phase"]),
            listeners=listeners,
            tls="tls" in single,
            client_certificate="client_certificate" in single,
            health_path=_unescape(single["health_path"]) if "health_path" in single else None,
            token=_unescape(single.get("token", "")),
        )


def _trusted() -> set[int]:
    """Return the users whose file counts: root, the own one, and the container's, for who asks as another."""
    try:
        return {0, os.geteuid(), os.stat("/proc/1").st_uid}
    except OSError:
        return {0, os.geteuid()}


def _remove(file: str) -> None:
    """Remove a file if there is one that can be."""
    try:  # noqa: SIM105 (the check does without contextlib)
        os.unlink(file)
    except OSError:
        pass


def _write_all(file: int, data: bytes) -> None:
    """Write everything: a full file system may take a part first and refuse only the rest."""
    while data:
        data = data[os.write(file, data) :]


def _escape(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")


def _unescape(text: str) -> str:
    """Return what `_escape` has made `text` of.

    Raises:
        ValueError: when it holds a control character: it goes into a request and to a terminal.
    """
    plain = text.encode("ascii").decode("unicode_escape")
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in plain):
        raise ValueError("a control character")
    return plain
