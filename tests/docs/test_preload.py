"""docs/preload.md, followed command by command, and what its tables say."""

import re

import pytest

from conftest import wait_until
from page import ROOT

PAGE = ROOT / "docs" / "preload.md"
LOGS = "docker compose logs web"
MEBIBYTES = {"MiB": 1, "GiB": 1024}

MADE_AT_IMPORT = """
import functools, os, random, threading, time

own = random.Random()
lock = threading.Lock()

def update():
    with lock:
        time.sleep(3600)

threading.Thread(target=update, name="update", daemon=True).start()

@functools.cache
def numbers():
    return f"{own.random()} {random.random()}"

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    alive = any(thread.name == "update" for thread in threading.enumerate())
    return [f"{os.getpid()} {numbers()} {alive} {lock.locked()}".encode()]
"""

SLOW = """
import time
time.sleep(3)

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""


def mebibytes(shown: str) -> float:
    """Return the memory in a line such as `463.6MiB / 23.4GiB`."""
    number, unit = re.match(r"([\d.]+)([MG]iB) / ", shown).groups()
    return float(number) * MEBIBYTES[unit]


def test_page(page):
    follow = page("preload")

    def assert_updated() -> None:
        """The hook has started the thread in the worker that answers."""
        assert re.search(r"updated: \d\d:\d\d:\d\d", follow.shell(follow.steps[-2].commands).stdout)

    follow.run("docker compose up --detach --wait")
    stats = follow.steps[0].commands
    wait_until(lambda: mebibytes(follow.shell(stats).stdout) > 300, "four workers with a table each")
    plain = mebibytes(follow.run("docker compose stats"))
    assert_updated()

    follow.run("PRELOAD_APP=true docker compose up")
    wait_until(lambda: follow.shell(LOGS).stdout.count("Booting worker") == 4, "four workers")
    shared = mebibytes(follow.run("docker compose stats"))
    assert shared < plain / 2
    assert_updated()
    follow.run("curl --silent")
    config = follow.shell("docker compose exec --no-TTY web paddock config").stdout
    assert re.search(r"PRELOAD_APP +true +environment", config)

    follow.run("docker compose kill --signal HUP web")
    wait_until(lambda: warning("the code is not reloaded") in follow.shell(LOGS).stdout, "the reload")


def warning(words):
    """Return the line of the log that the page shows."""
    (line,) = re.findall(rf"^PRELOAD_APP: .*{words}.*$", PAGE.read_text(), re.MULTILINE)
    return line


@pytest.mark.parametrize("preload", [True, False])
def test_what_breaks(start, mount, preload):
    said = warning("threads")
    environment = {"WORKERS": "2", "PRELOAD_APP": str(preload).lower()}
    container = start(volumes=mount("/app/main.py", MADE_AT_IMPORT), environment=environment, allow=(re.escape(said),))
    container.wait_ready()
    seen = {}

    def both() -> bool:
        pid, *rest = container.get().text.split()
        seen[pid] = rest
        return len(seen) == 2

    wait_until(both, "answers of two workers")
    (own, common, alive, locked), (own2, common2, *other) = seen.values()
    assert (own == own2) is preload
    assert common != common2
    assert [alive, locked] == other == [str(not preload), "True"]
    assert (said in container.logs()) is preload


def test_a_long_import_is_not_under_the_boot_deadline(start, mount):
    environment = {"WORKERS": "1", "PRELOAD_APP": "true", "BOOT_TIMEOUT": "1"}
    container = start(volumes=mount("/app/main.py", SLOW), environment=environment).wait_ready()

    assert container.get().status_code == 200
