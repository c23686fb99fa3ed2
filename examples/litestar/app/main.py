"""The application: circuits, and the fastest plan for a race on one of them."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from litestar import Litestar, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException, NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK
from litestar.types import Scope
from msgspec import Meta, Struct

from app.strategy import Circuit, Plan, drive, fastest

logger = logging.getLogger(__name__)

Circuits = NamedDependency[dict[str, Circuit]]
Wear = Annotated[float, QueryParameter(gt=0, le=5, description="Seconds that each lap on the same tyres adds")]


class Race(Struct, forbid_unknown_fields=True):
    """What there is to plan."""

    circuit: str
    wear: Annotated[float, Meta(gt=0, le=5)]
    most_stops: Annotated[int, Meta(ge=1, le=5)] = 3


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    """Load what every request needs."""
    circuits = msgspec.json.decode(Path(__file__).with_name("circuits.json").read_bytes(), type=list[Circuit])
    app.state.circuits = {circuit.name: circuit for circuit in circuits}
    logger.info("know %d circuits", len(circuits))
    yield
    logger.info("closed")


async def log_failure(error: Exception, scope: Scope) -> None:
    """Log what Litestar answers with 500: by itself it does so only in debug mode."""
    if not isinstance(error, HTTPException):
        logger.error("%s failed", scope["path"], exc_info=error)


async def provide_circuits(state: State) -> dict[str, Circuit]:
    """Return what the lifespan loaded."""
    return state.circuits


def find(circuits: dict[str, Circuit], name: str) -> Circuit:
    """Return a circuit by its name.

    Raises:
        NotFoundException: there is none; Litestar answers with 404.
    """
    if name not in circuits:
        raise NotFoundException(f"there is no circuit {name}")
    return circuits[name]


@get("/health")
async def health(circuits: Circuits) -> dict[str, int]:
    """Answer the health check of the container."""
    return {"circuits": len(circuits)}


@get("/circuits")
async def list_circuits(circuits: Circuits) -> list[Circuit]:
    """List the circuits."""
    return list(circuits.values())


@get("/circuits/{name:str}")
async def read_circuit(circuits: Circuits, name: FromPath[str]) -> Circuit:
    """Return one circuit."""
    return find(circuits, name)


@post("/plans", status_code=HTTP_200_OK)
async def make_plan(circuits: Circuits, data: JSONBody[Race]) -> Plan:
    """Return the fastest plan for a race; nothing is kept, so that it does not matter which worker answers."""
    return fastest(find(circuits, data.circuit), data.wear, data.most_stops)


@get("/circuits/{name:str}/laps.csv")
async def stream_laps(circuits: Circuits, name: FromPath[str], wear: Wear) -> Stream:
    """Stream the laps of the fastest plan, one a line."""
    circuit = find(circuits, name)

    def lines() -> Iterator[str]:
        yield "lap,stint,age,seconds\n"
        for lap in drive(circuit, fastest(circuit, wear, most_stops=3).stints, wear):
            yield f"{lap.number},{lap.stint},{lap.age},{lap.seconds}\n"

    return Stream(lines(), media_type="text/csv")


app = Litestar(
    [health, list_circuits, read_circuit, make_plan, stream_laps],
    dependencies={"circuits": Provide(provide_circuits)},
    lifespan=[lifespan],
    after_exception=[log_failure],
    # The image's log is there already; Litestar's own would be another one, with other lines.
    logging_config=None,
    openapi_config=OpenAPIConfig(title="Pit stop planner", version="0.1.0"),
)
