"""Wherever an application's packages were installed, by whichever tool, the server finds them and keeps its own.

The images are built by bake's target `environment`, from the Dockerfiles in `environments/`.
"""

import json
import os
import re

import pytest
from docker.types import Mount
from websockets.sync.client import connect

from conftest import Container
from events import text_events

PYTHON = os.environ.get("PADDOCK_PYTHON", "3.14")
SERVER = "/opt/paddock/lib/"
VENV = f"/opt/venv/lib/python{PYTHON}/site-packages/"
APP_VENV = f"/app/.venv/lib/python{PYTHON}/site-packages/"


@pytest.fixture
def installed(start):
    """Start the image of one environment."""

    def run(name, **options):
        return start(image=f"paddock-test:{PYTHON}-{name}", environment={"WORKERS": "1"}, **options)

    return run


def modules(container: Container) -> dict[str, str]:
    """The packages in the process that answers a request, and their files."""
    return container.get().json()["modules"]


def location(container: Container, module: str) -> str:
    """Where a command in the container imports a module from."""
    return container.run("python", "-c", f"import {module}; print({module}.__file__)").strip()


# Tools


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("uv", "10001:0"),
        ("uv-four-lines", "10001:0"),
        ("uv-pip", "10001:0"),
        ("pip", "10001:0"),
        ("index", "10001:0"),
        ("exact", "10001:0"),
        ("poetry", "0:0"),
        ("slim", "0:0"),
    ],
)
def test_packages_land_where_the_server_finds_them(installed, name, owner):
    container = installed(name).wait_healthy()

    answer = container.get().json()
    assert answer["modules"]["itsdangerous"] == location(container, "itsdangerous")
    assert answer["modules"]["itsdangerous"].startswith(VENV)
    assert answer["modules"]["uvicorn"].startswith(SERVER)
    assert answer["prefix"] == "/opt/venv"
    assert answer["uid"] == 10001
    assert container.run("stat", "-c", "%u:%g", f"{VENV}itsdangerous", "/opt/venv/bin").split() == [owner, owner]
    assert container.stop() == 0


@pytest.mark.parametrize("name", ["poetry", "slim"])
def test_the_last_stage_has_no_installer_and_nothing_to_change(installed, name):
    container = installed(name).wait_ready()

    assert container.run("sh", "-c", "command -v uv uvx pip || true") == ""
    assert container.run("find", "/app", "/opt", "-writable", "!", "-type", "l") == ""


def test_what_was_compiled_finds_its_libraries(installed):
    container = installed("apt-slim").wait_ready()

    found = container.get().json()
    assert found["mysql"].startswith("3.")
    assert found["postgresql"] > 150000
    assert container.run("sh", "-c", "command -v uv pip gcc || true") == ""


def test_what_is_not_in_the_lock_file_is_removed_and_the_server_stays(installed):
    container = installed("exact").wait_ready()

    left = container.run("uv", "pip", "list", "--quiet", "--format", "freeze").split()
    assert left == ["itsdangerous==2.2.0", "pip==26.3"]
    assert container.get().status_code == 200


def test_removing_everything_leaves_the_server_alone(installed):
    container = installed("uv-four-lines", command=["sleep", "infinity"])
    container.run("uv", "pip", "uninstall", "itsdangerous", "pip")
    container.run("uv", "sync", "--locked", "--offline", "--no-install-package", "itsdangerous")

    assert container.run("uv", "pip", "list", "--quiet") == ""
    assert container.run("uvicorn", "--version").startswith("Running uvicorn")
    assert container.run("gunicorn", "--version").startswith("gunicorn")
    assert "No module named 'itsdangerous'" in container.raw.exec_run(["paddock", "check"]).output.decode()


def test_a_secret_stays_out_of_the_image(engine):
    image = engine.images.get(f"paddock-test:{PYTHON}-index")

    assert "hunter2" not in json.dumps(image.attrs) + json.dumps(image.history())
    found = engine.containers.run(
        image, ["sh", "-c", "grep -rls hunter2 /app /opt /home /etc /run || true"], remove=True
    )
    assert found == b""


def test_cache_mounts_leave_nothing_behind(installed):
    for name in ("uv", "uv-pip", "pip"):
        container = installed(name).wait_ready()

        assert container.run("find", "/home/paddock", "-type", "f") == ""


# Layouts


def test_an_editable_install_of_a_src_layout_is_served_from_there(installed):
    container = installed("src").wait_healthy()

    assert modules(container)["shop"] == "/app/src/shop/__init__.py"
    assert location(container, "shop") == "/app/src/shop/__init__.py"
    assert "shop.main:app" in container.run("paddock", "check")


def test_a_workspace_is_served_with_its_members(installed):
    container = installed("workspace").wait_ready()

    files = modules(container)
    assert files["shop"] == "/app/packages/shop/src/shop/__init__.py"
    assert files["prices"] == "/app/packages/prices/src/prices/__init__.py"
    assert files["itsdangerous"].startswith(VENV)


def test_an_environment_in_app_is_used(installed):
    container = installed("app-venv").wait_healthy()

    answer = container.get().json()
    assert answer["prefix"] == "/app/.venv"
    assert answer["modules"]["itsdangerous"].startswith(APP_VENV)
    assert answer["modules"]["uvicorn"].startswith(SERVER)
    # A command that `docker run` or an entrypoint starts; `docker exec` knows nothing of the entrypoint.
    assert container.run("paddock", "python", "-c", "import sys; print(sys.prefix)").strip() == "/app/.venv"


def test_debian_packages_are_there_and_the_user_is_no_longer_root(installed):
    container = installed("apt").wait_healthy()

    answer = container.get().json()
    assert answer["uid"] == 10001
    assert answer["modules"]["psycopg"].startswith(VENV)
    left = ("find", "/var/lib/apt/lists", "/var/cache/apt", "-name", "*_*", "-o", "-name", "*.deb")
    assert container.run(*left, user="0") == ""


def test_collected_static_files_are_served(installed, start):
    container = start(
        image=f"paddock-test:{PYTHON}-collectstatic", environment={"WORKERS": "1", "SECRET_KEY": "secret"}
    ).wait_healthy()

    style = container.get().json()["style"]
    assert re.fullmatch(r"/static/garage/style\.[0-9a-f]+\.css", style)
    assert "color: green" in container.get(style).text


# Pins of the server's packages


@pytest.mark.smoke
def test_the_fastapi_template_starts_with_its_own_lock_file(installed):
    """https://github.com/fastapi/full-stack-fastapi-template, backend: its dependencies and what its lock file pins."""
    container = installed("template").wait_healthy()

    assert container.get("/api/v1/utils/health-check/").json() is True
    seen = container.get("/api/v1/utils/versions/").json()
    assert seen == {"uvicorn": "0.49.0", "httptools": "0.8.0"}
    with connect(f"ws://{container.address}:8000/api/v1/utils/echo/", proxy=None) as websocket:
        websocket.send("hello")
        assert websocket.recv() == "hello"
    assert container.stop() == 0


def test_a_flask_application_with_requirements_of_2023_starts(installed):
    container = installed("flask-2023").wait_healthy()

    assert container.get().json() == {"click": "8.1.7", "flask": "3.0.0", "gunicorn": "21.2.0", "werkzeug": "3.0.1"}
    assert container.stop() == 0


# An environment that came with a bind mount


@pytest.fixture
def bind_mounted(start, tmp_path):
    """Serve a directory of the host that has a `.venv`, which `make` fills."""

    def run(make, **options):
        (tmp_path / "main.py").write_text(APP)
        make(tmp_path / ".venv")
        tmp_path.chmod(0o755)
        volumes = {str(tmp_path): {"bind": "/app", "mode": "ro"}}
        return start(volumes=volumes, environment={"WORKERS": "1"}, allow=("/app/.venv is not used",), **options)

    return run


APP = """
import json, sys

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": json.dumps({"prefix": sys.prefix}).encode()})
"""


def dangling(venv):
    make(venv, PYTHON, "/home/somebody/.local/share/uv/python/cpython-3.14/bin/python3.14")


def of_another_python(venv):
    make(venv, "3.11", "/usr/local/bin/python")


def of_another_platform(venv):
    make(venv, PYTHON, None)
    (venv / "bin/python").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(60))
    (venv / "bin/python").chmod(0o755)


def make(venv, python, interpreter):
    """What is left of a virtual environment when it is seen from another machine."""
    (venv / f"lib/python{python}/site-packages").mkdir(parents=True)
    (venv / "bin").mkdir()
    if interpreter:
        (venv / "bin/python").symlink_to(interpreter)
    (venv / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion_info = {python}.1\n")


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        (
            dangling,
            "its interpreter is not in this image (/home/somebody/.local/share/uv/python/cpython-3.14/bin/python3.14)",
        ),
        (of_another_python, f"it was made for another Python than the image's python{PYTHON}"),
        (of_another_platform, "its interpreter does not run in this image"),
    ],
)
def test_an_environment_that_cannot_work_is_passed_over_with_one_warning(bind_mounted, environment, reason):
    container = bind_mounted(environment).wait_healthy()

    assert container.get().json()["prefix"] == "/opt/venv"
    warnings = [event.message for event in text_events(container.logs(stdout=False)) if event.level == "WARNING"]
    assert warnings == [f"/app/.venv is not used: {reason}"]
    assert container.stop() == 0


def test_a_volume_over_the_environment_of_the_host_does_no_harm(bind_mounted):
    def dangling_under_a_volume(venv):
        make(venv, PYTHON, "/home/somebody/bin/python3.14")

    volume = Mount("/app/.venv", None, type="volume")
    container = bind_mounted(dangling_under_a_volume, mounts=[volume]).wait_ready()

    assert container.get().json()["prefix"] == "/opt/venv"
    assert container.stop() == 0


def test_an_environment_of_the_same_image_works_through_a_bind_mount(bind_mounted):
    container = bind_mounted(lambda venv: make(venv, PYTHON, "/usr/local/bin/python")).wait_healthy()

    assert container.get().json()["prefix"] == "/app/.venv"
