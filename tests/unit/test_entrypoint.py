"""The entrypoint takes nothing from PATH: the application's environment comes first there, and may be written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAMS = ("env", "readlink", "ls", "python", "paddock", "sh")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The entrypoint in a place of its own, with a server that says how it was called, and its words."""
    home = tmp_path / "opt"
    server = home / "lib/paddock"
    server.mkdir(parents=True)
    (server / "__main__.py").write_text("import sys\nprint('started', *sys.argv[1:])\n")
    (server / "__init__.py").touch()
    (server / "health").mkdir()
    (server / "health/check.py").write_text("def main():\n    print('healthy')\n    return 0\n")
    (home / "python").symlink_to(sys.executable)
    (home / "bin").mkdir()
    script = home / "bin/paddock"
    script.write_text((ROOT / "build/bin/paddock").read_text().replace("home=/opt/paddock\n", f"home={home}\n"))
    script.chmod(0o755)
    return home


@pytest.mark.parametrize("command", [[], ["health"], ["check"], ["main:app"], ["--workers", "2"]])
def test_programs_of_the_application_are_not_taken(image: Path, tmp_path: Path, command: list[str]) -> None:
    theirs = tmp_path / "venv/bin"
    theirs.mkdir(parents=True)
    for name in PROGRAMS:
        (theirs / name).write_text(f"#!/bin/sh\necho hijacked by {name}\n")
        (theirs / name).chmod(0o755)
    environ = {"PATH": f"{theirs}:/usr/bin:/bin", "VIRTUAL_ENV": str(tmp_path / "none"), "HOME": "/proc"}
    said = subprocess.run([image / "bin/paddock", *command], env=environ, capture_output=True, text=True, check=False)

    assert (said.returncode, said.stderr) == (0, "")
    expected = "healthy" if command == ["health"] else " ".join(["started", *(command or ["serve"])])
    assert said.stdout == f"{expected}\n"


def test_the_image_names_it_by_its_path() -> None:
    text = (ROOT / "Dockerfile").read_text()

    assert re.findall(r'^ENTRYPOINT \["(\S+)"\]$', text, re.MULTILINE) == ["/opt/paddock/bin/paddock"]
    assert re.findall(r'^HEALTHCHECK .* CMD \["(\S+)", "health"\]$', text, re.MULTILINE) == ["/opt/paddock/bin/paddock"]
