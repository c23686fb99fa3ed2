"""A page in a headless Chromium, by its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

from conftest import PATIENCE, Container

# The protocol listens on the loopback interface only. The host has one, but its networks come and go,
# and a browser gives up what it loads when one does.
RELAY = 'socat TCP-LISTEN:9223,fork TCP:127.0.0.1:9222 & exec "$@"'

COMMAND = [
    *("sh", "-c", RELAY, "sh"),
    "chromium-headless-shell",
    "--remote-debugging-port=9222",
    # Its sandbox needs user namespaces, which Docker's seccomp profile forbids.
    "--no-sandbox",
    # Docker's 64 MiB are too few.
    "--disable-dev-shm-usage",
    "--disable-gpu",
]

COMPLAINTS = {"Log.entryAdded", "Runtime.exceptionThrown"}
"""Events of what a person would see as errors in the console: failed requests, refused content, uncaught exceptions."""


class Page:
    """A page, as a person sees and uses it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.numbers = itertools.count(1)
        self.session: dict[str, str] = {}
        self.complaints: list[dict[str, Any]] = []

    def open(self, address: str) -> None:
        """Open a new tab at `address`."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        self.call("Log.enable")
        self.call("Runtime.enable")
        self.call("Page.navigate", url=address)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the result of a command; events that come meanwhile are looked at for complaints."""
        number = next(self.numbers)
        self.connection.send(json.dumps({"id": number, "method": method, "params": parameters} | self.session))
        while (message := json.loads(self.connection.recv(PATIENCE))).get("id") != number:
            if message.get("method") in COMPLAINTS:
                self.complaints.append(message["params"])
        assert "error" not in message, message
        return message["result"]

    def evaluate(self, expression: str) -> Any:
        """Return the value of JavaScript; its exceptions fail the test."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def texts(self, selector: str) -> list[str]:
        """Return what is to be read in the elements that are to be seen."""
        visible = f"[...document.querySelectorAll({json.dumps(selector)})].filter(element => element.checkVisibility())"
        return self.evaluate(f"{visible}.map(element => element.innerText)")

    def click(self, selector: str) -> None:
        """Press the mouse button on an element."""
        place = "{ const r = %s.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }"
        x, y = self.evaluate(f"(() => {place % f'document.querySelector({json.dumps(selector)})'})()")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        self.click(selector)
        self.call("Input.insertText", text=text)


@contextmanager
def browsing(start: Callable[..., Container], tools: str, address: str) -> Iterator[Page]:
    """Start a browser in a container, and yield its page at `address`."""
    container = start(image=f"{tools}:chromium", command=COMMAND)
    endpoint = container.wait_for_log("ws://127.0.0.1:.*").replace("127.0.0.1:9222", f"{container.address}:9223")
    with connect(endpoint, proxy=None, max_size=None) as connection:
        page = Page(connection)
        page.open(address)
        yield page
