"""The image itself, as somebody sees it who inspects it before using it."""

import io
import json
import os
import re
import tarfile
from itertools import product

import pytest

from conftest import Container
from paddock.settings.table import SETTINGS

VARIANTS = ("full", "slim")
PYTHONS = [os.environ["PADDOCK_PYTHON"]] if "PADDOCK_PYTHON" in os.environ else ["3.13", "3.14"]
"""The Pythons of which `./dev test` bakes the images."""

UNCOMPILED = """
import pathlib, sys
for source in pathlib.Path("/opt/paddock").rglob("*.py"):
    if not (source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc").exists():
        print(source)
"""

CHECKED_BY_TIME = """
import pathlib
for compiled in pathlib.Path("/opt/paddock").rglob("*.pyc"):
    if compiled.read_bytes()[4:8] != b"\\1\\0\\0\\0":
        print(compiled)
"""
"""PEP 552: the flags say that the bytecode is valid by hash, and that the source is not looked at."""

UNSTRIPPED = """
import pathlib, struct
count = 0
for library in pathlib.Path("/opt/paddock").rglob("*.so"):
    count += 1
    data = library.read_bytes()
    start, = struct.unpack_from("<Q", data, 40)
    size, number = struct.unpack_from("<HH", data, 58)
    kinds = [struct.unpack_from("<I", data, start + index * size + 4)[0] for index in range(number)]
    if 2 in kinds:
        print(library)
assert count > 5, count
"""
"""An ELF file that was stripped has no section of type SHT_SYMTAB."""


LEFT = """
for place in /src /uv /run/secrets /root/.cache /root/.local /root/.config; do
    [ ! -e "$place" ] || echo "$place"
done
find /tmp /app -mindepth 1
find /etc -name pip.conf
find /opt /home /root -xdev '(' -name '*.lock' -o -name pip.conf -o -name .netrc -o -name uv.toml ')'
find /var/lib/apt/lists -name '*_*'
"""


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request, image, slim):
    """Each of the two images of a Python."""
    return {"full": image, "slim": slim}[request.param]


@pytest.fixture
def config(engine, variant):
    """What `docker inspect` shows of the image."""
    return engine.images.get(variant).attrs["Config"]


@pytest.fixture(scope="module")
def idle(engine):
    """Containers in which nothing runs but what the tests run there, one for each image."""
    containers = {}

    def of(image):
        if image not in containers:
            containers[image] = engine.containers.run(image, ["sleep", "infinity"], detach=True)
        return Container(containers[image])

    yield of
    for container in containers.values():
        container.remove(force=True, v=True)


@pytest.fixture
def shell(idle, variant):
    """Such a container of each of the two images."""
    return idle(variant)


def python(container, code, user=None):
    """Run Python code inside, without a trace, and return the lines that it prints."""
    return container.run("python", "-B", "-c", code, user=user).splitlines()


def test_tells_how_it_is_run(config):
    assert config["User"] == "10001:0"
    assert config["WorkingDir"] == "/app"
    assert config["ExposedPorts"] == {"8000/tcp": {}}
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["/opt/paddock/bin/paddock"]
    assert config["Cmd"] == ["serve"]
    assert not config.get("Volumes")


def test_health_check_is_soon_and_cheap(config):
    check = config["Healthcheck"]
    assert check["Test"] == ["CMD", "/opt/paddock/bin/paddock", "health"]
    assert check["StartInterval"] <= 2e9 < check["StartPeriod"]
    assert check["Interval"] >= 10e9
    # The check itself gives up after 4 seconds, with a reason.
    assert check["Timeout"] == 5e9


def test_labels_say_what_it_is(config):
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["title"] == "Paddock"
    assert labels["licenses"] == "MIT"
    assert labels["description"]
    assert "base:" in labels["base.name"] or "python:" in labels["base.name"]


def test_environment_holds_no_setting(config):
    """Nobody could tell a default from a choice; the defaults are in the table alone."""
    names = {line.partition("=")[0] for line in config["Env"]}
    assert not names & {name for setting in SETTINGS for name in setting.names}
    assert not [name for name in names if name.startswith(("GUNICORN_", "UVICORN_"))]
    assert {"PATH", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "HOME", "PYTHONUNBUFFERED"} <= names


def test_uv_never_brings_another_python(engine, image):
    environment = dict(line.split("=", 1) for line in engine.images.get(image).attrs["Config"]["Env"])
    assert environment["UV_PYTHON_DOWNLOADS"] == "never"
    assert environment["UV_LINK_MODE"] == "copy"
    assert environment["UV_COMPILE_BYTECODE"] == "1"
    assert environment["UV_PROJECT_ENVIRONMENT"] == environment["VIRTUAL_ENV"] == "/opt/venv"


def test_server_belongs_to_root_and_to_nobody_else(shell):
    # `! -type l`: a link has no mode of its own.
    not_of_root = shell.run("find", "/opt/paddock", "!", "(", "-user", "0", "-group", "0", ")")
    writable = shell.run("find", "/opt/paddock", "!", "-type", "l", "-perm", "/022")
    unreadable = shell.run("find", "/opt/paddock", "!", "-type", "l", "!", "-perm", "-004")
    assert (not_of_root, writable, unreadable) == ("", "", "")


@pytest.mark.parametrize("user", ["10001:0", "12345:0", "12345:54321"])
def test_no_user_can_change_the_server(shell, user):
    status, _ = shell.raw.exec_run(["touch", "/opt/paddock/lib/gunicorn/x"], user=user)
    assert status != 0
    assert shell.run("find", "/opt/paddock", "!", "-type", "l", "-writable", user=user) == ""


@pytest.mark.smoke
def test_bytecode_is_there_and_never_checked_against_the_source(shell):
    assert python(shell, UNCOMPILED) == []
    assert python(shell, CHECKED_BY_TIME) == []


@pytest.mark.parametrize("app", ["asgi.py", "wsgi.py"])
def test_start_writes_nothing(start, variant, app):
    """As root, who could: neither bytecode nor anything else."""
    container = start(app, image=variant, user="0", environment={"WORKERS": "1"}).wait_healthy()
    container.get()

    # The application's own bytecode is the application's business.
    changed = [path for change in container.raw.diff() or () if not (path := change["Path"]).startswith("/app")]
    assert changed == []


@pytest.mark.smoke
def test_shared_objects_are_stripped(shell):
    assert python(shell, UNSTRIPPED) == []


def test_no_build_tools(shell):
    for tool in ("gcc", "cc", "make", "ld", "strip", "git", "curl"):
        assert not shell.host.exists(tool), tool


@pytest.mark.smoke
def test_nothing_of_the_build_is_left(shell):
    left = shell.run("sh", "-c", LEFT, user="0")
    assert left == ""


def test_slim_has_no_installers(idle, slim):
    shell = idle(slim)
    for tool in ("uv", "uvx", "pip", "pip3"):
        status, _ = shell.raw.exec_run(["sh", "-c", f"command -v {tool}"])
        # The base image may bring a pip of its own, for its own Python.
        assert status != 0 or shell.run("sh", "-c", f"command -v {tool}").startswith("/usr/local/bin/pip")
    status, _ = shell.raw.exec_run(["python", "-c", "import pip"])
    assert status == 1


def test_full_has_uv_and_pip(idle, image):
    shell = idle(image)
    assert shell.run("uv", "--version").startswith("uv ")
    assert "/opt/venv/" in shell.run("pip", "--version")
    assert "pip==" in shell.run("uv", "pip", "list", "--format", "freeze")


@pytest.mark.parametrize("user", ["10001:0", "12345:0"])
@pytest.mark.parametrize("place", ["/app", "/opt/venv/bin", "/opt/venv/lib", "/home/paddock"])
def test_full_lets_its_user_and_group_0_install(idle, image, user, place):
    idle(image).run("sh", "-c", f"touch {place}/x && rm {place}/x", user=user)


@pytest.mark.smoke
def test_slim_is_read_only_to_its_user(idle, slim):
    shell = idle(slim)
    assert shell.run("find", "/app", "/opt", "/home", "!", "-type", "l", "-writable") == "/home/paddock\n"
    assert shell.run("find", "/app", "/opt", "/home", "!", "-user", "0") == ""


def test_nothing_gains_privileges(shell):
    assert shell.run("find", "/", "-xdev", "(", "-type", "f", "-o", "-type", "d", ")", "-perm", "/6000", user="0") == ""


WHO = """
import getpass, os, pathlib, tempfile
home = pathlib.Path.home()
for place in filter(os.path.isdir, (home, home / ".cache")):
    tempfile.TemporaryDirectory(dir=place).cleanup()
print(getpass.getuser(), os.environ["USER"], os.environ["LOGNAME"], home)
"""


def test_every_user_has_a_name_and_a_home(idle, image, slim):
    for shell, user in product(map(idle, (image, slim)), ("10001:0", "12345:0", "12345:54321", "65534:65534")):
        # By the entrypoint, and as `docker exec` starts a command.
        for entrypoint in ([], ["paddock"]):
            said = shell.run(*entrypoint, "python", "-c", WHO, user=user)
            assert said == "paddock paddock paddock /home/paddock\n", user


def test_default_user_has_a_name(shell):
    assert shell.run("id", "-un").strip() == "paddock"
    assert shell.host.user("paddock").shell == "/usr/sbin/nologin"


def test_no_secret_of_the_build_in_any_layer(engine, variant):
    """Neither the host's certificates nor an index's address: not in the files, the history or the configuration."""
    layers = layers_of(engine.images.get(variant))
    seen = set()
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            names = {member.name.removeprefix("./") for member in archive if not member.isdir()}
        private = [name for name in names if re.match(r"(run/secrets|root/\.(cache|config|netrc|local))", name)]
        assert not private
        trust = {name for name in names if re.match(r"(etc/ssl|usr/share/ca-certificates|usr/local/share/ca)", name)}
        assert not trust & seen, "a layer changes what the base image trusts"
        others = [name for name in names - trust if re.search(r"\.(pem|crt|key)$", name)]
        others = [name for name in others if "/pip/_vendor/certifi/" not in name]
        # Debian's link to its bundle.
        assert set(others) <= {"usr/lib/ssl/cert.pem"}
        seen |= trust


def layers_of(image):
    """The layers' tar archives, as `docker save` writes them."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(image.save()))) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json"))
        return [archive.extractfile(name).read() for name in manifest["Layers"]]


def test_history_and_environment_name_no_host(engine, variant):
    image = engine.images.get(variant)
    history = " ".join(entry["CreatedBy"] for entry in image.history())
    configuration = " ".join(image.attrs["Config"]["Env"])
    for text in (history, configuration):
        assert "INDEX_URL=" not in text
        assert "BEGIN CERTIFICATE" not in text
        assert not re.search(r"https?://(?!deb\.debian\.org|www\.python\.org|github\.com)", text)


@pytest.mark.smoke
@pytest.mark.parametrize("python_version", PYTHONS)
@pytest.mark.parametrize("suffix", ["", "-slim"])
def test_each_python_serves(start, python_version, suffix):
    container = start("asgi.py", image=f"paddock:{python_version}{suffix}", environment={"WORKERS": "1"}).wait_healthy()
    assert container.get().json()["kind"] == "asgi"
    version = container.run("python", "-c", "import sys; print(*sys.version_info[:2], sep='.')")
    assert version.strip() == python_version
