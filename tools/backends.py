"""Whether every project is built by exactly the `uv_build` of the Dockerfile's `UV_VERSION`: ./dev lint runs this.

uv has that one within itself, and asks no index for it. Any other is downloaded for each build, and one that is not
pinned is another from day to day.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path


def main() -> int:
    """Name each project whose backend is another; return the exit status."""
    (version,) = re.findall(r"^ARG UV_VERSION=(.+)$", Path("Dockerfile").read_text(), re.MULTILINE)
    expected = [f"uv_build=={version}"]
    # Those of tests/image/projects stand for other people's.
    ours = ["git", "ls-files", "*pyproject.toml", ":!tests/image/projects"]
    files = subprocess.run(ours, stdout=subprocess.PIPE, text=True, check=True)
    failed = 0
    for file in files.stdout.split():
        system = tomllib.loads(Path(file).read_text()).get("build-system")
        if system and system.get("requires") != expected:
            print(
                f"{file}: build-system.requires is {system.get('requires')}: expected {expected}, as in the Dockerfile"
            )
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
