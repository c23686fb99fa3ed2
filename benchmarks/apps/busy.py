"""An ASGI application that computes for some milliseconds, as serializing and templates do."""

import json

ROWS = [{"sku": f"item-{number}", "name": "a thing to buy", "price": number * 1.19} for number in range(400)]


async def app(scope, receive, send):
    """Answer with a list that is made anew for each request."""
    if scope["type"] == "lifespan":
        raise RuntimeError("no lifespan")
    body = json.dumps(sorted(json.loads(json.dumps(ROWS)), key=lambda row: -row["price"])).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
