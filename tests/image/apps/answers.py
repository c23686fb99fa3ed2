"""An ASGI application that answers everything with the status STATUS, and nothing else."""

import os


async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": int(os.environ["STATUS"]), "headers": []})
    await send({"type": "http.response.body"})
