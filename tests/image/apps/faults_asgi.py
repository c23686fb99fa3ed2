"""An ASGI application that fails in the ways that a server must survive."""

import asyncio
import ctypes
import os
import time

time.sleep(float(os.environ.get("SLOW_IMPORT", "0")))
HELD = []


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    match scope["path"]:
        case "/block":
            await asyncio.create_task(blocking())
        case "/hold-the-gil":
            holding_the_gil()
        case "/wait":
            await asyncio.sleep(3600)
        case "/slow":
            await asyncio.sleep(3)
        case "/allocate":
            allocate()
    body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive, send):
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            time.sleep(float(os.environ.get("SLOW_STARTUP", "0")))  # noqa: ASYNC251 (it blocks on purpose)
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def blocking():
    time.sleep(3600)  # noqa: ASYNC251 (it blocks on purpose)


def holding_the_gil():
    """Sleep as an extension does that never lets go of the interpreter."""
    ctypes.PyDLL(None).sleep(3600)


def allocate():
    while True:
        HELD.append(os.urandom(4 * 1024 * 1024))
        time.sleep(0.01)
