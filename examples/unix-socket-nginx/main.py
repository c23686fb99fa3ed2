"""The application: it says what it knows of its visitors, streams, chats, and takes uploads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Say when the doors open and close."""
    print("open", flush=True)
    yield
    print("closed", flush=True)


app = FastAPI(title="Visitors", lifespan=lifespan)


@app.get("/")
async def visitor(request: Request) -> dict[str, str | None]:
    """Say who asks, and under which address: nginx knows both, and tells."""
    return {
        "visitor": request.client and request.client.host,
        "url": str(request.url_for("visitor")),
    }


@app.get("/health")
async def health() -> dict[str, str]:
    """Answer the health check of the container, which comes through the socket too."""
    return {"status": "ok"}


@app.get("/laps")
async def laps() -> StreamingResponse:
    """Stream an event for each of five laps, as they are driven."""

    async def events() -> AsyncIterator[str]:
        for lap in range(1, 6):
            yield f"data: lap {lap}\n\n"
            await asyncio.sleep(0.2)

    # nginx would collect the events first.
    return StreamingResponse(
        events(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


@app.post("/uploads/")
async def upload(request: Request) -> dict[str, int]:
    """Count the bytes of an upload, as they come."""
    size = 0
    async for part in request.stream():
        size += len(part)
    return {"size": size}


@app.websocket("/radio")
async def radio(websocket: WebSocket) -> None:
    """Confirm every message, until the visitor leaves."""
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(f"copy: {await websocket.receive_text()}")
    except WebSocketDisconnect:
        pass
