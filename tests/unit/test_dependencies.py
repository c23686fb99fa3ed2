"""Dependabot looks into every folder that names somebody else's release."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

UPDATES = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]

KINDS = {
    "docker": r"Dockerfile",
    "docker-compose": r"/compose\.yaml$",
    "github-actions": r"^\.github/workflows/|/action\.yml$|/github-actions\.yml$",
    "pip": r"/poetry\.lock$",
    "uv": r"/uv\.lock$|/requirements[^/]*\.txt$",
}

OLD_ON_PURPOSE = [
    ROOT / "tests/image" / folder
    for folder in ("environments/app/pins", "environments/flask-2023", "environments/template", "sets")
]


def watched(ecosystem):
    """The folders that Dependabot looks into for a kind of file."""
    found = set()
    for update in UPDATES:
        if update["package-ecosystem"] == ecosystem:
            for pattern in update.get("directories") or [update["directory"]]:
                found |= set(ROOT.glob(pattern.strip("/"))) if pattern != "/" else {ROOT, ROOT / ".github/workflows"}
    return found


@pytest.mark.parametrize("ecosystem", KINDS)
def test_every_folder_is_watched(ecosystem):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    files = [ROOT / file for file in listed.splitlines() if re.search(KINDS[ecosystem], file)]

    assert files
    kept = {file.parent for file in files if not any(file.is_relative_to(folder) for folder in OLD_ON_PURPOSE)}
    left = kept - watched(ecosystem)
    assert left == set()
