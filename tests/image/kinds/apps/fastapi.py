from contextlib import asynccontextmanager

from fastapi import FastAPI, WebSocket
from fastapi.responses import PlainTextResponse


@asynccontextmanager
async def lifespan(app):
    print("startup", flush=True)
    yield
    print("shutdown", flush=True)


def create_app(name: str = "FastAPI"):
    app = FastAPI(lifespan=lifespan)

    @app.get("/", response_class=PlainTextResponse)
    async def index():
        return name

    @app.websocket("/ws")
    async def echo(websocket: WebSocket):
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    return app


async def create_app_later():
    return create_app()


def create_app_that_fails():
    app = FastAPI()
    app.get()
    return app


app = create_app()
