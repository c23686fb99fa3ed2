"""An ASGI application that does what the path says: /status/404, /sleep/2 (seconds), /block/2 (the event loop too)."""

import asyncio
import atexit
import time

atexit.register(lambda: print("atexit ran", flush=True))


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            print(message["type"], flush=True)
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    print(f"began {scope['path']}", flush=True)
    _, _, rest = scope["path"].partition("/")
    order, _, argument = rest.partition("/")
    status = 200
    match order:
        case "status":
            status = int(argument)
        case "sleep":
            await asyncio.sleep(float(argument))
        case "block":
            time.sleep(float(argument))  # noqa: ASYNC251
    body = b"" if status in (204, 304) else b"ok"
    headers = [(b"content-length", str(len(body)).encode())] if body else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    print(f"ended {scope['path']}", flush=True)
