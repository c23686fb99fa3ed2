"""Starlette, of any year."""

import seen
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute


def page(request):
    return Response(seen.PAGES[request.url.path](), media_type="application/json")


async def echo(websocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


app = Starlette(routes=[*(Route(path, page) for path in seen.PAGES), WebSocketRoute("/", echo)])
