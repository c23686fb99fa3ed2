from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from paddock.health import state
from paddock.health.state import Address, State


@pytest.mark.parametrize(
    "written",
    [
        State(1, state.STARTING),
        State(4242, state.READY, [("0.0.0.0", 8000)]),
        State(1, state.DRAINING, [("::", 8000), ("fe80::1%eth0", 1)], tls=True),
        State(1, state.READY, ["/run/app.sock", "\0abstract", "/with space/=\\n", "/späße", "/bytes\udcff"]),
        State(1, state.READY, [("127.0.0.1", 1), "/a", ("::1", 2)], tls=True, client_certificate=True),
        State(1, state.READY, health_path="/health?a=1&b=2"),
        State(1, state.READY, health_path=""),
    ],
)
def test_what_is_written_is_read(tmp_path: Path, written: State) -> None:
    written.write(str(tmp_path))
    assert State.read(str(tmp_path)) == written


def test_the_order_of_listeners_stays(tmp_path: Path) -> None:
    listeners: list[Address] = ["/b", ("127.0.0.1", 2), "/a", ("127.0.0.1", 1)]
    State(1, state.READY, listeners).write(str(tmp_path))
    found = State.read(str(tmp_path))
    assert found is not None
    assert found.listeners == listeners


def test_a_later_phase_replaces_the_earlier_one(tmp_path: Path) -> None:
    current = State(1, state.STARTING)
    current.write(str(tmp_path))
    current.phase = state.READY
    current.write(str(tmp_path))
    found = State.read(str(tmp_path))
    assert found is not None
    assert found.phase == state.READY
    assert [file.name for file in tmp_path.iterdir()] == [os.path.basename(state.path(str(tmp_path)))]


def test_every_user_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        State(1, state.READY).write(str(tmp_path))
    finally:
        os.umask(before)
    assert os.stat(state.path(str(tmp_path))).st_mode & 0o777 == 0o644


def test_the_name_tells_containers_of_a_pod_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    State(1, state.READY).write(str(tmp_path))
    monkeypatch.setattr(os, "readlink", lambda _path: "mnt:[4026532999]")
    assert state.path("/dev/shm") == "/dev/shm/paddock-4026532999.state"
    assert State.read(str(tmp_path)) is None


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    os.symlink(target, state.path(str(tmp_path)))
    State(1, state.READY).write(str(tmp_path))
    assert target.read_text() == "precious"
    assert State.read(str(tmp_path)) == State(1, state.READY)


def test_a_name_that_somebody_has_taken_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    draft = Path(f"{state.path(str(tmp_path))}.{'00' * 8}")
    draft.write_text("precious")
    with pytest.raises(FileExistsError):
        State(1, state.READY).write(str(tmp_path))
    assert draft.read_text() == "precious"


def test_the_next_directory_is_taken_where_one_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is full, or has the file of another user, which nobody else may replace."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    State(1, state.STARTING).write(str(first), str(second))
    assert State.read(str(first)) == State(1, state.STARTING)
    assert State.read(str(second)) is None

    replace = os.replace

    def not_in_the_first(source: str, target: str) -> None:
        if target.startswith(str(first)):
            raise PermissionError
        replace(source, target)

    monkeypatch.setattr(os, "replace", not_in_the_first)
    State(1, state.READY).write(str(first), str(second))
    assert State.read(str(first)) is None
    assert State.read(str(second)) == State(1, state.READY)
    with pytest.raises(PermissionError):
        State(1, state.READY).write(str(first))


def test_a_directory_that_is_named_twice_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, failures = os.replace, [True]

    def not_at_first(source: str, target: str) -> None:
        if failures:
            raise OSError(failures.pop())
        replace(source, target)

    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    monkeypatch.setattr(os, "replace", not_at_first)
    State(1, state.READY).write(str(first), str(first), str(second))
    assert State.read(str(second)) == State(1, state.READY)


WHOLE = b"pid=1\nphase=ready\ntoken=%b\nend=\n" % state.HEALTH_TOKEN.encode()


def link(path: Path) -> None:
    path.with_name("real").write_bytes(WHOLE)
    path.symlink_to("real")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def large(path: Path) -> None:
    path.write_bytes(WHOLE + b"#" * 64 * 1024)


def of_another_user(path: Path) -> None:
    path.write_bytes(WHOLE)


@pytest.mark.parametrize("put", [link, pipe, device, large, of_another_user])
def test_what_others_put_in_its_place_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path], None]
) -> None:
    put(Path(state.path(str(tmp_path))))
    if put is of_another_user:
        fstat = os.fstat
        monkeypatch.setattr(os, "fstat", lambda file: Status(fstat(file).st_mode, os.geteuid() + 1))
    assert State.read(str(tmp_path)) is None


class Status(NamedTuple):
    """What `os.fstat` says."""

    st_mode: int
    st_uid: int


def test_a_file_of_roots_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(state.path(str(tmp_path))).write_bytes(WHOLE)
    fstat = os.fstat
    monkeypatch.setattr(os, "fstat", lambda file: Status(fstat(file).st_mode, 0))
    monkeypatch.setattr(os, "geteuid", lambda: 10001)
    assert State.read(str(tmp_path)) == State(1, state.READY)


def test_a_file_of_the_containers_user_counts_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(state.path(str(tmp_path))).write_bytes(WHOLE)
    fstat = os.fstat
    monkeypatch.setattr(os, "fstat", lambda file: Status(fstat(file).st_mode, 10001))
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(os, "stat", {"/proc/1": Status(0, 10001)}.__getitem__)
    assert State.read(str(tmp_path)) == State(1, state.READY)


def test_what_an_interrupted_write_left_is_no_obstacle(tmp_path: Path) -> None:
    Path(f"{state.path(str(tmp_path))}.0123456789abcdef").write_text("half" * 1000)
    State(1, state.READY).write(str(tmp_path))
    assert State.read(str(tmp_path)) == State(1, state.READY)


def test_a_missing_directory_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        State(1, state.READY).write(str(tmp_path / "missing"))
    assert State.read(str(tmp_path / "missing")) is None


def test_a_full_disk_raises_and_leaves_the_earlier_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    State(1, state.STARTING).write(str(tmp_path))

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        State(1, state.READY).write(str(tmp_path))
    assert State.read(str(tmp_path)) == State(1, state.STARTING)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"pid=1\nphase=ready\n",
        b"phase=ready\nend=\n",
        b"pid=one\nphase=ready\nend=\n",
        b"pid=0\nphase=ready\nend=\n",
        b"pid=-1\nphase=ready\nend=\n",
        b"pid=1\nphase=\x1b[2Jready\nend=\n",
        b"pid=1\nphase=ready\nhealth_path=/\\r\\nHost: evil\nend=\n",
        b"pid=1\nphase=ready\nunix=/a\\x1b[2J\nend=\n",
        b"pid=1\nphase=ready\nunix=\\x00a\\x00b\nend=\n",
        b"pid=1\nphase=ready\ntcp=80 a\\nb\nend=\n",
        b"pid=1\nphase=ready\ntcp=http 127.0.0.1\nend=\n",
        b"pid=1\nphase=ready\nunix=\\x\nend=\n",
        b"pid=1\nphase=ready\nunix=\xff\nend=\n",
        b"\x00\xff",
    ],
)
def test_what_cannot_be_understood_is_none(tmp_path: Path, content: bytes) -> None:
    Path(state.path(str(tmp_path))).write_bytes(content)
    assert State.read(str(tmp_path)) is None


def test_alive() -> None:
    assert State(os.getpid(), state.READY).alive
    assert State(1, state.READY).alive
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()
    assert not State(ended.pid, state.READY).alive
    assert not State(2**80, state.READY).alive


def test_listeners_of_real_sockets(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix, socket.socket(socket.AF_UNIX) as abstract:
        tcp.bind(("127.0.0.1", 0))
        unix.bind(path)
        abstract.bind(b"\0paddock-test-listeners")
        port = tcp.getsockname()[1]
        assert state.listeners_of(s.getsockname() for s in (tcp, unix, abstract)) == [
            ("127.0.0.1", port),
            path,
            "\0paddock-test-listeners",
        ]


def test_listeners_of_other_names() -> None:
    assert state.listeners_of([("::", 8000, 0, 0), "", b"", None, (1,)]) == [("::", 8000)]


def test_importing_it_is_cheap() -> None:
    code = "import sys; from paddock.health import state; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    expensive = {"json", "dataclasses", "typing", "re", "pathlib", "tempfile", "inspect", "ssl", "contextlib"}
    assert not expensive & set(done.stdout.split())
