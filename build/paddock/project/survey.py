"""What a project is: who installs its packages, for which Python, its framework, its module, its tests."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from paddock.application import finding
from paddock.errors import StartError
from paddock.processes import read_text
from paddock.project.index import Index
from paddock.project.locked import Locked, read
from paddock.project.variables import insisted_on, settings_fields

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The Python of the image that this runs in: that one is there."""

PYTHONS = sorted(("3.14", "3.13", "3.12", "3.15"), key=RUNNING.__ne__)
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

FOR_DEVELOPERS = frozenset({"local", "dev", "develop", "development", "test", "tests", "testing", "ci"})
"""What modules of Django's settings are called that nobody serves with."""

PLACEHOLDER = "only-for-the-build"


@dataclass
class Project:
    """A project in `directory`. `found` says, for each thing that was found, what and why; `questions` what was not."""

    directory: Path
    name: str = ""
    """What pyproject.toml calls it."""
    manager: str = "none"
    """uv, poetry, pdm, pipenv, pip, pyproject, or none."""
    files: list[str] = field(default_factory=list)
    """What the packages are installed from."""
    hashed: bool = False
    python: str = PYTHONS[0]
    packages: set[str] = field(default_factory=set)
    """Names of distributions, normalized; those that others bring along too where there is a lock file."""
    locked: list[Locked] = field(default_factory=list)
    compiled: list[str] = field(default_factory=list)
    """Packages that are built from source: they have no wheel for that Python, or it shall not be used."""
    git: bool = False
    """Whether a package comes from a git repository."""
    whole: bool = False
    """Whether packages can be installed only where all of the project is: some of them are folders of it."""
    member: str = ""
    """The member of a uv workspace that is served."""
    installable: bool = False
    """Whether the project is a package itself, which a src/ layout wants installed."""
    versioned: bool = False
    """Whether its version comes from git, which an image has not."""
    framework: str = ""
    module: str = ""
    path: str = ""
    """The folder that Python has to look into for it, where the server would not."""
    manage: str = ""
    """The path of Django's manage.py."""
    static: bool = False
    """Whether Django's collectstatic has somewhere to write to."""
    migrates: str = ""
    """The command that brings the database up to date, where it is not a file of the project's."""
    data: str = ""
    """The directory of a database that is a file, where it is not the project's own."""
    worker: str = ""
    """The command of Celery's worker."""
    instrument: str = ""
    """The command that wraps the server's."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables that its packages read, and what they must say for the packages that are there."""
    required: list[str] = field(default_factory=list)
    """Variables without which it cannot start."""
    demanded: list[str] = field(default_factory=list)
    """Variables without which Django's settings may not be imported."""
    tests: str = ""
    """The directory of tests, where the packages to run them are locked too."""
    found: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)


def survey(directory: Path, index: Index | None = None) -> Project:
    """Return what the project in `directory` is; `index` is asked for what its requirements do not say."""
    toml = _toml(directory / "pyproject.toml")
    name = toml.get("project", {}).get("name") or _tool(toml, "poetry").get("name") or ""
    project = Project(directory, name=str(name))
    _find_packages(project, toml)
    if index and project.manager == "pip":
        _ask(project, index)
    _find_python(project, toml)
    _find_framework(project)
    _find_module(project)
    _find_package(project, toml)
    if project.framework == "django":
        _look_at_django(project)
    elif (directory / "alembic.ini").is_file():
        project.migrates = "alembic upgrade head"
    if project.migrates:
        project.found.append(f"a service that ends first: `{project.migrates}`")
    _find_settings(project)
    _find_companions(project)
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
    for manager, lock in (("uv", "uv.lock"), ("poetry", "poetry.lock"), ("pdm", "pdm.lock")):
        if toml and (here / lock).is_file():
            project.manager, project.files = manager, ["pyproject.toml", lock]
            project.locked = read(_toml(here / lock).get("package", []))
            project.packages = {each.name for each in project.locked}
            project.git = any(each.git for each in project.locked)
            project.whole = any(each.local for each in project.locked) or bool(_tool(toml, "uv", "workspace"))
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
            text = _requirements(project)
            project.packages = _named(text)
            project.hashed = "--hash=" in text
            project.git = "git+" in text
            project.whole = bool(re.search(r"^(-e |--editable|file:|\.)", text, re.MULTILINE))
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
        names = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "requirements.txt")
        project.questions += [
            f"is it in {file.parent.name}/, where there is {name}: init there?"
            for name in names
            for file in here.glob(f"*/{name}")
        ]


def _ask(project: Project, index: Index) -> None:
    """Find which wheels there are of what the requirements pin, and what that brings along."""
    try:
        project.locked = index.locked(project.directory / project.files[0], _requirements(project))
    except OSError:
        project.found.append(f"no answer of {index.host}, which would know the Pythons that there are wheels for")
    project.packages |= {each.name for each in project.locked}


def _requirements(project: Project) -> str:
    """Return what all its files of requirements say."""
    return "\n".join(read_text(project.directory / file) for file in project.files)


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


NAMED_IN = {
    ".python-version": r"(?:cpython-)?(\d+\.\d+)",
    "runtime.txt": r"python-(\d+\.\d+)",
    "Dockerfile": r"(?s).*?^FROM (?:\S*/)?python:(\d+\.\d+)",
}
"""Files that name a Python, and where in them."""


def _find_python(project: Project, toml: dict[str, Any]) -> None:
    """Find the Python: of a file that names one, else the first image that the project allows and has wheels for."""
    wanted, where = _allowed(project.directory, toml)
    try:
        allowed = SpecifierSet(wanted or "")
    except InvalidSpecifier:
        allowed = SpecifierSet()
        project.questions.append(f"which Python is it for? {where} says {wanted}")
    fitting = [python for python in PYTHONS if allowed.contains(f"{python}.1") or allowed.contains(f"{python}.99")]
    for name, pattern in NAMED_IN.items():
        named = re.match(pattern, read_text(project.directory / name), re.MULTILINE)
        if named and named[1] in fitting:
            project.python = named[1]
            project.found.append(f"Python {project.python}, as {name} says")
            break
    else:
        if not fitting:
            project.questions.append(
                f"it is for Python {wanted}, and there is no image for that: does {PYTHONS[0]} do?"
            )
            return
        project.python = min(fitting, key=lambda python: _trouble(project, python))
        reason = f", as {where} allows {wanted}" if wanted else ""
        if project.python != fitting[0]:
            reason += f"; not {fitting[0]}, for which {', '.join(_compiled(project, fitting[0])[:3])} has no wheel"
        project.found.append(f"Python {project.python}{reason}")
    unwanted = _unwanted_wheels(project, toml)
    project.compiled = sorted({*_compiled(project, project.python), *unwanted & project.packages})


def _unwanted_wheels(project: Project, toml: dict[str, Any]) -> set[str]:
    """Return the packages whose wheels shall not be used.

    https://docs.astral.sh/uv/reference/settings/#no-binary-package, https://python-poetry.org/docs/configuration/ and
    https://pip.pypa.io/en/stable/reference/requirements-file-format/
    """
    names = [*_tool(toml, "uv").get("no-binary-package", ())]
    poetry = _toml(project.directory / "poetry.toml").get("installer", {}).get("no-binary", ())
    names += poetry if isinstance(poetry, list) else str(poetry or "").split(",")
    if project.manager == "pip":
        for given in re.findall(r"^--no-binary[ =](\S+)", _requirements(project), re.MULTILINE):
            names += given.split(",")
    return {canonicalize_name(name) for name in names}


def _trouble(project: Project, python: str) -> tuple[int, int]:
    """Return how much a Python has against it: what has no wheel anywhere is compiled for an old one sooner."""
    compiled = len(_compiled(project, python))
    return compiled, int(python.partition(".")[2]) if compiled else 0


def _compiled(project: Project, python: str) -> list[str]:
    """Return the packages that would have to be compiled for a Python."""
    return [each.name for each in project.locked if not each.has_wheel(python)]


def _allowed(directory: Path, toml: dict[str, Any]) -> tuple[str, str]:
    """Return which Pythons the project allows, and the file that says so."""
    poetry = _tool(toml, "poetry", "dependencies").get("python", "")
    wanted = toml.get("project", {}).get("requires-python") or _caret(str(poetry))
    if not wanted and (requires := _toml(directory / "Pipfile").get("requires", {})):
        version = str(requires.get("python_full_version") or requires.get("python_version") or "")
        return f"=={'.'.join(version.split('.')[:2])}.*" if version else "", "Pipfile"
    return wanted, "pyproject.toml"


def _tool(toml: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the table of a tool in pyproject.toml, empty if there is none."""
    table: Any = toml.get("tool", {})
    for name in names:
        table = table.get(name, {}) if isinstance(table, dict) else {}
    return table if isinstance(table, dict) else {}


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
    found = (path for pattern in ("manage.py", "*/manage.py") for path in sorted(project.directory.glob(pattern)))
    project.manage = next((str(path.relative_to(project.directory)) for path in found), "")
    try:
        target = finding.find(project.directory)
    except StartError as error:
        made = finding.made(project.directory)
        if len(made) != 1:
            project.questions.append(f"APP_MODULE: {str(error).splitlines()[0]}")
            return
        target = made[0]
    project.module = target.spec
    # The server itself looks into src/.
    path = target.path.relative_to(project.directory)
    project.path = "" if str(path) in (".", "src") else str(path)
    project.found.append(f"the application {project.module}")


def _find_companions(project: Project) -> None:
    """Find what runs beside the server or around it."""
    if "celery" in project.packages and (made := finding.made(project.directory, frozenset({"Celery"}))):
        project.worker = f"celery --app {made[0].module} worker"
        project.found.append(f"a service for Celery: `{project.worker}`")
        project.questions.append("which variable tells Celery's broker? compose.yaml has no service for one")
    if "opentelemetry-distro" in project.packages:
        project.instrument = "opentelemetry-instrument"
        project.found.append(f"{project.instrument}, as there is opentelemetry-distro")
        # It exports by gRPC unless it is told: https://opentelemetry.io/docs/languages/sdk-configuration/otlp-exporter/
        exporter = "opentelemetry-exporter-otlp-proto-"
        if f"{exporter}http" in project.packages and f"{exporter}grpc" not in project.packages:
            project.environment["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"
        if project.name:
            project.environment["OTEL_SERVICE_NAME"] = project.name


def _modules_in(directory: Path, called: set[str]) -> list[finding.Source]:
    """Return the modules below a directory that are called so, and those in folders that are."""
    return [
        finding.Source(file, folder)
        for folder in finding.folders(directory)
        for file in sorted(folder.glob("*.py"))
        if {file.stem, folder.name} & called
    ]


def _find_settings(project: Project) -> None:
    """Find the variables that pydantic's settings insist on."""
    if "pydantic-settings" not in project.packages:
        return
    for source in _modules_in(project.directory, {"settings", "config"}):
        if tree := source.tree():
            project.required += [name for name in settings_fields(tree) if name not in project.required]
    if project.required:
        project.found.append(f"variables that the settings insist on: {', '.join(project.required)}")


def _look_at_django(project: Project) -> None:
    """Find what the settings want, and whether there is a database elsewhere and a place for static files."""
    root = (project.directory / project.manage).parent if project.manage else project.directory
    sources = _modules_in(root, {"settings"})
    text = "\n".join(read_text(source.file) for source in sources)
    for source in sources:
        if tree := source.tree():
            demanded = insisted_on(tree)
            project.demanded += [name for name in demanded if name not in project.demanded]
            if source.file.stem not in FOR_DEVELOPERS:
                project.required += [
                    name for name, always in demanded.items() if always and name not in project.required
                ]
    project.static = bool(re.search(r"^STATIC_ROOT\s*=", text, re.MULTILINE) and project.manage)
    if project.static:
        project.found.append("static files, as the settings have STATIC_ROOT")
    elif "STATIC_URL" in text:
        project.questions.append(
            "the settings have no STATIC_ROOT, so no static files are collected: docs/static-files.md"
        )
    if "django.contrib.gis" in text:
        project.packages.add("django.contrib.gis")
    if file := re.search(r"sqlite:///(/[\w/.-]+)/[\w.-]+", text):
        project.data = file[1]
        project.found.append(f"a volume for the database in {project.data}")
    if project.manage and (project.data or re.search(r"postgres|mysql|oracle|DATABASE_URL", text)):
        project.migrates = f"python {project.manage} migrate"
    elif "sqlite3" in text:
        project.questions.append(
            "the database is a file, which is lost with the container, and read-only there: a volume?"
        )


def _find_package(project: Project, toml: dict[str, Any]) -> None:
    """Find whether the project can be installed: many name a build system, and have nothing that it would build."""
    system = toml.get("build-system", {})
    folder = canonicalize_name(project.name).replace("-", "_")
    told = [
        _tool(toml, "poetry").get("packages"),
        _tool(toml, "setuptools").get("packages"),
        _tool(toml, "setuptools").get("py-modules"),
        _tool(toml, "hatch", "build", "targets", "wheel"),
        _tool(toml, "uv", "build-backend").get("module-name"),
    ]
    here = project.directory
    there = folder and any((here / path).exists() for path in (folder, f"{folder}.py", f"src/{folder}"))
    project.installable = bool(system and (there or any(told))) and _tool(toml, "poetry").get("package-mode", True)
    requires = " ".join(map(str, system.get("requires", [])))
    project.versioned = bool(re.search(r"setuptools[-_]scm|hatch-vcs", requires))
    if _tool(toml, "uv", "workspace") and project.module:
        _find_member(project)


def _find_member(project: Project) -> None:
    """Find the member of a uv workspace in which the application is."""
    module = project.module.partition(":")[0].replace(".", "/")
    for file in sorted(project.directory.glob("*/*/pyproject.toml")) + sorted(
        project.directory.glob("*/pyproject.toml")
    ):
        for path in (f"{module}.py", f"src/{module}.py", f"{module}/__init__.py", f"src/{module}/__init__.py"):
            if (file.parent / path).is_file():
                project.member = str(_toml(file).get("project", {}).get("name", ""))
                project.found.append(f"the member {project.member} of the workspace")
                return


def _find_tests(project: Project, toml: dict[str, Any]) -> None:
    """Find tests, where what runs them is in the lock file."""
    directory = next((name for name in ("tests", "test") if (project.directory / name).is_dir()), "")
    groups = json.dumps([toml.get("dependency-groups"), _tool(toml, "poetry", "group")])
    if directory and project.manager in ("uv", "poetry") and "pytest" in groups:
        project.tests = directory
        project.found.append(f"a stage for the tests in {directory}/, which pytest runs")
