"""The application: three items for whoever knows the key."""

import json
import logging
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, Security, status
from fastapi.security import APIKeyHeader
from pydantic import BaseModel

from shop.settings import Settings, get_settings

logger = logging.getLogger(__name__)


class Item(BaseModel):
    """Something to buy; the price is in euros."""

    sku: str
    name: str
    price: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, dict[str, Item]]]:
    """Load what every request needs: a real shop opens its connection pool here."""
    get_settings()
    items = [Item(**row) for row in json.loads(files("shop").joinpath("items.json").read_text())]
    logger.info("open with %d items", len(items))
    yield {"items": {item.sku: item for item in items}}
    logger.info("closed")


app = FastAPI(title="Shop", lifespan=lifespan)


def get_items(request: Request) -> dict[str, Item]:
    """Return the items that the lifespan loaded."""
    return request.state.items


def require_key(
    settings: Annotated[Settings, Depends(get_settings)],
    key: Annotated[str | None, Security(APIKeyHeader(name="X-API-Key", auto_error=False))],
) -> None:
    """Let nobody in without the key; comparing takes as long for a wrong one, whatever it begins with."""
    if not secrets.compare_digest((key or "").encode(), settings.api_key.get_secret_value().encode()):
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "X-API-Key is missing or wrong")


Items = Annotated[dict[str, Item], Depends(get_items)]


@app.get("/")
async def root(settings: Annotated[Settings, Depends(get_settings)]) -> dict[str, str | int]:
    """Say who answers: one of the workers."""
    return {"message": f"Welcome to the {settings.shop_name}", "worker": os.getpid()}


@app.get("/health")
async def health(items: Items) -> dict[str, int]:
    """Answer the health check of the container."""
    return {"items": len(items)}


@app.get("/items", dependencies=[Depends(require_key)])
async def list_items(items: Items) -> list[Item]:
    """List what there is."""
    return list(items.values())


@app.get("/items/{sku}", dependencies=[Depends(require_key)])
async def read_item(sku: str, items: Items) -> Item:
    """Return one item."""
    if sku not in items:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no item {sku}")
    return items[sku]
