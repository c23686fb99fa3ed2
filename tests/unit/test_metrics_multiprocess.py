"""The application's own metrics, from the files of prometheus_client."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paddock.errors import ConfigurationError
from paddock.metrics.multiprocess import DIRECTORY, ApplicationMetrics, Files

LOG = logging.getLogger("metrics.test")

WORKER = """
import os, sys
from prometheus_client import Counter, Gauge, Histogram

laps = Counter("laps", "Laps driven", ["driver"])
cars = Gauge("cars", "Cars on the track", multiprocess_mode="livesum")
each = Gauge("each", "Cars by process", multiprocess_mode="liveall")
most = Gauge("most", "The most ever", multiprocess_mode="max")
times = Histogram("times", "Lap times", buckets=(1, 2))
own = Counter("paddock_http_requests", "Somebody else's name")
laps.labels("Ada").inc(3)
cars.set(2); each.set(2); most.set(float(sys.argv[1])); times.observe(1.5); own.inc()
print("counted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """The directory, as the arbiter makes it."""
    monkeypatch.delenv(DIRECTORY, raising=False)
    monkeypatch.setenv(DIRECTORY, "")
    made = Files.prepare(str(tmp_path))
    assert made
    return made


@pytest.fixture
def workers(files: Files) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that count."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {DIRECTORY: str(files.path)},
        )
        for number in range(2)
    ]
    for process in processes:
        assert process.stdout
        process.stdout.readline()
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def page(application: ApplicationMetrics, openmetrics: bool = False) -> list[str]:
    """Return the lines of the application's part of the page."""
    return application.page(openmetrics).decode().splitlines()


def test_figures_of_all_processes(files: Files, workers: list[subprocess.Popen[bytes]]) -> None:
    lines = page(ApplicationMetrics(files, LOG))

    assert 'laps_total{driver="Ada"} 6.0' in lines
    assert "cars 4.0" in lines
    assert {f'each{{pid="{worker.pid}"}} 2.0' for worker in workers} <= set(lines)
    assert "most 1.0" in lines
    assert 'times_bucket{le="2.0"} 2.0' in lines


@pytest.mark.parametrize("reap", [True, False], ids=["reaped", "zombie"])
def test_a_process_that_has_ended(files: Files, workers: list[subprocess.Popen[bytes]], reap: bool) -> None:
    application = ApplicationMetrics(files, LOG)
    page(application)
    dead, living = workers
    dead.kill()
    os.waitid(os.P_PID, dead.pid, os.WEXITED | (0 if reap else os.WNOWAIT))

    lines = page(application)

    assert 'laps_total{driver="Ada"} 6.0' in lines, "what was counted stays"
    assert "cars 2.0" in lines
    assert [line for line in lines if line.startswith("each{")] == [f'each{{pid="{living.pid}"}} 2.0']
    assert "most 1.0" in lines


def test_openmetrics_without_its_last_line(files: Files, workers: list[subprocess.Popen[bytes]]) -> None:
    lines = page(ApplicationMetrics(files, LOG), True)

    assert "# TYPE laps counter" in lines
    assert "# EOF" not in lines


def test_the_images_own_names(files: Files, workers: list[subprocess.Popen[bytes]]) -> None:
    assert not [line for line in page(ApplicationMetrics(files, LOG)) if "paddock_" in line]


@pytest.mark.parametrize(
    "content", [b"x", b"\xff\xff\xff\x7f" + b"\0" * 60, b"\x40\0\0\0\0\0\0\0\xff\xff\0\0" + b"x" * 100]
)
def test_a_file_that_is_broken(
    files: Files, workers: list[subprocess.Popen[bytes]], caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (files.path / "counter_99.db").write_bytes(content)
    (files.path / "gauge.db").write_bytes(content)
    application = ApplicationMetrics(files, LOG)

    for _ in range(3):
        assert 'laps_total{driver="Ada"} 6.0' in page(application)

    messages = [record.message for record in caplog.records]
    assert len(messages) == 2
    assert all("cannot be read, and are left out" in message for message in messages)
    assert sum("counter_99.db" in message for message in messages) == 1


def test_a_file_that_is_being_made(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    (files.path / "counter_99.db").touch()

    assert page(ApplicationMetrics(files, LOG)) == []
    assert not caplog.records


def test_a_directory_that_has_gone(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    application = ApplicationMetrics(files, LOG)
    files.remove()

    for openmetrics in (False, True, False):
        assert page(application, openmetrics) == []
    assert len(caplog.records) == 1


# --- The directory ---


def test_it_is_emptied(tmp_path: Path, files: Files) -> None:
    (files.path / "counter_1.db").write_bytes(b"x")
    os.environ[DIRECTORY] = ""

    assert Files.prepare(str(tmp_path)) == files
    assert list(files.path.iterdir()) == []
    assert os.environ[DIRECTORY] == str(files.path)
    assert files.path.stat().st_mode & 0o777 == 0o700
    files.remove()
    assert not files.path.exists()


def test_one_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "deep" / "mine"
    monkeypatch.setenv(DIRECTORY, str(directory))
    directory.mkdir(parents=True)
    for name in ("counter_1.db", "notes.txt"):
        (directory / name).touch()

    files = Files.prepare("/nowhere")

    assert files == Files(directory, own=False)
    assert [file.name for file in directory.iterdir()] == ["notes.txt"]
    files.remove()
    assert directory.exists()


def test_one_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(DIRECTORY, str(tmp_path / "file" / "x"))

    with pytest.raises(ConfigurationError) as raised:
        Files.prepare(str(tmp_path))

    assert str(raised.value).startswith(f"PROMETHEUS_MULTIPROC_DIR='{tmp_path}/file/x': ")
    assert str(raised.value).endswith("cannot be used: Not a directory")


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delenv(DIRECTORY, raising=False)

    assert Files.prepare(str(tmp_path)) is None
    assert DIRECTORY not in os.environ
    assert list(tmp_path.iterdir()) == []
