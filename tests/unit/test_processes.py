"""What the kernel knows of processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddock.processes import shell_above


@pytest.mark.parametrize(
    ("parent", "first", "found"),
    [
        (1, "sh", "sh"),
        (1, "bash", "bash"),
        (1, "tini", ""),
        (1, "docker-init", ""),
        (0, "sh", ""),
        (7, "sh", ""),
        (1, "", ""),
    ],
)
def test_the_shell_that_is_pid_1(tmp_path: Path, parent: int, first: str, found: str) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "comm").write_text(f"{first}\n")

    assert shell_above(parent, tmp_path) == found
