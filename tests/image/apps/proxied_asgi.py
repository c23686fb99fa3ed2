"""An ASGI application that says what it sees of a client behind a proxy, streams events, weighs uploads and echoes."""

import asyncio
import json
import zlib
from collections import defaultdict
from urllib.parse import parse_qs

NEXT = defaultdict(asyncio.Queue)
"""What lets a stream of events go on, by the stream's name."""


def seen(scope):
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    route = scope["path"].removeprefix(scope["root_path"])
    return {
        "client": scope["client"] and scope["client"][0],
        "scheme": scope["scheme"],
        "host": headers.get("host"),
        "root_path": scope["root_path"],
        "path": scope["path"],
        "route": route,
        "user": headers.get("remote-user"),
        # As Starlette makes it: https://github.com/Kludex/starlette/blob/main/starlette/datastructures.py, URLPath
        "url": f"{scope['scheme']}://{headers.get('host')}{scope['root_path']}{route}",
    }


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await websocket(scope, receive, send)
    elif scope["type"] == "http":
        name = parse_qs(scope["query_string"].decode()).get("stream", [""])[0]
        match seen(scope)["route"]:
            case "/events":
                await events(name, send)
            case "/next":
                NEXT[name].put_nowait(None)
                await answer(send, None)
            case "/uploads/":
                await answer(send, await weigh(receive))
            case _:
                await answer(send, seen(scope))


async def answer(send, value):
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def events(name, send):
    """Three events, each but the first when it is asked for."""
    headers = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(3):
        await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
        await NEXT[name].get()
    await send({"type": "http.response.body", "body": b""})


async def weigh(receive):
    """The length and the checksum of a body, of which no more than a part is held at a time."""
    length, checksum, more = 0, 0, True
    while more:
        message = await receive()
        part, more = message.get("body", b""), message.get("more_body", False)
        length, checksum = length + len(part), zlib.crc32(part, checksum)
    return {"length": length, "checksum": checksum}


async def websocket(scope, receive, send):
    """Say who is there, echo what comes, and close with the code that it is."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(seen(scope))})
    while (message := await receive())["type"] == "websocket.receive":
        if (message["text"]).isdigit():
            await send({"type": "websocket.close", "code": int(message["text"]), "reason": "as you like"})
            return
        await send({"type": "websocket.send", "text": message["text"]})
    print(f"the client closed with {message['code']}", flush=True)
