"""WORKERS=auto while the limits change."""

from __future__ import annotations

from paddock.arbiter.following import LOOK_AT_LIMITS, Resizing
from paddock.settings.sizing import Resources

GIB = 2**30


def test_a_change_is_told_once() -> None:
    found = Resources(4, 1.0, None)
    limits = Resizing(16, lambda: found)
    assert limits.changed(0) is None

    found = Resources(4, 3.0, None)
    assert limits.changed(LOOK_AT_LIMITS - 1) is None
    sizing = limits.changed(LOOK_AT_LIMITS)
    assert sizing is not None
    assert sizing.workers == 3
    assert "CPU quota 3 of 4 CPUs" in sizing.reason
    assert limits.changed(2 * LOOK_AT_LIMITS) is None


def test_memory_that_shrinks() -> None:
    found = Resources(4, None, 4 * GIB)
    limits = Resizing(16, lambda: found)
    found = Resources(4, None, GIB // 4)

    sizing = limits.changed(0)
    assert sizing is not None
    assert sizing.workers == 1
    assert "set by the memory limit" in sizing.reason


def test_what_changes_no_number_is_not_told() -> None:
    found = Resources(4, 1.5, 4 * GIB)
    limits = Resizing(2, lambda: found)
    found = Resources(4, 3.5, 8 * GIB)

    assert limits.changed(0) is None
