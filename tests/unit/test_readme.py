"""The README's recipes are the Dockerfiles that are tested, and links lead somewhere, on all pages."""

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


def test_docker_hub_has_what_the_readme_has():
    page = ROOT / ".github/docker-hub.md"

    # https://docs.docker.com/docker-hub/repos/manage/information/
    assert page.stat().st_size < 25_000
    dockerfile, command = re.findall(r"^```\w+\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    assert dockerfile in blocks("dockerfile")
    assert command in blocks("sh")


PAGES = [
    ROOT / ".github/docker-hub.md",
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("examples/*/README.md"),
]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page):
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())]

    assert [link for link in links if not link.startswith("https://") and not (page.parent / link).exists()] == []


def test_every_example_and_guide_is_named():
    examples = [file.parent.relative_to(ROOT) for file in ROOT.glob("examples/*/README.md")]
    guides = [file.relative_to(ROOT) for file in ROOT.glob("docs/*.md")]

    assert [str(path) for path in [*examples, *guides] if f"]({path})" not in README] == []


def test_python_is_python():
    for block in blocks("python"):
        compile(block, "README.md", "exec")
