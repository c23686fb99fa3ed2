"""`paddock init`: what it finds in projects of many layouts, and what it writes."""

from __future__ import annotations

import json
import os
import platform
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from paddock.project.command import init
from paddock.project.debian import needs
from paddock.project.files import compose, dockerfile
from paddock.project.index import Index, resolved
from paddock.project.survey import Project, survey

APP = "from fastapi import FastAPI\napp = FastAPI()\n"
CELERY = 'from celery import Celery\napp = Celery("race")\n'
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


@pytest.fixture(autouse=True)
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """No index is there unless a test has one."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")


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


WHEELS = {
    "uv.lock": """
version = 1
[[package]]
name = "orjson"
version = "3.10.12"
wheels = [
    {{ url = "https://example.com/orjson-3.10.12-{tag}-manylinux_2_17_{machine}.whl" }},
    {{ url = "https://example.com/orjson-3.10.12-cp314-cp314-win_amd64.whl" }},
    {{ url = "https://example.com/orjson-3.10.12-cp314-cp314-manylinux_2_17_riscv64.whl" }},
]
[[package]]
name = "windows-only"
version = "1"
wheels = [{{ url = "https://example.com/windows_only-1-cp312-cp312-win_amd64.whl" }}]
[[package]]
name = "source-only"
version = "1"
sdist = {{ url = "https://example.com/source-only-1.tar.gz" }}
""",
    "poetry.lock": """
[[package]]
name = "orjson"
version = "3.10.12"
files = [{{file = "orjson-3.10.12-{tag}-manylinux_2_17_{machine}.whl", hash = "sha256:0"}}]
""",
    "pdm.lock": """
[[package]]
name = "orjson"
version = "3.10.12"
files = [{{url = "https://example.com/orjson-3.10.12-{tag}-manylinux_2_17_{machine}.whl", hash = "sha256:0"}}]
""",
}


@pytest.mark.parametrize("lock", WHEELS)
@pytest.mark.parametrize(
    ("tag", "python"),
    [
        ("cp314-cp314", "3.14"),
        ("cp313-cp313", "3.13"),
        ("cp312-cp312", "3.12"),
        ("cp39-abi3", "3.14"),
        ("cp313-cp313t", "3.13"),
    ],
)
def test_the_python_is_one_that_there_are_wheels_for(
    project: Make, monkeypatch: pytest.MonkeyPatch, lock: str, tag: str, python: str
) -> None:
    monkeypatch.setattr("paddock.project.survey.PYTHONS", ["3.14", "3.13", "3.12", "3.15"])
    text = WHEELS[lock].format(tag=tag, machine=platform.machine())
    found = project({"pyproject.toml": PYPROJECT.format(python=">=3.12"), lock: text, "main.py": APP})

    assert (found.python, found.compiled) == (python, [])
    assert "gcc" not in dockerfile(found)


def test_what_has_no_wheel_for_the_python_of_the_project_is_compiled(project: Make) -> None:
    text = WHEELS["uv.lock"].format(tag="cp312-cp312", machine=platform.machine())
    found = project({"pyproject.toml": PYPROJECT.format(python="==3.13.*"), "uv.lock": text, "main.py": APP})

    assert (found.python, found.compiled) == ("3.13", ["orjson"])
    assert "# For orjson.\nUSER 0\n" in dockerfile(found)
    assert "apt-get install -y --no-install-recommends gcc libc6-dev\n" in dockerfile(found)


@pytest.mark.parametrize(
    ("files", "python"),
    [
        ({"runtime.txt": "python-3.13.1\n"}, "3.13"),
        ({"Dockerfile": "# syntax=x\nFROM python:3.12-slim AS build\n"}, "3.12"),
        ({"Dockerfile": "FROM docker.io/library/python:3.13.2\n"}, "3.13"),
        ({".python-version": "3.11\n", "Dockerfile": "FROM python:3.12\n"}, "3.12"),
    ],
)
def test_other_files_name_a_python(project: Make, files: dict[str, str], python: str) -> None:
    assert project({"requirements.txt": "flask\n", "app.py": FLASK, **files}).python == python


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": "flask\nshop @ git+https://example.com/shop@v1\n", "app.py": FLASK},
        {
            "pyproject.toml": PYPROJECT.format(python=">=3.12"),
            "uv.lock": UV_LOCK + 'source = { git = "https://example.com/shop?rev=v1#0" }\n',
            "main.py": APP,
        },
    ],
)
def test_packages_from_git_need_git(project: Make, files: dict[str, str]) -> None:
    build, _, serve = dockerfile(project(files)).partition("-slim\n")

    assert "# For packages from git" in build.replace("psycopg, ", "")
    assert "git" in build.partition("--no-install-recommends")[2].split("\n")[0].split()
    assert "git" not in serve


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"requirements.txt": "-e .\nflask\n", "setup.py": "", "app.py": FLASK}, "uv pip install"),
        ({"requirements.txt": "./shared\nflask\n", "app.py": FLASK}, "uv pip install"),
        (
            {
                "pyproject.toml": '[tool.uv.workspace]\nmembers = ["packages/*"]\n',
                "uv.lock": UV_LOCK,
                "packages/shop/pyproject.toml": '[project]\nname = "the-shop"\n',
                "packages/shop/src/shop/__init__.py": "",
                "packages/shop/src/shop/main.py": APP,
            },
            "uv sync --locked --no-dev --no-editable --no-cache --package the-shop",
        ),
        (
            {
                "pyproject.toml": PYPROJECT.format(python=">=3.12"),
                "uv.lock": UV_LOCK + 'source = { directory = "lib" }\n',
                "main.py": APP,
            },
            "uv sync --locked --no-dev --no-editable --no-cache",
        ),
    ],
)
def test_folders_of_the_project_are_there_when_they_are_installed(
    project: Make, files: dict[str, str], command: str
) -> None:
    text = dockerfile(project(files))

    assert 0 < text.index("COPY --chown=10001:0 . .") < text.index(command)
    assert "--no-install-project" not in text


@pytest.mark.parametrize(
    ("toml", "files", "installed"),
    [
        ('name = "the-shop"', {"the_shop/__init__.py": ""}, True),
        ('name = "the-shop"', {"src/the_shop/__init__.py": ""}, True),
        ('name = "the-shop"', {"app/__init__.py": ""}, False),
        ('name = "the-shop"\n[tool.poetry]\npackages = [{ include = "app" }]', {"app/__init__.py": ""}, True),
        ('name = "the-shop"\n[tool.poetry]\npackage-mode = false', {"the_shop/__init__.py": ""}, False),
        ('name = "the-shop"\n[tool.setuptools.packages.find]\nwhere = ["lib"]', {}, True),
    ],
)
def test_only_what_can_be_built_is_installed(project: Make, toml: str, files: dict[str, str], installed: bool) -> None:
    system = '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
    found = project(
        {"pyproject.toml": f"{system}[project]\n{toml}\n", "poetry.lock": UV_LOCK, "app.py": FLASK, **files}
    )

    assert found.installable is installed
    assert ("uv pip install --no-deps --no-cache ." in dockerfile(found)) is installed


def test_a_version_that_comes_from_git_is_given(project: Make) -> None:
    system = '[build-system]\nrequires = ["hatchling", "hatch-vcs"]\nbuild-backend = "hatchling.build"\n'
    files = {"shop/__init__.py": "", "app.py": FLASK, "uv.lock": UV_LOCK}
    found = project({"pyproject.toml": PYPROJECT.format(python=">=3.12") + system, **files})

    assert "ENV SETUPTOOLS_SCM_PRETEND_VERSION=0\n" in dockerfile(found)


def test_a_django_project_in_a_folder(project: Make) -> None:
    settings = """
import environ
env = environ.Env(DEBUG=(bool, False), TIER=(str, "basic"))
TIER = env("TIER")
SECRET_KEY = env("SECRET_KEY")
DEBUG = env.bool("DEBUG", default=False)
DATABASES = {"default": env.db("DATABASE_URL")}
EMAIL = env.str("EMAIL", "somebody@example.com")
STATIC_ROOT = "static"
"""
    files = django(settings, **{"requirements.txt": "Django==5.2\n"})
    found = project({name if name == "requirements.txt" else f"web/{name}": text for name, text in files.items()})

    assert found.manage == "web/manage.py"
    assert found.required == ["SECRET_KEY", "DATABASE_URL"]
    assert found.migrates == "python web/manage.py migrate"
    assert "ENV PYTHONPATH=/app/web\nENV APP_MODULE=shop.wsgi:application\n" in dockerfile(found)
    values = "SECRET_KEY=only-for-the-build DATABASE_URL=sqlite:////tmp/db"
    assert f"RUN {values} python web/manage.py collectstatic --no-input" in dockerfile(found)


def test_settings_by_decouple(project: Make) -> None:
    settings = """
from decouple import config
KEY = config("API_KEY")
DEBUG = config("DEBUG", default=False, cast=bool)
"""
    assert project(django(settings)).required == ["SECRET_KEY", "API_KEY"]


OPTIONAL = """
import os
from os import environ
NAME = os.environ["ALWAYS"]
if os.environ["TESTED"] == "yes":
    INNER = os.environ["SOMETIMES"]
if "HOST" in os.environ:
    HOST = os.environ["HOST"]
if os.environ.get("REDIS_URL"):
    CACHE = os.environ["REDIS_URL"]
PORT = environ["PORT"] if "PORT" in environ else 80
MAIL = os.getenv("MAIL") or os.environ["OTHER_MAIL"]
try:
    SENTRY = os.environ["SENTRY"]
except KeyError:
    SENTRY = None
def later():
    return os.environ["LATER"]
STATIC_ROOT = "static"
"""


def test_variables_that_settings_can_do_without(project: Make) -> None:
    found = project(django(OPTIONAL))

    assert found.required == ["SECRET_KEY", "ALWAYS", "TESTED"]
    assert set(found.demanded) == {*found.required, "SOMETIMES", "OTHER_MAIL", "LATER"}
    assert "SOMETIMES=only-for-the-build" in dockerfile(found)


def test_variables_of_the_settings_for_developers(project: Make) -> None:
    settings = "import os\n{} = os.environ['{}']\n"
    files = {
        f"shop/settings/{name}.py": settings.format(name, variable)
        for name, variable in {"local": "MACHINE", "production": "HOST"}.items()
    }
    found = project(django("") | {"shop/settings/__init__.py": ""} | files)

    assert "HOST" in found.required
    assert "MACHINE" not in found.required
    assert {"HOST", "MACHINE"} <= set(found.demanded)


PYDANTIC = """
from pydantic import BaseModel, EmailStr, Field, PostgresDsn, SecretStr
import pydantic_settings
from pydantic_settings import BaseSettings, SettingsConfigDict

class Mail(BaseModel):
    host: str

class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file="../.env", env_prefix="shop_")
    api_key: SecretStr
    database_url: PostgresDsn
    workers: int = 4
    title: str = Field(..., max_length=10)
    optional: str | None = None
    late: str = Field(default_factory=str)
    other: str = Field(alias="ELSE")
    mail: Mail

class Tests(BaseSettings):
    unused: str

class FromFiles(pydantic_settings.BaseSettings):
    secret: str
    class Config:
        secrets_dir = "/run/secrets"

class Given(BaseSettings):
    one: str

settings, files, given = Settings(), FromFiles(), Given(one="1")
"""


def test_settings_of_pydantic(project: Make) -> None:
    files = {"requirements.txt": "fastapi\npydantic-settings\n", "main.py": APP, "shop/core/config.py": PYDANTIC}
    found = project(files)

    assert found.required == ["SHOP_API_KEY", "SHOP_DATABASE_URL", "SHOP_TITLE"]
    text = dockerfile(found)
    assert "ENV REQUIRED_ENV=SHOP_API_KEY,SHOP_DATABASE_URL,SHOP_TITLE\n" in text
    assert "ENV SECRETS_ENV=SHOP_API_KEY,SHOP_DATABASE_URL\n" in text
    assert project(files | {"requirements.txt": "fastapi\n"}).required == []


def test_a_project_in_a_folder_is_named(project: Make) -> None:
    found = project({"backend/uv.lock": UV_LOCK, "backend/pyproject.toml": PYPROJECT, "README.md": ""})

    assert "is it in backend/, where there is uv.lock: init there?" in found.questions


def test_files_that_requirements_include(project: Make) -> None:
    found = project(
        {"requirements/prod.txt": "-r base.txt\n", "requirements/base.txt": "-c ../pins.txt\n", "pins.txt": ""}
    )

    assert found.files == ["requirements/prod.txt", "requirements/base.txt", "pins.txt"]


def test_hashes_are_required_where_there_are_some(project: Make) -> None:
    assert "--require-hashes" not in dockerfile(project({"requirements.txt": "flask==3.1\n"}))
    assert "--require-hashes" in dockerfile(project({"requirements.txt": "flask==3.1 --hash=sha256:0\n"}))


ON_INDEX = {
    "numpy": ["numpy-1.26.4-cp312-cp312-manylinux_2_17_{0}.whl", "numpy-2.4.0-cp314-cp314-manylinux_2_17_{0}.whl"],
    "pandas": ["pandas-2.2.3-cp312-cp312-manylinux_2_17_{0}.whl", "pandas-2.2.3-cp313-cp313-manylinux_2_17_{0}.whl"],
    "flask": ["flask-3.1.0-py3-none-any.whl"],
    "old": ["old-1.0.tar.gz"],
    "ancient": ["ancient-1.0-cp38-cp38-manylinux_2_17_{0}.whl"],
}


class Pages(BaseHTTPRequestHandler):
    """An index of packages."""

    def do_GET(self) -> None:
        wheels = ON_INDEX.get(self.path.split("/")[2])
        self.send_response(200 if wheels else 404)
        self.end_headers()
        for wheel in wheels or ():
            self.wfile.write(f'<a href="/files/{wheel}">{wheel}</a>'.format(platform.machine()).encode())

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def index(no_index: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index, where uv, if there is one, cannot resolve anything."""
    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/simple/"
        monkeypatch.setenv("UV_DEFAULT_INDEX", url)
        yield Index(url)
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("requirements", "python", "said"),
    [
        ("numpy==1.26.4\n", "3.12", "Python 3.12; not 3.14, for which numpy has no wheel"),
        ("Flask==3.1.0\npandas==2.2.3  # why\n", "3.12", "Python 3.12; not 3.14, for which pandas has no wheel"),
        ("numpy==2.4.0 \\\n    --hash=sha256:0\n", "3.14", "Python 3.14"),
        ("ancient==1.0\n", "3.12", "Python 3.12; not 3.14, for which ancient has no wheel"),
        ("numpy==1.26.4; python_version < '3.10'\nflask>=3\nold==1.0\nnone==1\n", "3.14", "Python 3.14"),
    ],
)
def test_pins_have_the_python_that_there_are_wheels_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: Index, requirements: str, python: str, said: str
) -> None:
    monkeypatch.setattr("paddock.project.survey.PYTHONS", ["3.14", "3.12"])
    (tmp_path / "requirements.txt").write_text(requirements)
    found = survey(tmp_path, index)

    assert found.python == python
    assert said in found.found


def test_requirements_may_name_an_index(tmp_path: Path, index: Index) -> None:
    (tmp_path / "requirements.txt").write_text(f"--index-url {index.url}\nflask==3.1.0\n")
    found = survey(tmp_path, Index("http://127.0.0.1:1/simple"))

    assert [each.name for each in found.locked] == ["flask"]
    assert [each for each in found.found if "no answer" in each] == []


def test_no_index_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy==1.26.4\n")
    found = survey(tmp_path, Index())

    assert found.locked == []
    assert "no answer of 127.0.0.1, which would know the Pythons that there are wheels for" in found.found


def test_what_uv_resolves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages that are not named bring what has to be compiled, as pydantic does."""
    uv = tmp_path / "bin/uv"
    uv.parent.mkdir()
    uv.write_text('#!/bin/sh\n[ "$1 $2" = "pip compile" ] || exit 2\ncat requirements.txt\necho numpy==1.26.4\n')
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{uv.parent}:{os.environ['PATH']}")
    (tmp_path / "requirements.txt").write_text("pandas==2.2.3\n")

    assert resolved(tmp_path / "requirements.txt") == {"pandas": "2.2.3", "numpy": "1.26.4"}
    uv.write_text("#!/bin/sh\nexit 1\n")
    assert resolved(tmp_path / "requirements.txt") == {}


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": "--no-binary pillow,lxml\nPillow==12.0\n"},
        {"requirements.txt": "pillow==12.0\n", "pyproject.toml": '[tool.uv]\nno-binary-package = ["Pillow"]\n'},
        {"requirements.txt": "pillow==12.0\n", "poetry.toml": '[installer]\nno-binary = ["pillow"]\n'},
    ],
)
def test_packages_that_are_built_from_source(project: Make, files: dict[str, str]) -> None:
    assert "libjpeg" not in dockerfile(project({"requirements.txt": "pillow==12.0\n"}))
    build, serve = dockerfile(project(files)).split("\n\nFROM ")
    assert "# For pillow.\n" in build
    assert " libjpeg-dev " in build
    assert " libjpeg62-turbo " in serve


def test_what_imports_packages_has_their_libraries(project: Make) -> None:
    packages = {"requirements.txt": "django\npsycopg\n"}
    collected = django("STATIC_ROOT = 'static'\nINSTALLED_APPS = ['django.contrib.gis']")
    build, serve = dockerfile(project(collected | packages)).split("\n\nFROM ")

    for stage in (build, serve):
        assert "# For django.contrib.gis, psycopg.\n" in stage
        assert "libgdal36 libgeos-c1t64 libpq5 libproj25" in stage
    assert "libpq5" not in dockerfile(project(django("") | packages)).split("\n\nFROM ")[0]


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


def test_an_application_in_a_file_of_another_name(project: Make) -> None:
    files = {
        "requirements.txt": "flask\ncelery\n",
        "race/__init__.py": "",
        "race/web.py": FLASK,
        "race/tasks.py": CELERY,
    }
    found = project(files)

    assert found.module == "race.web:app"
    assert "    command: celery --app race.tasks worker\n" in compose(found)
    assert [question for question in found.questions if "APP_MODULE" in question] == []
    assert any("Celery's broker" in question for question in found.questions)
    assert "worker:" not in compose(project({"requirements.txt": "flask\n", "race/tasks.py": CELERY}))
    assert project({**files, "race/admin.py": FLASK}).module == ""


def test_instrumentation_is_around_the_server(project: Make) -> None:
    text = dockerfile(project({"requirements.txt": "flask\nopentelemetry-distro\n", "app.py": FLASK}))

    assert text.endswith('ENTRYPOINT ["opentelemetry-instrument", "paddock"]\nCMD ["serve"]\n')
    assert "ENTRYPOINT" not in dockerfile(project({"requirements.txt": "flask\n", "app.py": FLASK}))


@pytest.mark.parametrize(
    ("exporters", "wanted"),
    [(["http"], True), (["grpc"], False), (["http", "grpc"], False)],
)
def test_traces_go_by_the_exporter_that_is_installed(project: Make, exporters: list[str], wanted: bool) -> None:
    packages = ["opentelemetry-distro", *(f"opentelemetry-exporter-otlp-proto-{name}" for name in exporters)]
    text = dockerfile(project({"requirements.txt": "\n".join(packages), "main.py": APP}))

    assert ("ENV OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n" in text) == wanted


def test_traces_have_the_name_of_the_project(project: Make) -> None:
    files = {
        "pyproject.toml": PYPROJECT.format(python=">=3.12"),
        "requirements.txt": "opentelemetry-distro\n",
        "main.py": APP,
    }
    assert "ENV OTEL_SERVICE_NAME=shop\n" in dockerfile(project(files))


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
