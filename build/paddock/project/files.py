"""The Dockerfile, the .dockerignore and the compose.yaml of a project: two stages, the second on the slim image."""

from __future__ import annotations

from paddock.project.debian import COMPILER, needs
from paddock.project.survey import PLACEHOLDER, Project
from paddock.project.variables import SECRET

TOOLS = {
    "poetry": "--from poetry==2.5.1 poetry",
    # It says hishel>=1.4, and does not start with 2.
    "pdm": "--from pdm==2.29.4 --with 'hishel<2' pdm",
    "pipenv": "--from pipenv==2026.10.3 pipenv",
}
"""What uv runs where the image has no such tool."""

TOOLS_AS_OF = "2026-11-20"
"""The day whose newest releases those tools are run with, so that a build next year is the same."""

CERTIFICATES = "ENV REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt"

IGNORED = """\
# Secrets, history, the host's packages, and what is made again: none of it belongs in the image.
.env
.env.*
.git
.venv
venv
node_modules
**/__pycache__
**/.*_cache
**/*.sqlite3
Dockerfile
compose.yaml
"""


def files(project: Project) -> dict[str, str]:
    """Return what `paddock init` writes for a project, by the name of the file."""
    return {"Dockerfile": dockerfile(project), ".dockerignore": IGNORED, "compose.yaml": compose(project)}


def dockerfile(project: Project) -> str:
    """Return the Dockerfile."""
    build, run, whose = needs(project.packages, project.compiled)
    # Static files are collected, and tests run, by what imports the packages.
    imported = run if project.static or project.tests else []
    wanted = {*build, *imported, *(COMPILER if project.compiled else ()), *(("git",) if project.git else ())}
    others = [name for name in project.compiled if name not in whose]
    reasons = [*whose, *others[:3], *(["packages from git"] if project.git else [])]
    stages = [_build(project, sorted(wanted), reasons), _tests(project), _serve(project, run, whose)]
    return "\n\n".join(stage for stage in stages if stage)


def _questions(project: Project) -> list[str]:
    return [f"# ? {question}" for question in project.questions]


def _debian(packages: list[str], whose: list[str]) -> list[str]:
    """Return the lines that install Debian's packages."""
    if not packages:
        return []
    return [
        f"# For {', '.join(whose)}.",
        "USER 0",
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \\",
        "    --mount=type=tmpfs,target=/var/lib/apt/lists \\",
        f"    apt-get update && apt-get install -y --no-install-recommends {' '.join(packages)}",
        "USER 10001:0",
    ]


def _run(project: Project, *commands: str) -> list[str]:
    """Return a RUN that sees the files which packages are installed from, and keeps what it downloads."""
    mounts = ["--mount=type=cache,target=/home/paddock/.cache,uid=10001"]
    mounts += [f"--mount=type=bind,source={file},target={file}" for file in project.files]
    return [f"RUN {mounts[0]} \\", *(f"    {mount} \\" for mount in mounts[1:]), f"    {' && '.join(commands)}"]


def _tool(manager: str) -> str:
    # The cache has it: nobody waits for this tool to start twice.
    return f"UV_COMPILE_BYTECODE=0 uvx --exclude-newer {TOOLS_AS_OF} {TOOLS[manager]}"


def _install(project: Project) -> list[str]:
    """Return the lines that install the packages."""
    requirements = "/tmp/requirements.txt"  # noqa: S108 (in a build stage)
    export = f"uv pip install --require-hashes --requirements {requirements}"
    match project.manager:
        case "uv" if project.whole:
            # Its other members are not in the files that are mounted.
            return []
        case "uv":
            return _run(project, "uv sync --locked --no-dev --no-install-project")
        case "poetry":
            return _run(project, f"{_tool('poetry')} install --only main --no-root --compile")
        case "pdm":
            return _run(project, f"{_tool('pdm')} export --prod --output {requirements}", export)
        case "pipenv":
            return _run(project, f"{_tool('pipenv')} requirements --hash > {requirements}", export)
        case "pip":
            hashes = " --require-hashes" if project.hashed else ""
            return _run(project, f"uv pip install{hashes} --requirements {project.files[0]}")
        case "pyproject":
            return _run(project, "uv pip install --requirements pyproject.toml")
    return []


def _build(project: Project, debian: list[str], whose: list[str]) -> str:
    lines = [*_questions(project), f"FROM paddock:{project.python} AS build", *_debian(debian, whose)]
    if project.manager == "poetry":
        lines += ["# Poetry reads no other variable for the certificates that it trusts.", CERTIFICATES]
    if project.versioned:
        lines += ["# Its version comes from git, which is not here.", "ENV SETUPTOOLS_SCM_PRETEND_VERSION=0"]
    if project.whole:
        lines += ["# First, as some of the packages are folders of it.", "COPY --chown=10001:0 . .", *_install(project)]
    else:
        lines += ["# Before the source, so that this layer stays as it is until they change.", *_install(project)]
        lines += ["COPY --chown=10001:0 . ."]
    if project.manager == "uv" and (project.installable or project.whole):
        member = f" --package {project.member}" if project.member else ""
        lines += [f"RUN uv sync --locked --no-dev --no-editable --no-cache{member}"]
    elif project.installable and project.manager != "none":
        lines += ["RUN uv pip install --no-deps --no-cache ."]
    if project.static:
        lines += [
            "# The settings are imported, and want what they insist on: for this command only.",
            f"RUN {_placeholders(project)}python {project.manage} collectstatic --no-input",
        ]
    if "pip" not in project.packages:
        lines += ["# Nothing is installed where it serves.", "RUN uv pip uninstall --quiet pip"]
    return "\n".join(lines) + "\n"


def _placeholders(project: Project) -> str:
    """Return, to stand before a command, what is good enough for the variables that Django's settings insist on."""
    values = {name: "sqlite:////tmp/db" if "DATABASE" in name else PLACEHOLDER for name in project.demanded}
    return "".join(f"{name}={value} " for name, value in values.items())


def _tests(project: Project) -> str:
    if not project.tests:
        return ""
    # Nothing of it is started twice, so bytecode would come too late.
    install = (
        "UV_COMPILE_BYTECODE=0 uv sync --locked --no-cache"
        if project.manager == "uv"
        else f"{_tool('poetry')} install --no-root"
    )
    run = f"{_placeholders(project)}python -m pytest -p no:cacheprovider {project.tests}"
    return f"FROM build AS test\nRUN {install}\nRUN {run}\n"


def _serve(project: Project, debian: list[str], whose: list[str]) -> str:
    lines = [
        f"FROM paddock:{project.python}-slim",
        *_debian(debian, whose),
        *_data(project),
        "# Root's: the server can read its code, and not change it.",
        "COPY --from=build --chown=0:0 --chmod=go-w /opt/venv /opt/venv",
        "COPY --from=build --chown=0:0 --chmod=go-w /app /app",
    ]
    if project.path:
        lines.append(f"ENV PYTHONPATH=/app/{project.path}")
    if project.module:
        lines.append(f"ENV APP_MODULE={project.module}")
    if project.required:
        lines.append(f"ENV REQUIRED_ENV={','.join(project.required)}")
    if secrets := [name for name in project.required if SECRET.search(name)]:
        lines.append(f"ENV SECRETS_ENV={','.join(secrets)}")
    lines += [f"ENV {name}={value}" for name, value in project.environment.items()]
    if project.instrument:
        lines += [f'ENTRYPOINT ["{project.instrument}", "paddock"]', 'CMD ["serve"]']
    return "\n".join(lines) + "\n"


def _data(project: Project) -> list[str]:
    """Return the lines for the directory of a database that is a file."""
    if not project.data:
        return []
    return [
        "# A volume takes over whom the directory belongs to.",
        "USER 0",
        f"RUN install --directory --owner=10001 --group=0 --mode=0775 {project.data}",
        "USER 10001:0",
    ]


def compose(project: Project) -> str:
    """Return the compose.yaml: the server, before it what brings the database up to date, beside it a worker."""
    environment = [f"      {name}: ${{{name}:?}}" for name in project.required]
    shared = ["    build: .", *(["    environment:", *environment] if environment else [])]
    shared += ["    volumes:", f"      - data:{project.data}"] if project.data else []
    lines = [
        "# `docker compose up --build`; variables come from the shell or from a file .env beside this one.",
        "services:",
    ]
    lines += ["  web:", *shared, "    ports:", '      - "8000:8000"', "    tmpfs: [/tmp]", "    read_only: true"]
    if project.migrates:
        lines += ["    depends_on:", "      migrate:", "        condition: service_completed_successfully"]
        lines += ["", "  migrate:", *shared, f"    command: {project.migrates}"]
    if project.worker:
        lines += ["", "  worker:", *shared, f"    command: {project.worker}"]
    if project.data:
        lines += ["", "volumes:", "  data:"]
    return "\n".join(lines) + "\n"
