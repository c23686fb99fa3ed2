"""`paddock init`: writes the files that a project needs to become an image, and overwrites none."""

from __future__ import annotations

import difflib
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path

from paddock.project.files import files
from paddock.project.index import Index
from paddock.project.survey import survey


def init(arguments: Sequence[str], directory: Path) -> int:
    """Write, or print, the files for the project in `directory`, and say what was found. Returns 0.

    What cannot be known is a question in the Dockerfile, marked `# ?`.
    """
    parser = ArgumentParser("paddock init", description="Write Dockerfile, .dockerignore and compose.yaml.")
    parser.add_argument("--print", action="store_true", help="print the files, and write none")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    options = parser.parse_args(arguments)
    project = survey(directory, Index())
    made = files(project)
    if options.print:
        print("\n".join(f"# --- {name} ---\n{text}" for name, text in made.items()), end="")
        return 0
    for line in project.found:
        print(f"found: {line}")
    for line in project.questions:
        print(f"question: {line}")
    for name, text in made.items():
        print("\n".join(write(directory / name, text, options.force)))
    return 0


def write(file: Path, text: str, force: bool) -> Iterator[str]:
    """Write a file unless it is there, and say so; show how one that is there differs."""
    there = file.read_text(encoding="utf-8", errors="replace") if file.exists() else None
    if there == text:
        yield f"{file.name} is as it would be written"
    elif there is None or force:
        file.write_text(text, encoding="utf-8")
        yield f"wrote {file.name}"
    else:
        yield f"{file.name} is there, and stays; --force replaces it:"
        yield from difflib.unified_diff(
            there.splitlines(), text.splitlines(), file.name, f"{file.name} (new)", lineterm=""
        )
