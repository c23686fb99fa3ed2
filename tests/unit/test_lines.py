"""Lines written together: whole, in order, never waited for, and counted where they are lost."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from events import json_events
from paddock.logs.lines import MOST_WAITING, Lines
from paddock.text.formats import formatter
from paddock.text.output import FileHandler, OutputHandler


class Pipe:
    """A pipe of which a handler has the one end, and the test the other."""

    def __init__(self) -> None:
        self.out, inlet = os.pipe()
        self.stream = os.fdopen(inlet, "w")
        self.handler = OutputHandler(self.stream)
        fcntl.fcntl(self.out, fcntl.F_SETPIPE_SZ, 65536)
        self.handler.setFormatter(logging.Formatter("%(message)s"))
        self.lines = Lines(self.handler)

    def read(self) -> bytes:
        """Return what is in the pipe by now."""
        found = b""
        while select.select([self.out], [], [], 0)[0] and (data := os.read(self.out, 1 << 20)):
            found += data
        return found

    def close(self) -> None:
        """Close both ends."""
        for descriptor in (self.out, self.lines.own_descriptor):
            if descriptor is not None:
                os.close(descriptor)
        self.stream.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_lines_are_written_at_once_and_in_order(pipe: Pipe) -> None:
    pipe.lines.fresh += [f"line {number}\n" for number in range(1000)]
    pipe.lines.flush()

    assert pipe.read() == "".join(f"line {number}\n" for number in range(1000)).encode()


def test_nobody_waits_for_a_reader_and_what_it_reads_is_whole(pipe: Pipe) -> None:
    line = "x" * 99 + "\n"
    for _ in range(2000):
        pipe.lines.fresh.append(line)
        pipe.lines.flush()

    got = b""
    while pipe.lines.waiting:
        got += pipe.read()
        pipe.lines.flush()
    got += pipe.read()
    assert got == line.encode() * 2000


def test_a_writer_in_between_does_not_block_it(pipe: Pipe) -> None:
    """Another process may fill the pipe between a look and a write; so the write itself must not block."""
    os.set_blocking(pipe.stream.fileno(), True)
    for _ in range(65536 // 4096):
        os.write(pipe.stream.fileno(), b"y" * 4096)
    pipe.lines.fresh.append("x\n")
    pipe.lines.flush()

    assert pipe.lines.bytes_waiting == 2
    assert pipe.read() == b"y" * 65536
    pipe.lines.flush()
    assert pipe.read() == b"x\n"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_lost_lines_are_counted_and_said(pipe: Pipe, log_format: str) -> None:
    if log_format == "json":
        pipe.handler.setFormatter(formatter("json"))
    line = "x" * 99 + "\n"
    batches = MOST_WAITING // 1000 + 500
    for _ in range(batches):
        pipe.lines.fresh += [line] * 10
        pipe.lines.flush()
    assert pipe.lines.bytes_waiting <= MOST_WAITING
    lost = pipe.lines.lost
    assert lost

    got = b""
    while pipe.lines.waiting:
        got += pipe.read()
        pipe.lines.flush()
    pipe.lines.fresh.append("after\n")
    pipe.lines.flush()
    got += pipe.read()

    *others, said, after = got.decode().splitlines()
    assert after == "after"
    assert f"{lost} lines of the log are lost" in said
    assert said.startswith("{") is (log_format == "json")
    assert len(others) + lost == batches * 10


def test_a_closed_output_is_said_once(pipe: Pipe, capfd: pytest.CaptureFixture[str]) -> None:
    os.close(pipe.out)
    for _ in range(3):
        pipe.lines.fresh.append("x\n")
        pipe.lines.flush()
    pipe.out = os.open("/dev/null", os.O_RDONLY)

    assert capfd.readouterr().err.count("the log cannot be written") == 1
    assert not pipe.lines.waiting


def test_the_last_lines_wait_a_little(pipe: Pipe) -> None:
    for _ in range(16):
        os.write(pipe.stream.fileno(), b"y" * 4096)
    pipe.lines.fresh.append("last\n")
    got: list[bytes] = []

    def read() -> None:
        got.append(os.read(pipe.out, 65536))

    reader = threading.Timer(0.1, read)
    reader.start()
    pipe.lines.flush(patience=30)
    reader.join()

    assert got[0] + pipe.read() == b"y" * 65536 + b"last\n"


def test_a_file(tmp_path: Path) -> None:
    handler = FileHandler(str(tmp_path / "log"))
    lines = Lines(handler)
    lines.fresh += ["x" * 999 + "\n"] * 1000
    lines.flush()
    handler.close()

    assert (tmp_path / "log").read_text() == ("x" * 999 + "\n") * 1000


def test_writers_of_many_processes_do_not_mix(pipe: Pipe) -> None:
    """Each child writes batches of its own letter; every line that arrives is of one letter, and whole."""
    children = []
    for letter in "abc":
        pid = os.fork()
        if not pid:
            lines = Lines(pipe.handler)
            for _ in range(300):
                lines.fresh += [letter * 120 + "\n"] * 50
                lines.flush(patience=30)
            os._exit(0)
        children.append(pid)
    got = b""
    while len(got) < 3 * 300 * 50 * 121:
        got += os.read(pipe.out, 1 << 20)
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0

    assert set(got.splitlines()) == {letter * 120 for letter in (b"a", b"b", b"c")}


def test_a_full_disk_is_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    handler = FileHandler("/dev/full")
    handler.setFormatter(formatter("json"))
    lines = Lines(handler)
    for number in range(3):
        lines.fresh.append(f"line {number}\n")
        lines.flush()
    handler.close()

    (event,) = json_events(capfd.readouterr().err)
    assert event["message"] == "the log cannot be written, lines are lost: No space left on device"


def test_a_line_that_a_full_disk_has_cut_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = FileHandler(str(tmp_path / "log"))
    handler.setFormatter(logging.Formatter("%(message)s"))
    lines = Lines(handler)
    room = [12]
    write = os.write

    def write_what_fits(file: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(file, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", write_what_fits)
    lines.fresh += ["line 1\n", "line 2\n"]
    lines.flush()
    room[0] = 1000
    for number in (3, 4):
        lines.fresh.append(f"line {number}\n")
        lines.flush()
    handler.close()

    first, torn, lost, *rest = (tmp_path / "log").read_text().splitlines()
    assert (first, torn, rest) == ("line 1", "line ", ["line 3", "line 4"])
    assert "lost" in lost
