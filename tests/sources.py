"""Applications that tests write and change while a container runs."""

from pathlib import Path

import pytest

ASGI = """
import os
{first}

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({{"type": message["type"] + ".complete"}})
            if message["type"] == "lifespan.shutdown":
                return
    body = {answer}
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}})
    await send({{"type": "http.response.body", "body": body}})
"""

WSGI = """
import os
{first}

def app(environ, start_response):
    body = {answer}
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

SOURCES = pytest.mark.parametrize("source", [ASGI, WSGI], ids=["asgi", "wsgi"])


class Folder:
    """A folder of the host that is /app, for a test that changes what is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def volumes(self) -> dict[str, dict[str, str]]:
        """The mount, for `start`."""
        return {str(self.path): {"bind": "/app", "mode": "rw"}}

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        (self.path / name).write_text(text)

    def code(self, source: str, answer: str, first: str = "") -> None:
        """Write the application; answers of one length in one second would find Python's cache of the older code."""
        self.write("main.py", source.format(answer=answer, first=first))
