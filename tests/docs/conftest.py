"""The pages of docs/, followed by tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from page import Page


@pytest.fixture
def page(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Page]]:
    """Open a page: `page("migrations", example="django")`. A test must have run all of its commands when it ends."""
    opened: list[Page] = []

    def follow(name: str, example: str = "") -> Page:
        # Compose names what it starts after the directory.
        directory = tmp_path / f"{name}-{tmp_path.parent.name}"
        directory.mkdir()
        opened.append(Page(name, directory, example))
        # A run that was killed may have left what the page makes.
        opened[-1].clean()
        return opened[-1]

    yield follow
    for each in opened:
        each.clean()
    left = [step.commands for each in opened for step in each.steps]
    assert not left, "the test ended before the page:\n" + "\n".join(left)
