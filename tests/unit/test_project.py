"""`paddock init`: what it finds in projects of many layouts, and what it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from paddock.project.command import init
from paddock.project.debian import needs
from paddock.project.files import compose, dockerfile
from paddock.project.survey import Project, survey

APP = "from fastapi import FastAPI\napp = FastAPI()\n"
FLASK = "from flask import Flask\napp = Flask(__name__)\n"
PYPROJECT = """
[project]
name = "shop"
version = "1"
requires-python = "{python}"
dependencies = ["fastapi"]
"""
UV_LOCK = """
version = 1
[[package]]
name = "fastapi"
version = "0.130.0"
[[package]]
name = "psycopg"
version = "3.3.0"
"""
SETTINGS = """
import os
SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = os.environ.get("DEBUG")
STATIC_URL = "static/"
WSGI_APPLICATION = "shop.wsgi.application"
"""
WSGI = """
import os
from django.core.wsgi import get_wsgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
application = get_wsgi_application()
"""
MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'

Make = Callable[[dict[str, str]], Project]


@pytest.fixture
def project(tmp_path: Path) -> Make:
    """Write files, and return what the project is that they make."""

    def make(files: dict[str, str]) -> Project:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return survey(tmp_path)

    return make


def django(settings: str, **files: str) -> dict[str, str]:
    return {
        "manage.py": MANAGE,
        "shop/__init__.py": "",
        "shop/settings.py": SETTINGS + settings,
        "shop/wsgi.py": WSGI,
        "requirements.txt": "Django==5.2\n",
        **files,
    }


@pytest.mark.parametrize(
    ("files", "manager", "framework", "module", "python"),
    [
        (
            {"pyproject.toml": PYPROJECT.format(python=">=3.12"), "uv.lock": UV_LOCK, "main.py": APP},
            *("uv", "fastapi", "main:app", "3.14"),
        ),
        (
            {"pyproject.toml": PYPROJECT.format(python=">=3.12,<3.13"), "uv.lock": UV_LOCK, "src/shop/main.py": APP},
            *("uv", "fastapi", "shop.main:app", "3.12"),
        ),
        (
            {
                "pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.12"\n',
                "poetry.lock": UV_LOCK,
                "app/main.py": APP,
                ".python-version": "3.13.2",
            },
            *("poetry", "fastapi", "app.main:app", "3.13"),
        ),
        (
            {"pyproject.toml": PYPROJECT.format(python="==3.13.*"), "pdm.lock": UV_LOCK, "app.py": APP},
            *("pdm", "fastapi", "app:app", "3.13"),
        ),
        (
            {
                "Pipfile": '[requires]\npython_version = "3.12"\n',
                "Pipfile.lock": json.dumps({"default": {"flask": {"version": "==3.1"}}}),
                "app.py": FLASK,
            },
            *("pipenv", "flask", "app:app", "3.12"),
        ),
        (
            {"requirements.txt": "Flask==3.1 \\\n  --hash=sha256:0\n", "wsgi.py": FLASK},
            *("pip", "flask", "wsgi:app", "3.14"),
        ),
        (
            {"requirements/base.txt": "flask\n", "requirements/prod.txt": "-r base.txt\n", "wsgi.py": FLASK},
            *("pip", "flask", "wsgi:app", "3.14"),
        ),
        (
            {"pyproject.toml": PYPROJECT.format(python="~=3.12"), "main.py": APP},
            *("pyproject", "fastapi", "main:app", "3.14"),
        ),
        (django(""), *("pip", "django", "shop.wsgi:application", "3.14")),
    ],
)
def test_layouts(project: Make, files: dict[str, str], manager: str, framework: str, module: str, python: str) -> None:
    found = project(files)

    assert (found.manager, found.framework, found.module, found.python) == (manager, framework, module, python)
    text = dockerfile(found)
    assert f"FROM paddock:{python} AS build\n" in text
    assert f"FROM paddock:{python}-slim\n" in text
    assert f"ENV APP_MODULE={module}\n" in text
    assert all(f"source={name},target={name}" in text for name in found.files)


def test_files_that_requirements_include(project: Make) -> None:
    found = project(
        {"requirements/prod.txt": "-r base.txt\n", "requirements/base.txt": "-c ../pins.txt\n", "pins.txt": ""}
    )

    assert found.files == ["requirements/prod.txt", "requirements/base.txt", "pins.txt"]


def test_hashes_are_required_where_there_are_some(project: Make) -> None:
    assert "--require-hashes" not in dockerfile(project({"requirements.txt": "flask==3.1\n"}))
    assert "--require-hashes" in dockerfile(project({"requirements.txt": "flask==3.1 --hash=sha256:0\n"}))


def test_packages_of_debian(project: Make) -> None:
    found = project({"pyproject.toml": PYPROJECT.format(python=">=3.12"), "uv.lock": UV_LOCK, "main.py": APP})
    build, serve = dockerfile(found).split("FROM paddock:3.14-slim")
    assert "libpq5" in serve
    assert "apt-get" not in build

    assert needs(["mysqlclient"])[1] == ["libmariadb3"]
    assert "default-libmysqlclient-dev" in needs(["mysqlclient"])[0]
    assert (
        needs(project({"uv.lock": "", "requirements.txt": "psycopg[binary]==3.3\n", "pyproject.toml": ""}).packages)[2]
        == []
    )


@pytest.mark.parametrize(
    ("settings", "migrates", "static", "data"),
    [
        (
            "STATIC_ROOT = 'static'\nDATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql'}}",
            True,
            True,
            "",
        ),
        ("DATABASES = url('sqlite:////data/shop.sqlite3')", True, False, "/data"),
        ("DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db.sqlite3'}}", False, False, ""),
    ],
)
def test_django(project: Make, settings: str, migrates: bool, static: bool, data: str) -> None:
    found = project(django(settings))

    assert found.required == ["SECRET_KEY"]
    assert bool(found.migrates) is migrates
    assert found.static is static
    assert found.data == data
    assert ("SECRET_KEY=only-for-the-build python manage.py collectstatic" in dockerfile(found)) is static
    assert ("service_completed_successfully" in compose(found)) is migrates
    assert (f"data:{data}" in compose(found)) is bool(data)
    assert "SECRET_KEY: ${SECRET_KEY:?}" in compose(found)
    assert any("the database is a file" in question for question in found.questions) is not migrates


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no lock file, requirements.txt or pyproject.toml"),
        ({"requirements.txt": "flask\n"}, "APP_MODULE: no application found"),
        ({"pyproject.toml": PYPROJECT.format(python="<3.12")}, "there is no image for that"),
        ({"pyproject.toml": PYPROJECT.format(python="soon")}, "which Python is it for?"),
        ({"pyproject.toml": PYPROJECT.format(python=">=3.12")}, "nothing is locked"),
        ({"Pipfile.lock": "{"}, "Pipfile.lock cannot be read"),
    ],
)
def test_what_it_cannot_know_is_a_question(project: Make, files: dict[str, str], words: str) -> None:
    found = project(files)

    assert any(words in question for question in found.questions)
    assert all(f"# ? {question}\n" in dockerfile(found) for question in found.questions)


def test_tests_have_a_stage_where_what_runs_them_is_locked(project: Make) -> None:
    files = {
        "pyproject.toml": PYPROJECT.format(python=">=3.12"),
        "uv.lock": UV_LOCK,
        "tests/test_a.py": "",
        "main.py": APP,
    }
    assert "AS test" not in dockerfile(project(files))
    files["pyproject.toml"] += '[dependency-groups]\ndev = ["pytest"]\n'
    assert "FROM build AS test\n" in dockerfile(project(files))


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "main.py").write_text(APP)
    (tmp_path / "requirements.txt").write_text("fastapi==0.130.0\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    assert init([], tmp_path) == 0
    said = capsys.readouterr().out
    assert (tmp_path / "Dockerfile").read_text() == "FROM scratch\n"
    assert "-FROM scratch" in said.splitlines()
    assert "wrote compose.yaml" in said.splitlines()

    assert init(["--force"], tmp_path) == 0
    assert (tmp_path / "Dockerfile").read_text() == dockerfile(survey(tmp_path))
    capsys.readouterr()
    assert init([], tmp_path) == 0
    assert "Dockerfile is as it would be written" in capsys.readouterr().out


def test_print_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "main.py").write_text(APP)
    assert init(["--print"], tmp_path) == 0

    said = capsys.readouterr().out
    assert all(f"# --- {name} ---\n" in said for name in ("Dockerfile", ".dockerignore", "compose.yaml"))
    assert [file.name for file in tmp_path.iterdir()] == ["main.py"]
