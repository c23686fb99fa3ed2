"""The application's own metrics, when it has the package prometheus_client.

With several processes that keeps its figures in files, which whoever serves the page adds up:
https://prometheus.github.io/client_python/multiprocess/
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddock.errors import ConfigurationError, Problem
from paddock.health.state import container_path
from paddock.metrics.page import END

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"

METRICS_PREFIX = "paddock_"
"""Names that the image keeps for itself: Prometheus refuses a page that has a metric twice."""

PID_OF_FILE = re.compile(r"_(\d+)\.db$")


@dataclass(frozen=True)
class Files:
    """The directory of the files; `own` when the image has chosen it."""

    path: Path
    own: bool

    @classmethod
    def prepare(cls, worker_tmp_dir: str) -> Files | None:
        """Make and empty the directory, before anything of the application is imported.

        It is the one that PROMETHEUS_MULTIPROC_DIR names, else one in `worker_tmp_dir`. None where the application has
        no prometheus_client.

        Raises:
            ConfigurationError: when it cannot be made or emptied.
        """
        if importlib.util.find_spec("prometheus_client") is None:
            return None
        given = os.environ.get(DIRECTORY)
        path = given or container_path(worker_tmp_dir, "prometheus")
        files = cls(Path(path), not given)
        try:
            files.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for file in files.path.glob("*.db"):
                file.unlink()
            if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(f"cannot be written by user {os.getuid()}")
        except OSError as error:
            reason = f"the directory for the application's metrics cannot be used: {error.strerror or error}"
            raise ConfigurationError([Problem(DIRECTORY if given else "WORKER_TMP_DIR", reason, path)]) from None
        os.environ[DIRECTORY] = path
        return files

    def remove(self) -> None:
        """Remove what the image has made."""
        if self.own:
            shutil.rmtree(self.path, ignore_errors=True)


class ApplicationMetrics:
    """The application's metrics, in the process that serves the page."""

    def __init__(self, files: Files, log: Any) -> None:
        """Import prometheus_client, of which the arbiter knows nothing."""
        from prometheus_client import generate_latest, multiprocess  # 70 ms, and the application's own
        from prometheus_client.openmetrics import exposition  # the same

        self.files = files
        self.log = log
        self.multiprocess: Any = multiprocess
        self.formats: dict[bool, Any] = {False: generate_latest, True: exposition.generate_latest}
        self.unreadable: set[str] = set()

    def page(self, openmetrics: bool) -> bytes:
        """Return the application's part of the page, without OpenMetrics' last line; nothing where that fails."""
        try:
            page: bytes = self.formats[openmetrics](self)
        except Exception as error:
            self.say_once("", "The application's metrics cannot be read, and are left out: %r", error)
            return b""
        return page.removesuffix(END.encode())

    def collect(self) -> Iterator[Any]:
        """Yield the metrics, as a registry of prometheus_client's does."""
        self.mark_dead()
        files = [str(file) for file in self.files.path.glob("*.db") if self.is_readable(file)]
        for metric in self.multiprocess.MultiProcessCollector.merge(files):
            if not metric.name.startswith(METRICS_PREFIX):
                yield metric

    def mark_dead(self) -> None:
        """Let the gauges of processes that have ended count no more, where they are for living ones."""
        pids = {match[1] for file in os.listdir(self.files.path) if (match := PID_OF_FILE.search(file))}
        for pid in pids:
            if not _lives(pid):
                self.multiprocess.mark_process_dead(pid, str(self.files.path))

    def is_readable(self, file: Path) -> bool:
        """Tell whether a file is whole; say once, when it is not."""
        try:
            # Empty: a process is just making it.
            if file.stat().st_size:
                self.multiprocess.MultiProcessCollector.merge([str(file)])
                return True
        except Exception as error:
            self.say_once(
                file.name, "The application's metrics in %s cannot be read, and are left out: %r", file, error
            )
        return False

    def say_once(self, name: str, message: str, *arguments: object) -> None:
        """Log what is wrong with a file, or with all (an empty `name`), the first time."""
        if name not in self.unreadable:
            self.unreadable.add(name)
            self.log.error(message, *arguments)


def _lives(pid: str) -> bool:
    """Tell whether a process runs; one that has ended and is not reaped yet does not."""
    try:
        status = Path("/proc", pid, "stat").read_bytes()
    except OSError:
        return False
    return status.rpartition(b")")[2].split()[0] not in (b"Z", b"X")
