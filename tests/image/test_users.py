"""Any user serves, in a container as hardened as Docker can make it, and files go where they can be written."""

import re

import docker.types
import pytest

from events import said

APPS = ("asgi.py", "wsgi.py")

HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}

NOBODY = "12345:54321"
"""Neither the user nor the group has an entry in /etc/passwd or /etc/group."""


def tmpfs(target, mode):
    return docker.types.Mount(target, None, type="tmpfs", tmpfs_mode=mode)


SHM_READ_ONLY = tmpfs("/dev/shm", 0o555)


FIND = "find /dev/shm /run /run/paddock /tmp -maxdepth 1 -name 'paddock-*.state' 2>/dev/null || :"


def worker_files(container):
    """The directories of the arbiter's heartbeat files, which are open and unlinked, and of the state file."""
    links = re.sub("/memfd:.*", "", container.run("sh", "-c", "readlink /proc/1/fd/*")).splitlines()
    states = container.run("sh", "-c", FIND).splitlines()
    return {link.rpartition("/")[0] for link in links if "(deleted)" in link}, {
        path.rpartition("/")[0] for path in states
    }


def ready(container):
    """Wait until the container serves, and check that its own user can tell so."""
    container.wait_ready()
    assert "healthy: " in container.run("paddock", "health")
    return container


@pytest.mark.parametrize(
    ("user", "app"),
    [
        *((user, app) for user in (None, NOBODY, "root") for app in APPS),
        *((user, "asgi.py") for user in ("12345", "12345:0", "10001:54321", "65534:65534")),
    ],
)
def test_any_user_serves(start, user, app):
    container = ready(start(app, user=user, environment={"WORKERS": "1"}))

    uid = (user or "10001").partition(":")[0].replace("root", "0")
    assert container.get().json()["uid"] == int(uid)
    assert container.stop() == 0
    assert "atexit ran" in container.logs()


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("variant", ["slim", "full"])
def test_everything_is_taken_away_at_once(request, start, variant, app):
    """Read-only, no capabilities, no new privileges, no HOME, no passwd entry, no writable /tmp."""
    image = request.getfixturevalue("slim" if variant == "slim" else "image")
    container = start(app, image=image, user=NOBODY, environment={"HOME": "", "WORKERS": "2"}, **HARDENED)
    container.wait_healthy()

    seen = container.get().json()
    assert seen["uid"] == 12345
    assert worker_files(container) == ({"/dev/shm"}, {"/dev/shm"})
    assert container.stop() == 0
    assert container.logs().count("atexit ran") >= 2


@pytest.mark.smoke
@pytest.mark.parametrize("app", APPS)
def test_hardened_with_a_tmpfs(start, app):
    container = ready(start(app, user=NOBODY, tmpfs={"/tmp": ""}, environment={"WORKERS": "1"}, **HARDENED))

    assert container.get().status_code == 200
    container.run("touch", "/tmp/upload")
    assert worker_files(container) == ({"/dev/shm"}, {"/dev/shm"})


UPLOAD = """
import tempfile

def app(environ, start_response):
    body = environ["wsgi.input"].read()
    try:
        with tempfile.TemporaryFile() as file:
            answer = str(file.write(body))
    except OSError as error:
        answer = error.strerror
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer.encode()]
"""


def test_uploads_need_a_tmpfs(start, mount):
    options = {"volumes": mount("/app/main.py", UPLOAD), "user": NOBODY, "environment": {"WORKERS": "1"}, **HARDENED}
    with_tmpfs = start(tmpfs={"/tmp": ""}, **options).wait_ready()
    without = start(**options).wait_ready()

    body = b"x" * 100_000
    assert with_tmpfs.post(content=body).text == "100000"
    assert without.post(content=body).text.startswith("No usable temporary directory")


@pytest.fixture
def run(tmp_path):
    """A /run that everybody may write to: the mode of a tmpfs is not obeyed there by every runtime."""
    directory = tmp_path / "run"
    directory.mkdir()
    directory.chmod(0o1777)
    return {str(directory): {"bind": "/run", "mode": "rw"}}


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("read_only", [False, True])
def test_without_shm_run_is_taken(start, run, app, read_only):
    options = {"mounts": [SHM_READ_ONLY], "volumes": run, "user": NOBODY, "read_only": read_only}
    container = ready(start(app, environment={"WORKERS": "1"}, **options))

    assert worker_files(container) == ({"/run"}, {"/run"})
    assert container.stop() == 0


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("read_only", [False, True])
def test_without_shm_and_run_tmp_is_taken(start, app, read_only):
    mounts = [SHM_READ_ONLY] + [tmpfs("/tmp", 0o1777)] * read_only
    container = ready(start(app, mounts=mounts, environment={"WORKERS": "1"}, user=NOBODY, read_only=read_only))

    assert worker_files(container) == ({"/tmp"}, {"/tmp"})
    assert container.stop() == 0


def test_worker_tmp_dir_is_obeyed(start):
    container = ready(start("asgi.py", mounts=[tmpfs("/beats", 0o1777)], environment={"WORKER_TMP_DIR": "/beats"}))

    heartbeats, states = worker_files(container)
    assert heartbeats == {"/beats"}
    assert not states
    assert "paddock-" in container.run("ls", "/beats")


def test_nowhere_to_write_is_refused(finish):
    outcome = finish("asgi.py", mounts=[SHM_READ_ONLY], user=NOBODY, **HARDENED)

    assert outcome.status == 78
    (line,) = said(outcome.err)
    assert line.startswith("WORKER_TMP_DIR: none of /dev/shm, /run, /tmp can be written")


@pytest.mark.parametrize("command", [["check"], ["config"], ["settings"], ["python", "-c", "import gunicorn"], ["id"]])
def test_other_commands_run_hardened_too(finish, command):
    outcome = finish("asgi.py", command, user=NOBODY, environment={"HOME": ""}, **HARDENED)

    if command[0] == "python":
        # A command runs untouched: the server's packages are not the application's.
        assert "ModuleNotFoundError" in outcome.err
    else:
        assert (outcome.status, outcome.err) == (0, "")


WHO = """
import getpass, os, pathlib, tempfile
home = pathlib.Path.home()
for place in filter(os.path.isdir, (home, home / ".cache")):
    tempfile.TemporaryDirectory(dir=place).cleanup()
print(getpass.getuser(), os.environ["USER"], os.environ["LOGNAME"], home)
"""


@pytest.mark.parametrize("variant", ["slim", "full"])
@pytest.mark.parametrize(("tmpfs", "home"), [({}, "/dev/shm"), ({"/tmp": ""}, "/tmp")])
def test_home_leads_to_where_it_can_be_written(request, finish, variant, tmpfs, home):
    image = request.getfixturevalue("slim" if variant == "slim" else "image")
    # Empty is as good as unset, also for who one is.
    environment = {"USER": "", "LOGNAME": ""}
    outcome = finish(
        "asgi.py", ["python", "-c", WHO], image=image, user=NOBODY, tmpfs=tmpfs, environment=environment, **HARDENED
    )

    assert (outcome.out, outcome.err) == (f"paddock paddock paddock {home}\n", "")


def test_a_home_with_somebodys_files_stays(finish, mount):
    volumes = mount("/home/paddock/.netrc", "machine index\n")
    outcome = finish("asgi.py", ["sh", "-c", "cat $HOME/.netrc"], user=NOBODY, volumes=volumes, **HARDENED)

    assert outcome.out == "machine index\n"


@pytest.mark.parametrize("app", APPS)
def test_a_directory_of_its_own_has_the_state_file(start, app):
    options = {"tmpfs": {"/run/paddock": "mode=0700,uid=10001"}, "read_only": True}
    container = ready(start(app, environment={"WORKERS": "1"}, **options))

    assert worker_files(container) == ({"/dev/shm"}, {"/run/paddock"})
    assert container.attempt("touch", "/run/paddock/x", user=NOBODY).status != 0
    assert "healthy: 127.0.0.1" in container.run("paddock", "health", user="0")
