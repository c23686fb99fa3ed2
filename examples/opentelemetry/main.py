"""Times pit stops; every request is a span, and so is each thing that the crew does."""

import asyncio
import os

from opentelemetry import trace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

CREW = {"jack": 0.002, "wheels": 0.005, "release": 0.001}

tracer = trace.get_tracer(__name__)


async def health(request: Request) -> JSONResponse:
    return JSONResponse({"crew": len(CREW)})


async def stop(request: Request) -> JSONResponse:
    for job, seconds in CREW.items():
        # The resource is the arbiter's, made before the fork; who worked is an attribute of the span.
        with tracer.start_as_current_span(job, attributes={"process.pid": os.getpid()}):
            await asyncio.sleep(seconds)
    return JSONResponse({"driver": request.path_params["driver"], "pid": os.getpid()})


app = Starlette(routes=[Route("/health", health), Route("/stops/{driver}", stop, methods=["POST"])])
