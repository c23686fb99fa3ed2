"""Print a version's section of the changelog, which is the text of its release: .github/notes.py VERSION"""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"


def notes(changelog: str, version: str) -> str:
    """Return what the changelog says of a version.

    Raises:
        ValueError: when it says nothing.
    """
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    section = re.search(rf"{heading}(.*?)(?=^## |^\[[^\]]+\]: |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if not section or not section[1].strip():
        raise ValueError(f"CHANGELOG.md has no section '## [{version}] - <date>', or an empty one")
    return section[1].strip() + "\n"


if __name__ == "__main__":
    try:
        print(notes(CHANGELOG.read_text(), sys.argv[1]), end="")
    except ValueError as error:
        sys.exit(f"notes: {error}")
