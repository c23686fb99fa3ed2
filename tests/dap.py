"""A debugger's side of the Debug Adapter Protocol, as much of it as a breakpoint needs.

https://microsoft.github.io/debug-adapter-protocol/specification
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from socket import create_connection
from typing import Any

from conftest import PATIENCE

Message = dict[str, Any]


class Session:
    """One session with a debug adapter: for the process that was started, or for one of its children."""

    def __init__(self, port: int, configuration: Message, breakpoints: dict[str, int]) -> None:
        """Attach as the entry `configuration` of a launch.json says, with a breakpoint in a line of each path."""
        self.closing = ExitStack()
        self.socket = self.closing.enter_context(create_connection(("127.0.0.1", port), timeout=PATIENCE))
        self.received = self.closing.enter_context(self.socket.makefile("rb"))
        self.numbers = count(1)
        self.seen: list[Message] = []
        self.ask("initialize", clientID="tests", adapterID="debugpy", pathFormat="path")
        attached = self.send("attach", configuration)
        self.event("initialized")
        for path, line in breakpoints.items():
            self.ask("setBreakpoints", source={"path": path}, breakpoints=[{"line": line}])
        self.ask("configurationDone")
        self.response(attached)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Hang up."""
        self.closing.close()

    def send(self, command: str, arguments: Message) -> int:
        """Send a request; return its number."""
        number = next(self.numbers)
        message = {"seq": number, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self.socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return number

    def ask(self, command: str, **arguments: Any) -> Message:
        """Send a request; return what the answer holds."""
        return self.response(self.send(command, arguments))

    def response(self, number: int) -> Message:
        """Return what the answer to a request holds, which has to be a success."""
        answer = self.wait(lambda message: message["type"] == "response" and message["request_seq"] == number)
        assert answer["success"], answer
        return answer.get("body") or {}

    def event(self, name: str) -> Message:
        """Wait for an event, unless it has come already; return what it holds."""
        return self.wait(lambda message: message["type"] == "event" and message["event"] == name).get("body") or {}

    def wait(self, wanted: Callable[[Message], bool]) -> Message:
        """Return the first message that is `wanted`, and keep the others."""
        for message in self.seen:
            if wanted(message):
                self.seen.remove(message)
                return message
        while not wanted(message := self.read()):
            self.seen.append(message)
        return message

    def read(self) -> Message:
        """Return the next message."""
        length = 0
        while line := self.received.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert length, "the debug adapter has hung up"
        message: Message = json.loads(self.received.read(length))
        return message
