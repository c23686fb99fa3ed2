"""The CI templates of examples/ci: their commands build, test and push an application."""

from __future__ import annotations

import os
import subprocess

import pytest
import yaml

from publish.conftest import ROOT

pytestmark = pytest.mark.xdist_group("ci")

DOCKERFILE = """
FROM paddock:3.14-slim AS app
COPY main.py ./

FROM app AS test
RUN python -c "import main; assert main.app"

FROM app
"""

APPLICATION = "async def app(scope, receive, send): pass\n"


def github(pushed):
    """The scripts of the workflow for GitHub, as they are run for a push or a pull request."""
    jobs = yaml.safe_load((ROOT / "examples/ci/github-actions.yml").read_text())["jobs"].values()
    wanted = [job for job in jobs if pushed or job.get("if") != "github.event_name == 'push'"]
    assert len(wanted) == (2 if pushed else 1)
    return [step["run"] for job in wanted for step in job["steps"] if "run" in step]


def gitlab(pushed):
    """The scripts of the pipeline for GitLab; whether it is the default branch it is told."""
    pipeline = yaml.safe_load((ROOT / "examples/ci/gitlab-ci.yml").read_text())
    return ["\n".join([*pipeline["default"]["before_script"], *pipeline["container"]["script"]])]


@pytest.fixture
def project(tmp_path, image, slim):
    """A small application with a stage for its tests."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "Dockerfile").write_text(DOCKERFILE.replace("paddock:3.14-slim", slim))
    (directory / "main.py").write_text(APPLICATION)
    return directory


@pytest.fixture(params=[github, gitlab])
def pipeline(request, registry, clone, project, tmp_path):
    """Run a pipeline; returns its output, and whether all of it succeeded."""
    name = f"{registry.address}/paddock"
    environment = {
        "IMAGE": name,
        "GITHUB_ENV": str(tmp_path / "github-env"),
        "GITHUB_REPOSITORY": "SomeBody/Shop",
        "GITHUB_SHA": "0123abc",
        "CI_DEFAULT_BRANCH": "main",
        "CI_COMMIT_SHA": "0123abc",
        "CI_REGISTRY": registry.address,
        "CI_REGISTRY_USER": "someone",
        "CI_REGISTRY_PASSWORD": "something",
        "DOCKER_CONFIG": str(tmp_path / "docker"),
    }

    def run(pushed=True):
        branch = "main" if pushed else "feature"
        for script in request.param(pushed):
            status, output = clone.attempt("sh", "-euc", script, cwd=project, CI_COMMIT_BRANCH=branch, **environment)
            if status:
                return False, output
        return True, output

    yield run
    clone.attempt("docker", "rmi", "--force", f"{name}:0123abc", f"{name}:latest")


def test_it_builds_tests_and_pushes(pipeline, registry):
    before = registry.tags()
    succeeded, output = pipeline()

    assert succeeded, output
    tags = registry.tags()
    assert tags.keys() >= {"0123abc", "latest"}
    assert tags["latest"] != before.get("latest")


def test_a_branch_is_tested_and_not_pushed(pipeline, registry):
    before = registry.tags()
    succeeded, output = pipeline(pushed=False)

    assert succeeded, output
    assert registry.tags() == before


def test_names_have_no_upper_case(tmp_path):
    file = tmp_path / "github-env"
    environment = {"GITHUB_ENV": str(file), "GITHUB_REPOSITORY": "SomeBody/Shop"}
    for script in github(pushed=True):
        if "GITHUB_ENV" in script:
            subprocess.run(["sh", "-euc", script], env={**os.environ, **environment}, check=True)

    assert file.read_text() == 2 * "IMAGE=ghcr.io/somebody/shop\n"


def test_it_ends_with_a_test_that_fails(pipeline, registry, project):
    (project / "main.py").write_text("app = None\n")
    before = registry.tags()
    succeeded, output = pipeline()

    assert not succeeded
    assert "AssertionError" in output
    assert registry.tags() == before


def test_it_ends_with_settings_that_are_wrong(pipeline, registry, project):
    with (project / "Dockerfile").open("a") as file:
        file.write("ENV WORKERS=four\n")
    before = registry.tags()
    succeeded, output = pipeline()

    assert not succeeded
    assert "WORKERS='four': expected" in output
    assert registry.tags() == before
