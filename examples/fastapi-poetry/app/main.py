"""The application: a championship's table from the results of its races."""

from typing import Annotated

from fastapi import FastAPI, HTTPException, status
from pydantic import AfterValidator, BaseModel

from app.standings import SCALES, Row, standings

app = FastAPI(title="Standings")


def each_once(race: list[str]) -> list[str]:
    """Refuse a result in which somebody finishes twice."""
    if len(set(race)) < len(race):
        raise ValueError("a driver finishes a race once")
    return race


class Season(BaseModel):
    """The races so far: for each, who came first, second, and so on."""

    scale: str = "formula-1"
    races: list[Annotated[list[str], AfterValidator(each_once)]]


@app.get("/health")
async def health() -> dict[str, str]:
    """Answer the health check of the container."""
    return {"status": "ok"}


@app.get("/scales")
async def list_scales() -> dict[str, list[int]]:
    """List what the places are worth."""
    return SCALES


@app.get("/scales/{name}")
async def read_scale(name: str) -> list[int]:
    """Return what the places are worth in one championship."""
    if name not in SCALES:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no scale {name}")
    return SCALES[name]


@app.post("/standings")
async def calculate(season: Season) -> list[Row]:
    """Return the table of a season."""
    return standings(season.races, await read_scale(season.scale))
