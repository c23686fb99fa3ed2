"""docs/development.md: Compose with a watch, a terminal with pdb, tests and tools, a debugger's client."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from conftest import http_client, wait_until
from dap import Session
from page import Page, Terminal

IMAGE = "paddock-example:fastapi-uv-dev"
SOURCE = "src/shop/main.py"
CTRL_C = "\x03"
WELCOME = "Welcome to the"


class Shop:
    """The example, while its developer works on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.source = page.directory / SOURCE

    def get(self, path: str = "/") -> httpx.Response:
        with http_client() as client:
            return client.get(f"http://127.0.0.1:{self.page.port('8000')}{path}")

    def wait_for(self, text: str, status: int = 200) -> None:
        """Wait until the root answers so."""

        def answers() -> bool:
            try:
                answer = self.get()
            except httpx.HTTPError:
                return False
            return answer.status_code == status and text in answer.text

        wait_until(answers, f"{status} and {text!r}")

    def change(self, old: str, new: str) -> None:
        """Save the source with `new` in the place of `old`."""
        text = self.source.read_text()
        assert old in text
        self.source.write_text(text.replace(old, new))

    def line_of(self, text: str) -> int:
        """Return the number of the source's first line that has `text`."""
        lines = self.source.read_text().splitlines()
        return next(number for number, line in enumerate(lines, 1) if text in line)


@pytest.fixture
def shop(page) -> Shop:
    """The page, and the image that compose.yaml would build, as one of the page's own, which the page replaces."""
    followed = page("development", example="fastapi-uv")
    compose = followed.directory / "compose.yaml"
    compose.write_text(compose.read_text().replace(IMAGE, followed.app))
    build = ["docker", "build", "--quiet", "--label", "page=development", "--tag", followed.app, "-"]
    subprocess.run(build, input=f"FROM {IMAGE}", text=True, check=True)
    return Shop(followed)


def test_page(shop: Shop) -> None:
    """In the page's order: the first command is the longest story."""
    with_a_watch(shop)
    in_a_terminal(shop)
    as_oneself(shop)
    with_a_debugger(shop)


def with_a_watch(shop: Shop) -> None:
    """A change, one that breaks it, one that mends it, another lock file, Ctrl-C."""
    compose = shop.page.start("docker compose up --watch")
    compose.wait_for("Watch enabled")
    shop.wait_for(WELCOME)
    shop.page.run("curl --silent")
    shop.change(WELCOME, "Hello from the")
    shop.wait_for("Hello from the")
    shop.change("import json", "import jsonn")
    shop.wait_for("The application does not start", 503)
    shop.change("import jsonn", "import json")
    shop.wait_for("Hello from the")

    items = shop.source.with_name("items.json")
    text = items.read_text()
    for there in (False, True):
        items.write_text(text) if there else items.unlink()
        wait_until(lambda there=there: ("items.json" in files_of(shop)) is there, "items.json to go, and to come")

    first = container_of(shop)
    with open(shop.page.directory / "uv.lock", "a") as lock:
        lock.write("\n")
    wait_until(lambda: container_of(shop) not in ("", first), "a container of the new image", patience=600)
    shop.wait_for("Hello from the")
    # A Ctrl-C before Compose has attached to it would kill it.
    compose.wait_for("has been recreated.*gunicorn: Ready")
    stop(shop, compose)


def stop(shop: Shop, compose: Terminal) -> None:
    """Press Ctrl-C, and wait until the container and Compose have ended."""
    compose.type(CTRL_C)
    compose.wait_end()
    ended = shop.page.shell("docker compose ps --all --quiet | xargs docker inspect --format '{{.State.ExitCode}}'")
    assert ended.stdout == "0\n", shop.page.shell("docker compose logs --tail 30").stdout


def container_of(shop: Shop) -> str:
    return shop.page.shell("docker compose ps --quiet").stdout.strip()


def files_of(shop: Shop) -> str:
    return shop.page.shell("docker compose exec -T web ls src/shop").stdout


def in_a_terminal(shop: Shop) -> None:
    """pdb in an async handler, where the debugger takes its time; the mount brings what Compose would copy."""
    shop.change('return {"message"', 'breakpoint()\n    return {"message"')
    terminal = shop.page.start("docker compose run --rm --service-ports --volume .:/app web")
    terminal.wait_for("gunicorn: Ready")
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(shop.get)
        terminal.wait_for(r"\(Pdb\)")
        terminal.type("settings.shop_name = 'Pit Lane'\n")
        terminal.wait_for(r"\(Pdb\)")
        terminal.type("continue\n")
        assert answer.result().json()["message"] == "Hello from the Pit Lane"
    shop.change("breakpoint()\n    ", "")
    terminal.wait_for(r"Reloading: src/shop/main\.py changed.*Ready")
    terminal.type(CTRL_C)
    assert terminal.wait_end() == 0


def as_oneself(shop: Shop) -> None:
    """They see the host's files, and what they write belongs to whoever runs them."""
    shop.change("Hello from the", WELCOME)
    assert "passed" in shop.page.run("docker compose run --rm --no-deps --user")
    cache = shop.page.directory / ".pytest_cache"
    assert cache.stat().st_uid == os.getuid()
    shop.change("import json\n", "import   json\n")
    shop.page.run("docker compose run --rm --no-deps --user")
    assert "import json\n" in shop.source.read_text()
    assert shop.source.stat().st_uid == os.getuid()


def with_a_debugger(shop: Shop) -> None:
    """As VS Code does: attach, attach to the children too, stop, look, change, go on; and again after a reload."""
    compose = shop.page.start("docker compose --file compose.yaml --file compose.debug.yaml up --watch")
    worker = int(compose.wait_for(r"Booting worker with pid: (\d+)")[1])
    compose.wait_for("gunicorn: Ready")
    with ExitStack() as sessions:

        def attach(configuration: dict[str, Any]) -> Session:
            line = shop.line_of('return {"message"')
            return sessions.enter_context(Session(int(shop.page.port("5678")), configuration, {str(shop.source): line}))

        editor = attach(configuration(shop))
        while (child := editor.event("debugpyAttach"))["subProcessId"] != worker:
            attach(child)
        stop_and_go_on(shop, attach(child), "Box")
        shop.source.touch()
        compose.wait_for("Reloading: ")
        child = attach(next_worker(editor, worker))
        # Compose may have needed so long for the copy that it was two changes.
        while compose.wait_for("gunicorn: (Ready|Reloading: )")[1] != "Ready":
            child = attach(next_worker(editor, worker))
        stop_and_go_on(shop, child, "Grid")
    stop(shop, compose)


def next_worker(editor: Session, first: int) -> dict[str, Any]:
    """Return how to attach to the next worker that reports itself after the first one.

    What answered until that served was forked before it, may report itself after it, and is gone.
    """
    while (child := editor.event("debugpyAttach"))["subProcessId"] <= first:
        pass
    return child


def configuration(shop: Shop) -> dict[str, Any]:
    """Return what the page's launch.json says, as VS Code reads it."""
    launch = (shop.page.directory / ".vscode/launch.json").read_text()
    (configuration,) = json.loads(launch.replace("${workspaceFolder}", str(shop.page.directory)))["configurations"]
    assert configuration.pop("connect") == {"host": "localhost", "port": 5678}
    return configuration


def stop_and_go_on(shop: Shop, worker: Session, name: str) -> None:
    """Ask, be stopped at the breakpoint, read a variable and set it, and see it in the answer."""
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(shop.get)
        stopped = worker.event("stopped")
        assert stopped["reason"] == "breakpoint"
        frame = worker.ask("stackTrace", threadId=stopped["threadId"], levels=1)["stackFrames"][0]
        assert frame["name"] == "root"
        assert frame["source"]["path"] == str(shop.source)
        shown = worker.ask("evaluate", expression="settings.shop_name", frameId=frame["id"])
        assert shown["result"] == "'Paddock Shop'"
        worker.ask("setExpression", expression="settings.shop_name", value=repr(name), frameId=frame["id"])
        worker.ask("continue", threadId=stopped["threadId"])
        assert answer.result().json()["message"] == f"{WELCOME} {name}"
