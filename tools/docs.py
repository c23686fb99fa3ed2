"""Write what is made of other files, the parts of pages, plots, gunicorn_conf.py: `./dev docs [--check]`.

What stands in a page between `<!-- NAME … -->` and `<!-- /NAME -->` is made of settings and measurements.

Needs: the packages of benchmarks/uv.lock in .cache/bench.
Leaves: pages and plots that are current, and what they were made of in .cache/docs. With `--check` only the latter, on
stdout what differs, and exit status 1 if anything does.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

MADE = Path(".cache/docs")
BLOCKS = MADE / "blocks"
PLOTS = Path("benchmarks/results")
PAGES = (Path("README.md"), Path("docs/sizing.md"), Path("docs/speed.md"))
CONF = Path("build/gunicorn_conf.py")


class PageError(Exception):
    """What is wrong with the marks in a page."""


def make() -> list[Path]:
    """Make pages and plots anew in `MADE`, and return their paths.

    Raises:
        subprocess.CalledProcessError: when the settings or the measurements cannot be read.
        PageError: when a page cannot be filled.
    """
    shutil.rmtree(MADE, ignore_errors=True)
    for folder in (BLOCKS, MADE / PLOTS, MADE / CONF.parent):
        folder.mkdir(parents=True)
    of_settings = {
        BLOCKS / "settings": ["-m", "paddock", "settings", "--format", "markdown"],
        MADE / CONF: ["tools/gunicorn_conf.py"],
    }
    for path, arguments in of_settings.items():
        with path.open("w") as file:
            environ = {**os.environ, "PYTHONPATH": "build"}
            subprocess.run([sys.executable, *arguments], env=environ, stdout=file, check=True)
    subprocess.run([".cache/bench/bin/python", "-m", "benchmarks.pages", BLOCKS, MADE / PLOTS], check=True)
    blocks = {block.name: block.read_text() for block in BLOCKS.iterdir()}
    for page in PAGES:
        (MADE / page).parent.mkdir(exist_ok=True)
        try:
            (MADE / page).write_text(fill(page.read_text(), blocks))
        except PageError as error:
            raise PageError(f"{page}: {error}") from None
    return [*PAGES, CONF, *(PLOTS / plot.name for plot in sorted((MADE / PLOTS).iterdir()))]


def fill(page: str, blocks: dict[str, str]) -> str:
    """Return a page with its generated blocks made anew.

    Args:
        page: the text, whose marks stand at the start of a line.
        blocks: what is to stand there, by name.

    Raises:
        PageError: for a block that does not end, is in another, or that nothing makes.
    """
    lines = []
    inside = ""
    for line in page.splitlines(keepends=True):
        begins = re.match("<!-- ([a-z][^ \n]*)", line)
        ends = re.match("<!-- /([^ \n]*)", line)
        if ends:
            if ends[1] != inside:
                raise PageError(f"<!-- /{ends[1]} --> ends nothing")
            inside = ""
        if begins and inside:
            raise PageError(f"<!-- {inside} --> does not end before <!-- {begins[1]} -->")
        if not inside:
            lines.append(line)
        if begins:
            inside = begins[1]
            if inside not in blocks:
                raise PageError(f"nothing makes <!-- {inside} -->")
            lines.append(f"\n{blocks[inside]}\n")
    if inside:
        raise PageError(f"<!-- {inside} --> does not end")
    return "".join(lines)


def difference(path: Path) -> Iterator[str]:
    """Yield the lines of what differs between a file and the one that was made; none when the file is current."""
    old, new = (file.read_text() if file.exists() else "" for file in (path, MADE / path))
    return difflib.unified_diff(old.splitlines(), new.splitlines(), str(path), str(MADE / path), lineterm="")


def main() -> str | int:
    """Do what the command line says; return the exit status, or a message for status 1."""
    parser = argparse.ArgumentParser("./dev docs", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, and say what is not current")
    check = parser.parse_args().check
    try:
        paths = make()
    except subprocess.CalledProcessError as error:
        # The program has said why.
        return error.returncode
    except PageError as error:
        return str(error)
    stale = [path for path in paths if not path.exists() or path.read_bytes() != (MADE / path).read_bytes()]
    if not check:
        for path in stale:
            shutil.copyfile(MADE / path, path)
        return 0
    for path in stale:
        print("\n".join(line[:200] for line in islice(difference(path), 40)), flush=True)
    if stale:
        return f"not what settings and measurements say: {' '.join(map(str, stale))}; ./dev docs mends it"
    return 0


if __name__ == "__main__":
    sys.exit(main())
