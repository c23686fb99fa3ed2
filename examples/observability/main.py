"""Takes lap times, and has metrics of its own beside the image's."""

import asyncio

from prometheus_client import Counter, Gauge, Histogram
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

LAPS = Counter("laps", "Laps driven.", ["driver"])
SECONDS = Histogram("lap_seconds", "Lap times.", buckets=(70, 80, 90, 100, 120))
# With several workers a gauge must say what becomes of its parts: here those of the living are added up.
TIMING = Gauge("laps_being_timed", "Laps that are being timed.", multiprocess_mode="livesum")

DRIVERS = ("ada", "ben", "cid")


async def health(request: Request) -> JSONResponse:
    return JSONResponse({"drivers": len(DRIVERS)})


async def lap(request: Request) -> JSONResponse:
    """Take a lap time: `{"seconds": 81.2}`; with `"wait"` it takes so long to note it."""
    driver = request.path_params["driver"]
    if driver not in DRIVERS:
        # What becomes a label must be one of a few.
        raise HTTPException(404)
    noted = await request.json()
    with TIMING.track_inprogress():
        await asyncio.sleep(noted.get("wait", 0))
    LAPS.labels(driver).inc()
    SECONDS.observe(noted["seconds"])
    return JSONResponse({"driver": driver})


async def crash(request: Request) -> JSONResponse:
    raise RuntimeError("the car is in the wall")


app = Starlette(
    routes=[
        Route("/health", health),
        Route("/laps/{driver}", lap, methods=["POST"]),
        Route("/crash", crash),
    ]
)
