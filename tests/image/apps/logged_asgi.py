"""An ASGI application that says what it sees, and logs while it serves."""

import asyncio
import json
import logging


def in_a_thread():
    logging.getLogger("shop").info("from a thread")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})
        await send({"type": "websocket.close"})
        return
    if scope["path"].endswith("/crash"):
        raise ValueError("out of stock")
    logging.getLogger("shop").info("served")
    await asyncio.to_thread(in_a_thread)
    if scope["path"].endswith("/slow"):
        print("slow begins", flush=True)
        await asyncio.sleep(2)
    headers = [(b"content-type", b"application/json")]
    if scope["path"].endswith("/own-id"):
        headers.append((b"X-Request-Id", b"the-application-says"))
    seen = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
