"""The application: a team's radio over a WebSocket, and an event stream for those who only listen."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from sse_starlette import EventSourceResponse, JSONServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from room import BACKLOG, Queue, Room, heard

logger = logging.getLogger(__name__)

LONGEST_NAME = 20


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Room]]:
    """Open the room, and see it closed: when this ends, everybody has left."""
    room = Room()
    logger.info("on the air")
    yield {"room": room}
    logger.info("off the air, %d listening", len(room.queues))


async def health(request: Request) -> JSONResponse:
    """Answer the health check of the container."""
    return JSONResponse({"people": len(request.state.room.people), "listening": len(request.state.room.queues)})


async def radio(websocket: WebSocket) -> None:
    """Let somebody speak and hear."""
    room: Room = websocket.state.room
    await websocket.accept()
    name = websocket.query_params.get("name", "").strip()
    if not 0 < len(name) <= LONGEST_NAME:
        await websocket.close(1008, f"a name has 1 to {LONGEST_NAME} characters")
        return
    queue = Queue(BACKLOG)
    with room.listening(queue), room.joined(name):
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(tell(websocket, queue))
            while (message := await websocket.receive())["type"] == "websocket.receive":
                if text := (message.get("text") or "").strip():
                    room.say(name, text)
            telling.cancel()


async def tell(websocket: WebSocket, queue: Queue) -> None:
    """Send what is in the queue; close with "try again later" when the client does not keep up."""
    with suppress(WebSocketDisconnect):
        async for event in heard(queue):
            await websocket.send_json(event._asdict())
        await websocket.close(1013)


async def events(request: Request) -> EventSourceResponse:
    """Stream what happens until the client leaves or the server stops."""
    room: Room = request.state.room
    queue = Queue(BACKLOG)
    stopping = anyio.Event()

    async def listen() -> None:
        with room.listening(queue):
            await stopping.wait()

    async def stream() -> AsyncIterator[JSONServerSentEvent]:
        async for event in heard(queue):
            yield JSONServerSentEvent(event.content, event=event.kind)

    # The server's stop sets the event, which ends the queue and with it the response. Without that the response would
    # be cut off, and the log would say so.
    return EventSourceResponse(stream(), data_sender_callable=listen, shutdown_event=stopping, shutdown_grace_period=2)


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/health", health),
        Route("/events", events),
        WebSocketRoute("/radio", radio),
        Mount("/", StaticFiles(directory=Path(__file__).with_name("static"), html=True)),
    ],
)
