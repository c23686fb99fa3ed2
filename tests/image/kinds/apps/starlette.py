from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute


@asynccontextmanager
async def lifespan(app):
    print("startup", flush=True)
    yield
    print("shutdown", flush=True)


async def index(request):
    return PlainTextResponse("Starlette")


async def echo(websocket):
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


app = Starlette(routes=[Route("/", index), WebSocketRoute("/ws", echo)], lifespan=lifespan)
cors = CORSMiddleware(app, allow_origins=["*"])
gzip = GZipMiddleware(app, minimum_size=1)
