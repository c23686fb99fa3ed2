"""`paddock init`: what it writes for projects builds, on this image, and serves."""

import re
import shutil
import subprocess

import pytest

from page import ROOT

EXAMPLES = {
    "fastapi-uv": {"API_KEY": "sesame"},
    "fastapi-poetry": {},
    "flask-pip": {},
    "django": {"SECRET_KEY": "sesame", "ALLOWED_HOSTS": "*"},
}
"""Projects, and what they want to be told when they start."""

WRITTEN = ("Dockerfile", ".dockerignore", "compose.yaml")


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_is_written_for_an_example_serves(start, image, tools, tmp_path, request, example):
    project = tmp_path / example
    shutil.copytree(ROOT / "examples" / example, project, ignore=shutil.ignore_patterns(*WRITTEN))
    project.chmod(0o777)
    said = start(
        image=image, command="init", volumes={str(project): {"bind": "/app", "mode": "rw"}}, user="4711"
    ).outcome()
    assert said.status == 0, said
    assert [name for name in WRITTEN if f"wrote {name}" not in said.out] == []
    assert "question: " not in said.out

    dockerfile = project / "Dockerfile"
    # Downloads work there, behind this machine's proxy.
    building = re.sub(r"^FROM paddock:\S+ AS build", f"FROM {tools}:trusting AS build", dockerfile.read_text())
    building = re.sub(r"^FROM paddock:(\S+)$", rf"FROM {image.partition(':')[0]}:\1", building, flags=re.MULTILINE)
    tag = f"paddock-init:{example}"
    request.addfinalizer(lambda: subprocess.run(["docker", "rmi", "--force", tag], check=False))
    build = ["docker", "build", "--tag", tag, "--file", "-", str(project)]
    subprocess.run(build, input=building, text=True, check=True)
    # Docker's check would ask for what the database has, and nothing has made that.
    options = {"read_only": True, "tmpfs": {"/tmp": "", "/data": "mode=1777"}}
    container = start(image=tag, environment=EXAMPLES[example], **options)

    assert container.wait_ready().get("/health").status_code == 200
