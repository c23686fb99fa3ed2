"""A release's text is its section of the changelog."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

notes = runpy.run_path(str(Path(__file__).parents[2] / ".github/notes.py"))["notes"]

CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.0] - 2026-11-27

### Added

- Something.

## [1.1.0] - 2026-10-01

## [1.0.0] - 2026-09-01

- The first.

[1.2.0]: https://example.com/1.2.0
"""


def test_one_section():
    assert notes(CHANGELOG, "1.2.0") == "### Added\n\n- Something.\n"


def test_the_last_one_ends_before_the_links():
    assert notes(CHANGELOG, "1.0.0") == "- The first.\n"


@pytest.mark.parametrize("version", ["1.1.0", "1.20", "1.3.0", "Unreleased"])
def test_nothing_to_say_is_an_error(version):
    with pytest.raises(ValueError, match=r"CHANGELOG\.md has no section"):
        notes(CHANGELOG, version)
