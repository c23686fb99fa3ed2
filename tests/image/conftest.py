"""What several tests of the image's behaviour share."""

import shutil
from pathlib import Path

import pytest

from certificates import EC, PASSWORD, RSA, Certificates
from conftest import APPS, UNASKED, Container


@pytest.fixture
def certificates(tmp_path):
    """Certificates of this test's own."""
    return Certificates(tmp_path)


@pytest.fixture(scope="session")
def pem(tmp_path_factory):
    """Certificates that stay as they are."""
    made = Certificates(tmp_path_factory.mktemp("tls"))
    made.issue("server", EC)
    made.issue("rsa", RSA)
    made.issue("chain", RSA, intermediate=True)
    made.issue("encrypted", EC, password=PASSWORD)
    made.issue("other", EC)
    made.write("password", f"{PASSWORD}\n".encode())
    return made


FOLDERS = ("/app", "/config", "/docker-entrypoint.d", "/run/secrets")
"""Where the files are that a command of `attempt` finds."""


@pytest.fixture
def image_of_kinds(tools):
    """The image with all frameworks: bake's target `kinds`."""
    return f"{tools}:kinds"


@pytest.fixture(scope="session")
def bystander(engine, slim, tmp_path_factory):
    """A container that does nothing by itself, and the host's folder below which its FOLDERS are."""
    root = tmp_path_factory.mktemp("bystander")
    volumes = {}
    for folder in FOLDERS:
        path = root / folder.strip("/")
        path.mkdir(parents=True)
        path.chmod(0o755)
        volumes[str(path)] = {"bind": folder, "mode": "ro"}
    raw = engine.containers.run(slim, ["sleep", "infinity"], detach=True, volumes=volumes, healthcheck=UNASKED)
    yield Container(raw), root
    raw.remove(force=True, v=True)


@pytest.fixture
def attempt(bystander):
    """Run commands that end by themselves, all tests' in one container: one for each takes three times as long.

    Takes what `finish` takes of the application, the command, `environment` and `volumes`, and returns the Outcome.
    The volumes are copied into FOLDERS, and are gone when the test ends.
    """
    container, root = bystander

    def run(app=None, command=None, *, environment=None, volumes=None):
        files = {mount["bind"]: Path(source) for source, mount in (volumes or {}).items()}
        if app:
            files["/app/main.py"] = APPS / app
        for at, path in files.items():
            assert at.startswith(FOLDERS), f"{at} is in none of {FOLDERS}"
            target = root / at.strip("/")
            if path.is_dir():
                shutil.copytree(path, target, dirs_exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        return container.attempt("paddock", *(command or []), environment=environment or {})

    yield run
    for folder in FOLDERS:
        for path in (root / folder.strip("/")).iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
