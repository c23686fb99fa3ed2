"""What a project is: who installs its packages, for which Python, its framework, its module, its tests."""

from __future__ import annotations

import ast
import json
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from paddock.application import finding
from paddock.errors import StartError
from paddock.processes import read_text

PYTHONS = ("3.14", "3.13", "3.12", "3.15")
"""What there are images for, the one to prefer first."""

DISTRIBUTION = r"[A-Za-z0-9][A-Za-z0-9._-]*"

FRAMEWORKS = (
    "django",
    "fastapi",
    "litestar",
    "starlette",
    "quart",
    "sanic",
    "flask",
    "falcon",
    "bottle",
    "pyramid",
    "dash",
)

PLACEHOLDER = "only-for-the-build"


@dataclass
class Project:
    """A project in `directory`. `found` says, for each thing that was found, what and why; `questions` what was not."""

    directory: Path
    manager: str = "none"
    """uv, poetry, pdm, pipenv, pip, pyproject, or none."""
    files: list[str] = field(default_factory=list)
    """What the packages are installed from."""
    hashed: bool = False
    python: str = PYTHONS[0]
    packages: set[str] = field(default_factory=set)
    """Names of distributions, normalized; those that others bring along too where there is a lock file."""
    installable: bool = False
    """Whether the project is a package itself, which a src/ layout wants installed."""
    framework: str = ""
    module: str = ""
    manage: bool = False
    """Whether it is a Django project with its manage.py at the top."""
    static: bool = False
    """Whether Django's collectstatic has somewhere to write to."""
    migrates: str = ""
    """The command that brings the database up to date, where it is not a file of the project's."""
    data: str = ""
    """The directory of a database that is a file, where it is not the project's own."""
    required: list[str] = field(default_factory=list)
    """Variables without which the settings cannot be imported."""
    tests: str = ""
    """The directory of tests, where the packages to run them are locked too."""
    found: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)


def survey(directory: Path) -> Project:
    """Return what the project in `directory` is."""
    project = Project(directory)
    toml = _toml(directory / "pyproject.toml")
    _find_packages(project, toml)
    _find_python(project, toml)
    _find_framework(project)
    _find_module(project)
    if project.framework == "django":
        _look_at_django(project)
    elif (directory / "alembic.ini").is_file():
        project.migrates = "alembic upgrade head"
    if project.migrates:
        project.found.append(f"a service that ends first: `{project.migrates}`")
    _find_tests(project, toml)
    return project


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(file))
    except ValueError:
        return {}


def _find_packages(project: Project, toml: dict[str, Any]) -> None:
    """Find who installs the packages, from what, and which."""
    here = project.directory
    project.installable = "build-system" in toml
    for manager, lock in (("uv", "uv.lock"), ("poetry", "poetry.lock"), ("pdm", "pdm.lock")):
        if toml and (here / lock).is_file():
            project.manager, project.files = manager, ["pyproject.toml", lock]
            project.packages = {canonicalize_name(each["name"]) for each in _toml(here / lock).get("package", [])}
            project.found.append(f"{manager}, as there is {lock}")
            return
    if (here / "Pipfile.lock").is_file():
        project.manager, project.files = "pipenv", ["Pipfile", "Pipfile.lock"]
        try:
            project.packages = {
                canonicalize_name(name) for name in json.loads(read_text(here / "Pipfile.lock")).get("default", {})
            }
        except ValueError:
            project.questions.append("Pipfile.lock cannot be read")
        project.found.append("pipenv, as there is Pipfile.lock")
        return
    for name in ("requirements.txt", "requirements/production.txt", "requirements/prod.txt", "requirements/base.txt"):
        if (here / name).is_file():
            project.manager, project.files = "pip", _included(here, name)
            text = "\n".join(read_text(here / file) for file in project.files)
            project.packages = _named(text)
            project.hashed = "--hash=" in text
            project.found.append(f"pip, with{'' if project.hashed else 'out'} hashes, as there is {name}")
            return
    dependencies = toml.get("project", {}).get("dependencies", [])
    if dependencies:
        project.manager, project.files = "pyproject", ["pyproject.toml"]
        project.packages = _named("\n".join(dependencies))
        project.found.append("pip, from the dependencies in pyproject.toml")
        project.questions.append(
            "nothing is locked, so each build takes the newest packages: `uv lock` makes a lock file"
        )
    else:
        project.questions.append("no lock file, requirements.txt or pyproject.toml says what packages it needs")


def _named(text: str) -> set[str]:
    """Return the distributions that lines begin with, and their extras as `psycopg-binary` for `psycopg[binary]`."""
    found: set[str] = set()
    for name, extras in re.findall(rf"^({DISTRIBUTION})(?:\[([^]]*)\])?", text, re.MULTILINE):
        found |= {
            canonicalize_name(name),
            *(canonicalize_name(f"{name}-{extra.strip()}") for extra in extras.split(",") if extra),
        }
    return found


def _included(directory: Path, name: str) -> list[str]:
    """Return a file of requirements and those that it includes."""
    files = [name]
    for file in files:
        for match in re.finditer(
            r"^(?:-r|-c|--requirement|--constraint)[ =]*(\S+)", read_text(directory / file), re.MULTILINE
        ):
            path = os.path.normpath(Path(file).parent / match[1])
            if path not in files and (directory / path).is_file():
                files.append(path)
    return files


def _find_python(project: Project, toml: dict[str, Any]) -> None:
    """Find the Python: of .python-version, else the first image that the project allows."""
    pinned = re.match(r"(?:cpython-)?(\d+\.\d+)", read_text(project.directory / ".python-version"))
    if pinned and pinned[1] in PYTHONS:
        project.python = pinned[1]
        project.found.append(f"Python {project.python}, as .python-version says")
        return
    poetry = toml.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python", "")
    wanted, where = toml.get("project", {}).get("requires-python") or _caret(str(poetry)), "pyproject.toml"
    if not wanted and (requires := _toml(project.directory / "Pipfile").get("requires", {})):
        version = str(requires.get("python_full_version") or requires.get("python_version") or "")
        wanted, where = f"=={'.'.join(version.split('.')[:2])}.*" if version else "", "Pipfile"
    try:
        allowed = SpecifierSet(wanted or "")
    except InvalidSpecifier:
        allowed = SpecifierSet()
        project.questions.append(f"which Python is it for? {where} says {wanted}")
    fitting = [python for python in PYTHONS if allowed.contains(f"{python}.1") or allowed.contains(f"{python}.99")]
    if not fitting:
        project.questions.append(f"it is for Python {wanted}, and there is no image for that: does {PYTHONS[0]} do?")
        return
    project.python = fitting[0]
    project.found.append(f"Python {project.python}" + (f", as {where} allows {wanted}" if wanted else ""))


def _caret(poetry: str) -> str:
    """Return Poetry's way to write a version as that of everybody else."""
    if match := re.fullmatch(r"[\^~](\d+)\.(\d+).*", poetry):
        upper = f"<{int(match[1]) + 1}" if poetry[0] == "^" else f"<{match[1]}.{int(match[2]) + 1}"
        return f">={poetry[1:]},{upper}"
    return "" if poetry == "*" else poetry


def _find_framework(project: Project) -> None:
    project.framework = next((name for name in FRAMEWORKS if name in project.packages), "")
    if project.framework:
        project.found.append(project.framework)


def _find_module(project: Project) -> None:
    """Find the application, as the server does when it starts."""
    project.manage = (project.directory / "manage.py").is_file()
    try:
        project.module = finding.find(project.directory).spec
        project.found.append(f"the application {project.module}")
    except StartError as error:
        project.questions.append(f"APP_MODULE: {str(error).splitlines()[0]}")


def _look_at_django(project: Project) -> None:
    """Find what the settings want, and whether there is a database elsewhere and a place for static files."""
    sources = [
        source
        for source in finding.modules(project.directory).values()
        if "settings" in source.module.split(".") or source.file.parent.name == "settings"
    ]
    text = "\n".join(read_text(source.file) for source in sources)
    for source in sources:
        if tree := source.tree():
            project.required += [name for name in _required(tree) if name not in project.required]
    project.static = bool(re.search(r"^STATIC_ROOT\s*=", text, re.MULTILINE)) and project.manage
    if project.static:
        project.found.append("static files, as the settings have STATIC_ROOT")
    elif "STATIC_URL" in text:
        project.questions.append(
            "the settings have no STATIC_ROOT, so no static files are collected: docs/static-files.md"
        )
    if file := re.search(r"sqlite:///(/[\w/.-]+)/[\w.-]+", text):
        project.data = file[1]
        project.found.append(f"a volume for the database in {project.data}")
    if project.manage and (project.data or re.search(r"postgres|mysql|oracle|DATABASE_URL", text)):
        project.migrates = "python manage.py migrate"
    elif "sqlite3" in text:
        project.questions.append(
            "the database is a file, which is lost with the container, and read-only there: a volume?"
        )


def _required(tree: ast.Module) -> list[str]:
    """Return the variables that `os.environ["NAME"]` insists on."""
    return [
        node.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Load)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
        and ast.unparse(node.value) in ("os.environ", "environ")
    ]


def _find_tests(project: Project, toml: dict[str, Any]) -> None:
    """Find tests, where what runs them is in the lock file."""
    directory = next((name for name in ("tests", "test") if (project.directory / name).is_dir()), "")
    groups = json.dumps([toml.get("dependency-groups"), toml.get("tool", {}).get("poetry", {}).get("group")])
    if directory and project.manager in ("uv", "poetry") and "pytest" in groups:
        project.tests = directory
        project.found.append(f"a stage for the tests in {directory}/, which pytest runs")
