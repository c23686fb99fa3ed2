"""What programs ask for."""

from collections.abc import Iterator
from itertools import batched

from flask import Blueprint, Response, abort, request

from fuel.plan import Race

blueprint = Blueprint("api", __name__)


@blueprint.post("/plan")
def plan() -> dict:
    """Return the stints of the race in the body."""
    race = read_race(request.get_json())
    return {"stints": list(race.stints())}


@blueprint.get("/fuel.csv")
def fuel() -> Response:
    """Return the fuel at the start of each lap, as a download that is made while it is sent."""
    race = read_race(request.args)

    def lines() -> Iterator[str]:
        yield "lap,litres\r\n"
        for batch in batched(race.fuel(), 1000):
            yield "".join(f"{lap},{litres:.3f}\r\n" for lap, litres in batch)

    return Response(lines(), mimetype="text/csv", headers={"Content-Disposition": "attachment; filename=fuel.csv"})


def read_race(values: object) -> Race:
    """Return the race that a request asks about, or answer with 400."""
    try:
        return Race.read(values)
    except ValueError as error:
        abort(400, str(error))
