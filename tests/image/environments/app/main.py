"""An ASGI application that says where its packages and the server's come from, in the process that serves it."""

import contextlib
import json
import os
import sys

import itsdangerous  # noqa: F401 (what the application itself depends on)

with contextlib.suppress(ImportError):
    import psycopg  # noqa: F401 (needs the system's libpq)


def modules():
    """Every package that was imported, with its file."""
    files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items()) if "." not in name}
    return {name: file for name, file in files.items() if file}


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await echo(receive, send)
    if scope["type"] != "http":
        return
    seen = {"executable": sys.executable, "prefix": sys.prefix, "uid": os.getuid(), "modules": modules()}
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


async def echo(receive, send):
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "websocket.send", "text": message["text"]})
