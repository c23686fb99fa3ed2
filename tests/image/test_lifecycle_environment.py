"""Surroundings that fail: output that is closed or not read, full disks, no /dev/shm, a clock that steps, orphans."""

import time

import pytest

from conftest import wait_until
from load import Load
from wire import answer, connect, received, request

APPS = pytest.mark.parametrize("app", ["echo_asgi.py", "echo_wsgi.py"])


def assert_serves(container, requests=300):
    """Some load, and nothing lost."""
    with Load(container.address, least=requests, keep_alive=2, single=2) as load:
        pass
    assert load.report.lost == 0, f"\n{load.report}"


def wait_served(container):
    """Wait for an answer, where the log cannot tell."""

    def answers():
        assert container.running, container.logs()
        try:
            return container.get("/").status_code == 200
        except OSError:
            return False
        except Exception as error:
            if "Connect" not in type(error).__name__:
                raise
            return False

    wait_until(answers, "an answer")


# --- Output ---


@APPS
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"], ids=["stdout", "stderr", "both"])
def test_closed_output(start, app, closed):
    command = ["-c", f"exec paddock serve {closed}"]
    container = start(app, command, entrypoint="/bin/sh", environment={"WORKERS": "2"}, allow=("",))
    wait_served(container)
    assert_serves(container)
    assert container.stop() == 0


@APPS
@pytest.mark.parametrize("stream", ["1", "2"], ids=["stdout", "stderr"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_output_whose_reader_left(start, app, stream, form):
    """A pipe that nobody reads any more: every write fails with EPIPE."""
    script = f"mkfifo /tmp/p; head -c 1 </tmp/p >/dev/null & exec paddock serve {stream}>/tmp/p"
    environment = {"WORKERS": "2", "LOG_LEVEL": "debug", "LOG_FORMAT": form}
    container = start(app, ["-c", script], entrypoint="/bin/sh", environment=environment, allow=("",))
    wait_served(container)
    assert_serves(container)
    assert container.stop() == 0


@APPS
@pytest.mark.parametrize("stream", ["1", "2"], ids=["stdout", "stderr"])
def test_output_that_nobody_reads(start, app, stream):
    """A pipe that is full: a write would wait for ever."""
    script = f"mkfifo /tmp/p; sleep 600 </tmp/p & exec paddock serve {stream}>/tmp/p"
    environment = {"WORKERS": "2", "LOG_LEVEL": "debug", "ACCESS_LOG_FORMAT": "%(h)s " + "long " * 100}
    container = start(app, ["-c", script], entrypoint="/bin/sh", environment=environment, allow=("",))
    wait_served(container)
    assert_serves(container, 2000)
    assert container.stop() == 0


@APPS
def test_full_disk_under_the_log_files(start, app):
    environment = {"WORKERS": "2", "ACCESS_LOG": "/logs/access", "ERROR_LOG": "/logs/error"}
    tmpfs = {"/logs": "size=16k,mode=1777"}
    container = start(app, environment=environment, tmpfs=tmpfs, allow=("",))
    wait_served(container)
    assert_serves(container, 2000)
    assert container.run("sh", "-c", "df /logs | tail -n 1").split()[4] == "100%"
    old = container.children()
    container.signal("HUP")
    wait_until(lambda: not container.children() & old and len(container.children()) == 2, "new workers")
    assert_serves(container)
    assert container.stop() == 0


# --- Where workers keep their files ---


@APPS
def test_tiny_dev_shm(start, app):
    container = start(app, environment={"WORKERS": "4"}, shm_size="64k").wait_ready()
    assert_serves(container)
    assert container.stop() == 0


@APPS
def test_full_dev_shm(start, app):
    container = start(app, environment={"WORKERS": "2"}, shm_size="64k").wait_ready()
    container.raw.exec_run(["sh", "-c", "cat /dev/zero >/dev/shm/filling"])
    assert_serves(container)
    old = container.children()
    container.signal("HUP")
    wait_until(lambda: not container.children() & old and len(container.children()) == 2, "new workers")
    assert_serves(container)
    container.allow("health check")
    assert container.stop() == 0


@APPS
def test_dev_shm_full_from_the_start(start, app):
    script = "cat /dev/zero >/dev/shm/filling 2>/dev/null; exec paddock serve"
    environment = {"WORKERS": "2"}
    container = start(
        app, ["-c", script], entrypoint="/bin/sh", environment=environment, shm_size="64k", allow=("health check",)
    ).wait_ready()
    assert_serves(container)
    assert container.stop() == 0


@APPS
def test_no_dev_shm(start, app):
    """Where /dev/shm cannot be written, the next directory is taken."""
    container = start(app, environment={"WORKERS": "2"}, read_only=True, tmpfs={"/dev/shm": "ro", "/tmp": ""})
    container.wait_ready()
    assert_serves(container)
    assert container.stop() == 0


# --- Time ---


@APPS
@pytest.mark.parametrize("step", ["+3600", "-3600"])
def test_clock_that_steps(start, tools, tmp_path, app, step):
    """The time of day jumps an hour: no worker is taken for dead, and a stop still waits as long as it should."""
    (tmp_path / "clock").write_text("+0\n")
    environment = {
        "WORKERS": "2",
        "TIMEOUT": "5",
        "GRACEFUL_TIMEOUT": "8",
        "LD_PRELOAD": "/usr/local/lib/libfaketime.so.1",
        "FAKETIME_TIMESTAMP_FILE": "/clock/clock",
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    volumes = {str(tmp_path): {"bind": "/clock", "mode": "ro"}}
    container = start(app, image=f"{tools}:faketime", environment=environment, volumes=volumes).wait_ready()
    wait_until(lambda: len(container.children()) == 2, "two workers")
    old = container.children()
    with Load(container.address, least=500, keep_alive=2, single=2, pause=0.02) as load:
        (tmp_path / "clock").write_text(f"{step}\n")
        # Longer than TIMEOUT and the arbiter's look around.
        began = time.monotonic()
        load.wait_for(lambda report: time.monotonic() - began > 7)
    assert load.report.lost == 0, f"\n{load.report}"
    assert container.children() == old

    container.signal("HUP")
    wait_until(lambda: not container.children() & old and len(container.children()) == 2, "new workers")
    with Load(container.address, least=50, keep_alive=1, single=1, paths=("/slow",)) as load:
        pass
    assert load.report.lost == 0, f"\n{load.report}"
    (tmp_path / "clock").write_text("+0\n")
    assert container.stop() == 0


# --- Children ---


@pytest.mark.smoke
@APPS
def test_orphans_are_reaped(start, app):
    container = start(app, environment={"WORKERS": "2"}).wait_ready()
    wait_until(lambda: len(container.children()) == 2, "two workers")
    old = container.children()
    for _ in range(5):
        container.run("sh", "-c", "for i in 1 2 3 4; do (sh -c 'sleep 0.1; exit 3' &) ; done")
    wait_until(lambda: container.children() == old, "the workers alone")
    assert "<defunct>" not in "\n".join(container.processes())
    assert_serves(container)
    assert container.stop() == 0


def test_orphan_that_stays_holds_no_stop_up(start):
    container = start("echo_asgi.py", environment={"WORKERS": "1", "GRACEFUL_TIMEOUT": "3600"}).wait_ready()
    container.run("sh", "-c", "(trap '' TERM; sleep 7200 &)")
    assert container.stop() == 0


@APPS
def test_a_container_that_is_paused(start, app):
    """As platforms do that take the CPU away, for longer than TIMEOUT: nobody hung, and nothing is lost."""
    container = start(app, environment={"WORKERS": "2", "TIMEOUT": "3"}).wait_ready()
    wait_until(lambda: len(container.children()) == 2, "two workers")
    workers = container.children()
    for _ in range(2):
        with Load(container.address, least=100, keep_alive=2, single=2, pause=0.02) as load:
            with container.paused():
                time.sleep(6)
            # Longer than TIMEOUT, and the arbiter's looks.
            time.sleep(5)
        assert load.report.lost == 0, f"\n{load.report}"
    assert container.children() == workers


@pytest.mark.parametrize("http", ["httptools", "h11"])
@APPS
def test_clients_of_a_container_that_is_paused(start, app, http):
    """What they have sent meanwhile is heard before their time is over: for that nobody was there."""
    environment = {"WORKERS": "1", "KEEP_ALIVE": "2", "REQUEST_HEAD_TIMEOUT": "2", "REQUEST_BODY_TIMEOUT": "2"}
    container = start(app, environment=environment | {"UVICORN_HTTP": http}).wait_ready()
    post = request("/post", "Content-Length: 4").replace(b"GET", b"POST")
    with (
        connect(container.address) as idle,
        connect(container.address) as in_head,
        connect(container.address) as in_body,
    ):
        idle.sendall(request("/"))
        answer(idle)
        in_head.sendall(request("/")[:-2])
        in_body.sendall(post + b"ab")
        with container.paused():
            time.sleep(4)
            idle.sendall(request("/"))
            in_head.sendall(b"\r\n")
            in_body.sendall(b"cd")
        for client in (idle, in_head, in_body):
            assert answer(client)[0].startswith("HTTP/1.1 200")
        # And then it is over for who sends nothing.
        assert received(idle) == b""
