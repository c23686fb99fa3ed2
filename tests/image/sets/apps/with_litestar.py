"""Litestar."""

import seen
from litestar import Litestar, MediaType, get, websocket_listener


@get(list(seen.PAGES), media_type=MediaType.JSON)
async def page(scope: dict) -> bytes:
    return seen.PAGES[scope["path"]]().encode()


@websocket_listener("/ws")
async def echo(data: str) -> str:
    return data


app = Litestar([page, echo])
