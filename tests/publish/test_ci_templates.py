"""The CI templates of examples/ci: their commands build, test and push an application."""

from __future__ import annotations

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


def github():
    """The scripts of the workflow for GitHub, as they are run for a push."""
    (job,) = yaml.safe_load((ROOT / "examples/ci/github-actions.yml").read_text())["jobs"].values()
    return [step["run"] for step in job["steps"] if "run" in step]


def gitlab():
    """The scripts of the pipeline for GitLab, as they are run on the default branch."""
    pipeline = yaml.safe_load((ROOT / "examples/ci/gitlab-ci.yml").read_text())
    return [
        "\n".join([*pipeline["default"]["before_script"], *pipeline[name]["script"]]) for name in pipeline["stages"]
    ]


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
        "GITHUB_SHA": "0123abc",
        "CI_COMMIT_SHA": "0123abc",
        "CI_REGISTRY": registry.address,
        "CI_REGISTRY_USER": "someone",
        "CI_REGISTRY_PASSWORD": "something",
        "DOCKER_CONFIG": str(tmp_path / "docker"),
    }

    def run():
        for script in request.param():
            status, output = clone.attempt("sh", "-euc", script, cwd=project, **environment)
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
