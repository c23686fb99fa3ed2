"""An ASGI application for the clients of tests/load.py, and for tests that break it.

Every right answer carries its number, the worker's process id and the version of the code.
"""

import asyncio
import atexit
import ctypes
import os
import random
import signal
import sys
import time
from urllib.parse import parse_qs

VERSION = os.environ.get("VERSION", "1")
FILLING = bytes(range(256)) * 256
LEAK = []
HOLD = "/tmp/hold-imports"

atexit.register(lambda: print(f"atexit ran in {os.getpid()}", flush=True))
time.sleep(float(os.environ.get("IMPORT_SECONDS", "0")))
if os.path.exists(HOLD):
    print("the import is held", flush=True)
while os.path.exists(HOLD):
    time.sleep(0.01)


def payload(number, size):
    return (b"%d:" % number + FILLING)[:size]


def crash(how):
    """End this worker in one of the ways in which workers end."""
    match how:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "sys.exit":
            sys.exit(3)
        case "os._exit":
            os._exit(3)
        case "raise":
            raise RuntimeError("for the log alone")


def quantity(query, name, default):
    """Return a number of the query; the default where a fuzzer wrote something else."""
    try:
        value = type(default)(query[name])
    except (KeyError, ValueError):
        return default
    return value if 0 <= value <= 10_000_000 else default


async def app(scope, receive, send):
    match scope["type"]:
        case "lifespan":
            await lifespan(receive, send)
        case "websocket":
            await websocket(receive, send)
        case "http":
            await http(scope, receive, send)


async def lifespan(receive, send):
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await asyncio.sleep(float(os.environ.get("STARTUP_SECONDS", "0")))
        print(f"{message['type']} in {os.getpid()}", flush=True)
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def websocket(receive, send):
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "websocket.send", "text": f"{os.getpid()} {message.get('text')}"})


async def http(scope, receive, send):
    query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
    number, size = quantity(query, "number", 0), quantity(query, "size", 100)
    seconds = quantity(query, "seconds", 0.0)
    body = payload(number, size)
    headers = [
        (b"x-number", str(number).encode()),
        (b"x-pid", str(os.getpid()).encode()),
        (b"x-version", VERSION.encode()),
        (b"content-type", b"application/octet-stream"),
    ]
    match scope["path"].strip("/").split("/"):
        case ["post"]:
            body, more = b"", True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
        case ["slow"]:
            print(f"slow begins in {os.getpid()}", flush=True)
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                print("slow was cancelled", flush=True)
                raise
            print("slow is done", flush=True)
        case ["block"]:
            print(f"block begins in {os.getpid()}", flush=True)
            time.sleep(seconds)  # noqa: ASYNC251 (it blocks the loop)
        case ["stream"]:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            parts = quantity(query, "parts", 3) or 1
            if seconds:
                print(f"stream begins in {os.getpid()}", flush=True)
            for index in range(parts):
                part = body[index * size // parts : (index + 1) * size // parts]
                await send({"type": "http.response.body", "body": part, "more_body": True})
                await asyncio.sleep(seconds / parts or random.uniform(0, 0.002))
            await send({"type": "http.response.body", "body": b""})
            return
        case ["leak"]:
            LEAK.append(random.randbytes(256 * 1024))
        case ["crash", how]:
            crash(how)
        case _:
            await asyncio.sleep(random.uniform(0, 0.003))
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    match scope["path"].strip("/").split("/"):
        case ["blink"]:
            time.sleep(0.02)  # noqa: ASYNC251 (it blocks the loop)
        case ["after", "block"]:
            while not os.path.exists(f"/tmp/go-on-{number}"):  # noqa: ASYNC240
                time.sleep(0.01)  # noqa: ASYNC251 (it blocks the loop)
        case ["after", how]:
            crash(how)
