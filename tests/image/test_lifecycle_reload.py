"""HUP, TTIN, TTOU, USR1, USR2; and workers that do not come up, at the start or later."""

import re

import pytest

from conftest import wait_until
from sources import ASGI, SOURCES, WSGI
from wire import asking, received

APPS = pytest.mark.parametrize("app", ["echo_asgi.py", "echo_wsgi.py"])


def reload(container):
    """Send HUP and wait until only new workers are there."""
    old = container.children()
    container.signal("HUP")
    wait_until(lambda: not container.children() & old and len(container.children()) >= len(old), "new workers")


def refused(container, pattern):
    """Send HUP, wait for the reason, and check that the workers are the same; return the log."""
    old = container.children()
    container.signal("HUP")
    container.wait_for_log(pattern)
    wait_until(lambda: container.children() == old, "the old workers alone")
    return container.logs()


# --- HUP ---


@pytest.mark.smoke
@SOURCES
def test_new_code(start, folder, source):
    folder.code(source, "b'old'")
    container = start(environment={"WORKERS": "2"}, volumes=folder.volumes).wait_ready()
    wait_until(lambda: len(container.children()) == 2, "two workers")
    assert container.get().text == "old"
    folder.code(source, "b'newer'")
    reload(container)
    assert {container.get().text for _ in range(10)} == {"newer"}
    assert container.stop() == 0


@SOURCES
@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ("import nothing_of_that_name", "nothing_of_that_name"),
        ("def broken(:", "SyntaxError|invalid syntax"),
        ("raise SystemExit(1)", "exit|SystemExit"),
        ("os._exit(1)", "exit status 1"),
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
    ],
    ids=["import", "syntax", "sys.exit", "os._exit", "segfault"],
)
def test_broken_code_leaves_the_old_workers(start, folder, source, first, reason):
    folder.code(source, "b'old'")
    container = start(environment={"WORKERS": "1"}, volumes=folder.volumes, allow=("",)).wait_ready()
    folder.code(source, "b'newer'", first)
    log = refused(container, "old workers stay")
    assert re.search(reason, log)
    assert {container.get().text for _ in range(10)} == {"old"}

    # What is mended comes up with the next HUP.
    folder.code(source, "b'mended'")
    reload(container)
    assert {container.get().text for _ in range(10)} == {"mended"}
    assert container.stop() == 0


def test_lifespan_that_fails_after_the_reload(start, folder):
    folder.code(ASGI, "b'old'")
    container = start(environment={"WORKERS": "1"}, volumes=folder.volumes, allow=("",)).wait_ready()
    failing = ASGI.replace('message["type"] + ".complete"', 'message["type"] + ".failed", "message": "no database"')
    folder.code(failing, "b'newer'")
    assert "no database" in refused(container, "old workers stay")
    assert container.get().text == "old"


@pytest.mark.parametrize(
    ("conf", "reason"),
    [
        ("workers = 'many'", "workers|WORKERS"),
        ("timeout = -1", "timeout|TIMEOUT"),
        ("1 / 0", "line 1"),
        ("(", "line 1"),
        ("import nothing_of_mine", "line 1.*nothing_of_mine"),
    ],
)
def test_invalid_configuration_is_refused(start, folder, conf, reason):
    folder.code(ASGI, "b'old'")
    folder.write("gunicorn_conf.py", "workers = 2\n")
    container = start(volumes=folder.volumes, allow=("",)).wait_ready()
    wait_until(lambda: len(container.children()) == 2, "two workers")
    folder.write("gunicorn_conf.py", conf)
    log = refused(container, "[Rr]eload is refused")
    assert re.search(rf"ERROR.*({reason})", log)
    assert "Traceback" not in log
    assert container.get().text == "old"
    assert container.stop() == 0


def test_changed_configuration(start, folder):
    folder.code(ASGI, "os.environ.get('COLOUR', 'none').encode()")
    folder.write("gunicorn_conf.py", "workers = 1\n")
    container = start(volumes=folder.volumes).wait_ready()
    assert container.get().text == "none"
    folder.write("gunicorn_conf.py", "workers = 3\nraw_env = ['COLOUR=green']\n")
    container.signal("HUP")
    wait_until(lambda: len(container.children()) == 3, "three workers")
    wait_until(lambda: {container.get().text for _ in range(10)} == {"green"}, "the new environment")


@SOURCES
def test_changed_bind(start, folder, source):
    folder.code(source, "b'here'")
    folder.write("gunicorn_conf.py", "bind = ['0.0.0.0:8000']\n")
    container = start(environment={"WORKERS": "2"}, volumes=folder.volumes).wait_ready()
    folder.write("gunicorn_conf.py", "bind = ['0.0.0.0:8000', '0.0.0.0:8001']\n")
    reload(container)
    assert container.get(port=8000).text == "here"
    assert container.get(port=8001).text == "here"


def test_bind_that_cannot_be_had_is_refused(start, folder):
    folder.code(ASGI, "b'here'")
    folder.write("gunicorn_conf.py", "")
    container = start(environment={"WORKERS": "2"}, volumes=folder.volumes, allow=("",)).wait_ready()
    wait_until(lambda: len(container.children()) == 2, "two workers")
    folder.write("gunicorn_conf.py", "bind = ['203.0.113.1:8000']\n")
    assert "203.0.113.1" in refused(container, "[Rr]eload is refused")
    assert container.get().text == "here"


def test_preloaded_code_is_not_reloaded(start, folder):
    folder.code(ASGI, "b'old'")
    environment = {"WORKERS": "2", "PRELOAD_APP": "true"}
    container = start(environment=environment, volumes=folder.volumes, allow=("PRELOAD_APP",)).wait_ready()
    wait_until(lambda: len(container.children()) == 2, "two workers")
    folder.code(ASGI, "b'newer'")
    reload(container)
    assert container.get().text == "old"
    assert re.search(r"PRELOAD_APP.*not reloaded", container.logs())


def test_files_named_by_the_environment_are_read_again(start, folder):
    folder.code(ASGI, "os.environ['COLOUR'].encode()")
    folder.write("workers", "1\n")
    folder.write("colour", "red\n")
    environment = {"WORKERS_FILE": "/app/workers", "SECRETS_ENV": "COLOUR", "COLOUR_FILE": "/app/colour"}
    container = start(environment=environment, volumes=folder.volumes).wait_ready()
    assert container.get().text == "red"
    folder.write("workers", "2\n")
    folder.write("colour", "green\n")
    container.signal("HUP")
    wait_until(lambda: len(container.children()) == 2, "two workers")
    wait_until(lambda: {container.get().text for _ in range(10)} == {"green"}, "the new secret")


def test_many_reloads_at_once(start):
    container = start("echo_asgi.py", environment={"WORKERS": "2"}).wait_ready()
    old = container.children()
    for _ in range(10):
        container.signal("HUP")
    wait_until(lambda: not container.children() & old and len(container.children()) == 2, "new workers")
    # Those of before have run their shutdown code.
    assert container.logs().count("atexit ran in") >= 2
    assert container.logs().count("lifespan.shutdown in") >= 2
    assert container.get().status_code == 200
    assert container.stop() == 0


# --- The other signals ---


@pytest.mark.smoke
@APPS
def test_more_and_fewer_workers(start, app):
    container = start(app, environment={"WORKERS": "1"}).wait_ready()
    for signal, workers in [("TTIN", 2), ("TTIN", 3), ("TTOU", 2), ("TTOU", 1)]:
        container.signal(signal)
        wait_until(lambda workers=workers: len(container.children()) == workers, f"{workers} workers")
    container.signal("TTOU")
    assert container.get().status_code == 200
    assert len(container.children()) == 1
    assert container.stop() == 0


@APPS
def test_log_files_are_opened_again(start, app, folder):
    environment = {"WORKERS": "1", "ACCESS_LOG": "/logs/access", "ERROR_LOG": "/logs/error"}
    logs = {str(folder.path): {"bind": "/logs", "mode": "rw"}}
    container = start(app, environment=environment, volumes=logs)
    wait_until(
        lambda: (folder.path / "error").exists() and "Ready" in (folder.path / "error").read_text(), "the server"
    )
    container.get("/echo?first")
    wait_until(lambda: "first" in (folder.path / "access").read_text(), "the access log")
    for name in ("access", "error"):
        (folder.path / name).rename(folder.path / f"{name}.1")
    container.signal("USR1")
    wait_until(lambda: (folder.path / "access").exists() and (folder.path / "error").exists(), "new files")

    def written():
        container.get("/echo?second")
        return "second" in (folder.path / "access").read_text()

    wait_until(written, "an access log in the new file")
    assert "first" not in (folder.path / "access").read_text()
    assert container.stop() == 0


def test_usr2_is_refused_in_words(start):
    container = start("echo_asgi.py", environment={"WORKERS": "2"}, allow=("USR2",)).wait_ready()
    wait_until(lambda: len(container.children()) == 2, "two workers")
    old = container.children()
    container.signal("USR2")
    container.wait_for_log("SIGUSR2 is not supported in a container.*replace the container")
    assert container.children() == old
    assert container.get().status_code == 200
    assert container.stop() == 0


def test_signals_without_a_meaning(start):
    container = start("echo_asgi.py", environment={"WORKERS": "1"}, allow=("",)).wait_ready()
    old = container.children()
    for signal in ("USR1", "WINCH", "PIPE", "ALRM", "CHLD"):
        container.signal(signal)
        assert container.get().status_code == 200
        assert container.children() == old
    assert container.stop() == 0


# --- Workers that do not come up ---


@pytest.mark.parametrize("source", [ASGI, WSGI], ids=["asgi", "wsgi"])
def test_hung_import_is_killed_and_explained(attempt, mount, source):
    volumes = mount("/app/main.py", source.format(answer="b''", first="import time\ntime.sleep(600)"))
    outcome = attempt(environment={"WORKERS": "1", "BOOT_TIMEOUT": "2"}, volumes=volumes)
    assert outcome.status == 1
    assert re.search(r"BOOT_TIMEOUT=2", outcome.err)
    # Where it hung.
    assert "main.py" in outcome.err


def test_hung_startup_is_killed_and_explained(attempt):
    outcome = attempt("echo_asgi.py", environment={"WORKERS": "1", "BOOT_TIMEOUT": "2", "STARTUP_SECONDS": "600"})
    assert outcome.status == 1
    assert re.search(r"BOOT_TIMEOUT=2", outcome.err)


@pytest.mark.smoke
def test_hung_import_after_a_reload(start, folder):
    folder.code(ASGI, "b'old'")
    # One worker: a second might import the newer code.
    environment = {"WORKERS": "1", "BOOT_TIMEOUT": "8"}
    container = start(environment=environment, volumes=folder.volumes, allow=("",)).wait_ready()
    folder.code(ASGI, "b'newer'", "import time\ntime.sleep(600)")
    assert "BOOT_TIMEOUT=8" in refused(container, "old workers stay")
    assert container.get().text == "old"


def test_slow_start_is_not_killed(start):
    """TIMEOUT is for workers that serve."""
    environment = {"WORKERS": "1", "TIMEOUT": "4", "IMPORT_SECONDS": "6", "STARTUP_SECONDS": "6"}
    container = start("echo_asgi.py", environment=environment).wait_ready()
    assert container.get().status_code == 200


@APPS
@pytest.mark.parametrize("how", ["sys.exit", "os._exit"])
def test_exit_in_a_handler_does_not_stop_the_server(start, app, how):
    container = start(app, environment={"WORKERS": "2"}, allow=("",)).wait_ready()
    wait_until(lambda: len(container.children()) == 2, "two workers")
    for _ in range(3):
        with asking(container.address, f"/crash/{how}", "Connection: close") as client:
            received(client)
        wait_until(lambda: len(container.children()) == 2, "two workers")
        assert container.running
        assert container.get().status_code == 200
    assert container.stop() == 0
