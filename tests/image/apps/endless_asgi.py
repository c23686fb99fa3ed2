"""An ASGI application whose answers never end by themselves: it learns of the stop as sse-starlette does."""

import asyncio
import atexit
import os

import uvicorn

atexit.register(lambda: print(f"atexit ran in {os.getpid()}", flush=True))
stopping = asyncio.Event()
of_uvicorn = uvicorn.Server.handle_exit


def handle_exit(server, number, frame):
    print(f"handle_exit {number} in {os.getpid()}", flush=True)
    stopping.set()
    of_uvicorn(server, number, frame)


uvicorn.Server.handle_exit = handle_exit


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            print(f"{message['type']} in {os.getpid()}", flush=True)
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begins", "more_body": True})
    print("stream begins", flush=True)
    await stopping.wait()
    await send({"type": "http.response.body", "body": b"farewell"})
