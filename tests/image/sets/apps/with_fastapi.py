"""FastAPI, of any year."""

import seen
from fastapi import FastAPI, Response, WebSocket

app = FastAPI()


@app.get("/{path:path}")
def page(path: str) -> Response:
    return Response(seen.PAGES[f"/{path}"](), media_type="application/json")


@app.websocket("/")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)
