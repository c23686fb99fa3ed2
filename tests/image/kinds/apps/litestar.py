from contextlib import asynccontextmanager

from litestar import Litestar, MediaType, WebSocket, get, websocket


@get("/", media_type=MediaType.TEXT)
async def index() -> str:
    return "Litestar"


@websocket("/ws")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()


@asynccontextmanager
async def lifespan(app):
    print("startup", flush=True)
    yield
    print("shutdown", flush=True)


app = Litestar([index, echo], lifespan=[lifespan])
