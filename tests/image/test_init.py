"""`paddock init`: what it writes for projects builds, on this image, and serves."""

import re
import shutil
import subprocess
from dataclasses import dataclass, field

import pytest

from paddock.project.debian import FROM_SOURCE, NEEDS
from page import ROOT

WRITTEN = ("Dockerfile", ".dockerignore", "compose.yaml")

PROJECTS = ROOT / "tests/image/projects"
ENVIRONMENTS = ROOT / "tests/image/environments"


@dataclass
class Layout:
    """A project, and what is special about it."""

    source: str
    environment: dict[str, str] = field(default_factory=dict)
    """What it wants to be told when it starts."""
    python: str = "3.14"
    path: str = "/"
    answer: str = "served"
    says: str = ""
    """What init says of it."""
    files: dict[str, str] = field(default_factory=dict)
    """What it holds, where it is no folder of the repository."""


OF_2024 = """
import markupsafe._speedups

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"served"]
"""

LAYOUTS = [
    Layout("examples/fastapi-uv", {"API_KEY": "sesame"}, path="/health", answer="items"),
    Layout("examples/fastapi-poetry", path="/health", answer="ok"),
    Layout("examples/flask-pip", path="/health", answer="ok"),
    Layout("examples/django", {"SECRET_KEY": "sesame", "ALLOWED_HOSTS": "*"}, path="/health", answer="WSGI"),
    # Its application is in a file that no server looks into; what it needs beside itself is not there.
    Layout("examples/celery", path="/health", answer="ok", says="question: which variable tells Celery's broker?"),
    Layout("examples/custom-conf", path="/pi/3", answer="3.14"),
    Layout("examples/litestar", path="/health", answer="circuits"),
    Layout("examples/observability", path="/health", answer="drivers"),
    Layout(
        "examples/opentelemetry",
        # Where traces go, who runs it says.
        {f"OTEL_{each}_EXPORTER": "none" for each in ("TRACES", "METRICS", "LOGS")},
        path="/health",
        answer="crew",
        says="found: opentelemetry-instrument",
    ),
    Layout("examples/starlette-websocket", path="/health", answer="people"),
    Layout("examples/unix-socket-nginx", path="/health", answer="ok"),
    Layout("tests/image/projects/pdm", says="found: pdm, as there is pdm.lock"),
    Layout("tests/image/projects/pipenv", says="found: Python 3.14, as Pipfile allows ==3.14.*"),
    Layout("tests/image/projects/pip-hashes", says="found: the application wsgi:app"),
    # Its manage.py is in a folder, its settings insist on a variable, and its requirements include others.
    Layout("tests/image/projects/django", {"SECRET_KEY": "sesame"}, says="found: static files"),
    # It asks for its own version: the package is installed.
    Layout("tests/image/projects/poetry-src", answer="served 1.0.0", says="found: the application shop.main:app"),
    # It names a build system, and has nothing that one would build.
    Layout("tests/image/projects/poetry-app", says="found: the application app.main:app"),
    Layout(
        "tests/image/projects/uv-wheels",
        python="3.13",
        says="found: Python 3.13, as pyproject.toml allows >=3.12; not 3.14, for which orjson has no wheel",
    ),
    Layout("tests/image/projects/uv-debian", answer="served 1"),
    # Here, where nothing moves its pins on.
    Layout(
        "pins-of-2024",
        python="3.13",
        says="found: Python 3.13; not 3.14, for which markupsafe has no wheel",
        files={"requirements.txt": "MarkupSafe==3.0.2\n", "main.py": OF_2024},
    ),
    Layout("tests/image/projects/pyproject", says="question: nothing is locked"),
    Layout("tests/image/environments/workspace", answer="itsdangerous", says="found: the member shop of the workspace"),
]


@pytest.fixture(params=LAYOUTS, ids=[layout.source.rpartition("/")[2] for layout in LAYOUTS])
def layout(request):
    return request.param


@pytest.fixture
def project(layout, tmp_path):
    """A copy of the project without the files that are to be written."""
    path = tmp_path / "project"
    if layout.files:
        path.mkdir()
    else:
        shutil.copytree(ROOT / layout.source, path, ignore=shutil.ignore_patterns(*WRITTEN))
    for name, text in layout.files.items():
        (path / name).write_text(text)
    if layout.source.endswith("workspace"):
        shutil.copy(ENVIRONMENTS / "app/main.py", path / "packages/shop/src/shop")
    path.chmod(0o777)
    return path


def test_what_is_written_for_a_project_serves(start, image, tools, project, request, layout):
    volumes = {str(project): {"bind": "/app", "mode": "rw"}}
    # It may ask an index what requirements do not say.
    said = start(image=f"{tools}:trusting", command="init", volumes=volumes, user="4711").outcome()
    assert said.status == 0, said
    assert [name for name in WRITTEN if f"wrote {name}" not in said.out] == []
    assert "question: " not in said.out.replace(layout.says, "")
    assert layout.says in said.out

    # Downloads work there, behind this machine's proxy.
    text = (project / "Dockerfile").read_text()
    building = text.replace(f"FROM paddock:{layout.python} AS build", f"FROM {tools}:{layout.python}-trusting AS build")
    assert building != text
    building = re.sub(r"^FROM paddock:(\S+)$", rf"FROM {image.partition(':')[0]}:\1", building, flags=re.MULTILINE)
    tag = f"paddock-init:{layout.source.rpartition('/')[2]}"
    request.addfinalizer(lambda: subprocess.run(["docker", "rmi", "--force", tag], check=False))
    build = ["docker", "build", "--tag", tag, "--file", "-", str(project)]
    subprocess.run(build, input=building, text=True, check=True)
    # Docker's check would ask for what the database has, and nothing has made that.
    options = {"read_only": True, "tmpfs": {"/tmp": "", "/data": "mode=1777"}}
    container = start(image=tag, environment=layout.environment, **options).wait_ready()

    answer = container.get(layout.path)
    assert (answer.status_code, layout.answer in answer.text) == (200, True), answer.text


CANDIDATES = """
echo "deb http://deb.debian.org/debian trixie main" >/tmp/trixie.list
options="-o Dir::Etc::sourcelist=/tmp/trixie.list -o Dir::Etc::sourceparts=-"
apt-get $options update -qq
for package; do
    apt-cache $options policy "$package" | grep -q "Candidate: [^(]" || echo "$package"
done
"""


def test_debian_has_the_packages_that_are_installed(start, tools):
    """The official image of Python, on which Paddock is built, is Debian 13."""
    container = start(command=["sleep", "infinity"], image=f"{tools}:trusting", user="0")
    named = {
        each for table in (NEEDS, FROM_SOURCE) for needed in table.values() for each in (*needed.build, *needed.run)
    }

    assert container.run("sh", "-euc", CANDIDATES, "sh", "no-such-package", *sorted(named)) == "no-such-package\n"
