"""What a worker that crashes leaves to the arbiter."""

from __future__ import annotations

import faulthandler
import os
from types import SimpleNamespace

from paddock.workers import shared


def test_what_faulthandler_writes_in_the_worker_is_taken_by_the_arbiter() -> None:
    worker = SimpleNamespace(shared=shared.Shared())
    pid = os.fork()
    if not pid:
        faulthandler.dump_traceback(shared.descriptor(worker))
        os._exit(0)
    os.waitpid(pid, 0)

    assert "in test_what_faulthandler_writes" in shared.take(worker)
    assert worker.shared.dump.closed


def test_a_worker_that_dumps_nothing_leaves_nothing() -> None:
    worker = SimpleNamespace(shared=shared.Shared())

    assert shared.take(worker) == ""


def test_what_a_worker_writes_is_bounded() -> None:
    worker = SimpleNamespace(shared=shared.Shared())
    worker.shared.marks[shared.WANTS_REPLACEMENT] = 99
    os.ftruncate(worker.shared.dump.fileno(), 2**30)

    assert shared.wants_replacement(worker) == ""
    assert len(shared.take(worker)) == shared.LARGEST_DUMP


def test_under_another_arbiter_it_is_written_where_python_would() -> None:
    assert shared.descriptor(SimpleNamespace()) == shared.STDERR
