"""docs/migrating.md: what its tables say of names is so."""

import re
from pathlib import Path

import pytest
from gunicorn.config import KNOWN_SETTINGS
from uvicorn.main import main as uvicorn

from paddock.settings.environment import resolve
from paddock.settings.table import SETTINGS

TEXT = (Path(__file__).parents[2] / "docs/migrating.md").read_text()
HERE = [row.split(" | ")[-1] for row in TEXT.splitlines() if row.startswith("|") and not row.startswith("| from")]
NAME = re.compile(r"`([A-Z][A-Z0-9]*_?[A-Z0-9_]*)(?:=([^`]*))?`")
FOUND = {(name, value) for column in HERE for name, value in NAME.findall(column)}

DOCKERS = {"ENV", "WORKDIR", "USER", "VIRTUAL_ENV", "PYTHONPATH"}
"""Names that are no settings of the server's."""


def names() -> set[str]:
    """Every variable that the image takes."""
    own = {name for setting in SETTINGS for name in (setting.name, *setting.aliases)}
    return own | {f"GUNICORN_{setting.name.upper()}" for setting in KNOWN_SETTINGS} | {"GUNICORN_CMD_ARGS"}


def test_every_name_exists() -> None:
    assert len(FOUND) > 50
    assert {name for name, _ in FOUND} - DOCKERS - names() == set()


@pytest.mark.parametrize(("name", "value"), sorted((name, value) for name, value in FOUND if value))
def test_every_value_is_taken(name: str, value: str) -> None:
    assert [str(problem) for problem in resolve({name: value}).problems] == []


def test_every_flag_of_uvicorns_exists() -> None:
    section = TEXT.partition("## `uvicorn --workers`")[2].partition("\n## ")[0]
    flags = set(re.findall(r"`(--[a-z-]+)", section))
    known = {flag for parameter in uvicorn.params for flag in (*parameter.opts, *parameter.secondary_opts)}

    assert len(flags) > 25
    assert flags - known == set()


def test_every_anchor_leads_to_a_heading() -> None:
    headings = {
        re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    }

    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) - headings == set()
