"""The README's recipes are the Dockerfiles that are tested, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TESTED = ROOT / "tests/image/environments"

NOT_FOR_READERS = re.compile(r"--mount=type=secret,id=ca,\S+ \\\n\s+|^ENV REQUESTS_CA_BUNDLE=.*\n", re.MULTILINE)
"""What the tested files need where TLS goes through a proxy; the README tells of it in a place of its own."""


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_recipes_are_those_that_are_tested():
    tested = {NOT_FOR_READERS.sub("", file.read_text()).strip() for file in TESTED.glob("*.Dockerfile")}
    recipes = [block.strip() for block in blocks("dockerfile")]

    assert len(recipes) >= 9
    assert [recipe for recipe in recipes if recipe not in tested] == []


def test_every_tested_file_is_built():
    bake = (ROOT / "docker-bake.hcl").read_text()

    assert [file.name for file in TESTED.glob("*.Dockerfile") if f'"{file.stem}"' not in bake] == []


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", README))
def test_links_lead_somewhere(link):
    assert link.startswith("https://") or (ROOT / link).exists()


def test_python_is_python():
    for block in blocks("python"):
        compile(block, "README.md", "exec")
