"""docs/health.md: each of its messages comes of the cause that stands beside it."""

import re
import threading
from pathlib import Path

import pytest

from conftest import wait_until

PAGE = (Path(__file__).parents[2] / "docs/health.md").read_text()
MESSAGES = re.findall(r"^\| `([^`]+)` \|", PAGE.partition("## Who may write")[0], re.MULTILINE)
ONE_WORKER = {"WORKERS": "1"}


def says(container, message):
    wait_until(lambda: message in container.attempt("paddock", "health").out, message)


@pytest.mark.parametrize("message", [message for message in MESSAGES if " with " in f" {message}"])
def test_statuses(start, message):
    status = re.search(r"with (\d+)", message)[1]
    path = {"HEALTHCHECK_PATH": "/page"} if "2xx" in message else {}
    environment = ONE_WORKER | path | {"STATUS": status}
    container = start("answers.py", environment=environment).wait_ready()

    says(container, message)


def test_no_answer(start):
    container = start("echo_asgi.py", environment=ONE_WORKER).wait_ready()
    request = threading.Thread(target=container.get, args=("/block?seconds=20",))
    request.start()
    container.wait_for_log("block begins")

    says(container, "no answer within 4 s")
    request.join()


def test_starting_and_draining(start):
    environment = ONE_WORKER | {"IMPORT_SECONDS": "5", "DRAIN_DELAY": "20", "GRACEFUL_TIMEOUT": "100"}
    container = start("echo_asgi.py", environment=environment)

    says(container, "the server is starting")
    container.wait_ready().signal("TERM")
    says(container, "the server is draining: it was told to stop")


def test_no_server(start):
    container = start(command=["sleep", "infinity"])

    says(container, "no Paddock server runs here, and nothing else is checked")


def test_every_message_has_a_test():
    source = Path(__file__).read_text()

    assert [
        message for message in MESSAGES if not re.search(r"with \d+", message) and f'"{message}"' not in source
    ] == []
