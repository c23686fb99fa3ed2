"""No framework."""

import asyncio
import json

import seen


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await echo(receive, send)
    if scope["type"] != "http":
        return
    body = loop() if scope["path"] == "/loop" else await asyncio.to_thread(seen.PAGES[scope["path"]])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body.encode()})


def loop():
    """Return what kind of loop runs, in the application's eyes."""
    import uvloop

    running = asyncio.get_running_loop()
    return json.dumps({"module": type(running).__module__, "own": isinstance(running, uvloop.Loop)})


async def echo(receive, send):
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "websocket.send", "text": message["text"]})


def wsgi(environ, start_response):
    start_response("200 OK", [("content-type", "application/json")])
    return [seen.PAGES[environ["PATH_INFO"]]().encode()]
