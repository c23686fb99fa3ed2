"""Where lines go: outputs that nobody reads, that are closed, that are full, and that several processes share."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import pytest

from events import json_events, text_events
from paddock.text import output
from paddock.text.formats import formatter
from paddock.text.output import FileHandler, OutputHandler

LONG = "long " * 4000
"""Some times PIPE_BUF, and less than a pipe holds."""

Pipe = tuple[TextIO, TextIO]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose lines soon."""
    monkeypatch.setattr(output, "OUTPUT_PATIENCE", 0.05)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """The two ends of a pipe, the one to read from first."""
    ends = os.pipe()
    with open(ends[0]) as reading, open(ends[1], "w") as writing:
        yield reading, writing


def log_to(handler: logging.Handler, log_format: str = "json") -> logging.Logger:
    """Return a logger that nobody else has, which writes to `handler`."""
    handler.setFormatter(formatter(log_format))
    log = logging.Logger("shop", logging.INFO)
    log.addHandler(handler)
    return log


def drain(reading: TextIO) -> str:
    """Return what is in the pipe."""
    os.set_blocking(reading.fileno(), False)
    parts = []
    while select.select([reading], [], [], 0)[0] and (part := os.read(reading.fileno(), 1 << 20)):
        parts.append(part)
    return b"".join(parts).decode()


def fill(log: logging.Logger, handler: OutputHandler) -> None:
    """Log until lines are lost."""
    for _ in range(10_000):
        log.info("x" * 100)
        if handler.lost > 3:
            return
    pytest.fail("no line was lost")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_output_that_nobody_reads_loses_lines_and_says_how_many(pipe: Pipe, log_format: str) -> None:
    reading, writing = pipe
    handler = OutputHandler(writing)
    log = log_to(handler, log_format)
    fill(log, handler)
    lost = handler.lost
    before = drain(reading)
    log.info("read again")

    events = json_events(before + drain(reading)) if log_format == "json" else text_events(before + drain(reading))
    remark, last = [event["message"] if isinstance(event, dict) else event.message for event in events[-2:]]
    assert (remark, last) == (f"{lost} lines of the log are lost, nobody read it", "read again")


def test_a_line_that_was_cut_off_spoils_no_other(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = pipe
    handler = OutputHandler(writing)
    monkeypatch.setattr(handler, "has_room", lambda size, deadline: False)
    log = log_to(handler)
    for _ in range(20):
        log.info(LONG)
    assert handler.torn
    before = drain(reading)
    log.info("whole")

    *_, remark, whole = (before + drain(reading)).splitlines()
    assert "lost" in json_events(remark)[0]["message"]
    assert json_events(whole)[0]["message"] == "whole"


@pytest.mark.parametrize("line", [LONG, LONG * 5], ids=["long", "longer than a pipe of the system's size"])
def test_long_lines_of_several_processes_stay_whole(pipe: Pipe, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr(output, "OUTPUT_PATIENCE", 30.0)
    reading, writing = pipe
    handlers = [OutputHandler(writing) for _ in range(4)]

    def write(log: logging.Logger) -> None:
        for _ in range(25):
            log.info(line)
            log.info("short")

    def write_all() -> None:
        writers = [threading.Thread(target=write, args=(log_to(handler),)) for handler in handlers]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        writing.close()

    threading.Thread(target=write_all).start()
    assert Counter(event["message"] for event in json_events(reading.read())) == {line: 100, "short": 100}


def test_output_that_is_set_not_to_block_is_no_error(pipe: Pipe, capfd: pytest.CaptureFixture[str]) -> None:
    _, writing = pipe
    os.set_blocking(writing.fileno(), False)
    handler = OutputHandler(writing)
    handler.writable = select.poll()
    log = log_to(handler)
    with open(os.devnull, "w") as always:
        handler.writable.register(always, select.POLLOUT)
        fill(log, handler)

    assert capfd.readouterr().err == ""


def test_output_whose_reader_has_gone_is_told_once(pipe: Pipe, capfd: pytest.CaptureFixture[str]) -> None:
    reading, writing = pipe
    log = log_to(OutputHandler(writing))
    reading.close()
    for _ in range(3):
        log.info("for nobody")

    (event,) = json_events(capfd.readouterr().err)
    assert event["message"] == "the log cannot be written, lines are lost: Broken pipe"
    assert (event["level"], event["logger"]) == ("error", "paddock")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_full_disk_is_told_once(log_format: str, capfd: pytest.CaptureFixture[str]) -> None:
    handler = FileHandler("/dev/full")
    log = log_to(handler, log_format)
    for _ in range(3):
        log.info("too much")
    with suppress(OSError):
        handler.close()

    said = capfd.readouterr().err
    (message,) = (
        [event["message"] for event in json_events(said)]
        if log_format == "json"
        else [event.message for event in text_events(said)]
    )
    assert message == "the log cannot be written, lines are lost: No space left on device"


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_file_takes_what_cannot_be_encoded(tmp_path: Path, log_format: str) -> None:
    handler = FileHandler(str(tmp_path / "log"))
    log_to(handler, log_format).info("half a pair \ud800")
    handler.close()

    assert "half a pair \\" in (tmp_path / "log").read_text()


def test_an_output_that_is_a_file_gets_long_lines_in_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: sizes.append(len(data)) or write(file, data))
    with open(tmp_path / "log", "w") as file:
        log_to(OutputHandler(file)).info(LONG)

    assert len(sizes) == 1
    assert json_events((tmp_path / "log").read_text())[0]["message"] == LONG
