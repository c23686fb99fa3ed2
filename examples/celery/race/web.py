"""The web application: it takes orders, and says how far they are."""

from typing import Any

from celery.result import AsyncResult
from flask import Flask, request, url_for
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from redis.exceptions import RedisError

from race.tasks import Race, simulate

app = Flask(__name__)


@app.get("/health")
def health() -> dict[str, str]:
    """Answer the health check of the container, Redis or not: no other web process would have it either."""
    return {"status": "ok"}


@app.post("/races")
def order() -> tuple[Any, int, dict[str, str]]:
    """Order a simulation."""
    race = Race.model_validate_json(request.get_data())
    try:
        ordered = simulate.delay(race)
    except RuntimeError as error:
        # What Celery makes of a store of results that does not answer; a broker that does not is an OperationalError.
        raise OperationalError(str(error)) from error
    return {"id": ordered.id}, 202, {"Location": url_for("read", id=ordered.id)}


@app.get("/races/<uuid:id>")
def read(id: str) -> dict[str, Any]:
    """Say how far a simulation is: PENDING, which is what Celery says of unknown ones too, STARTED, SUCCESS, FAILURE."""
    ordered: AsyncResult[Any] = simulate.AsyncResult(str(id))
    match ordered.state, ordered.result:
        case "SUCCESS", forecast:
            return {"state": "SUCCESS", "forecast": forecast}
        case "FAILURE", error:
            return {"state": "FAILURE", "error": str(error)}
        case state, _:
            return {"state": state}


@app.errorhandler(ValidationError)
def explain(error: ValidationError) -> tuple[Any, int]:
    """Say what is wrong with an order."""
    return {"errors": error.errors(include_url=False, include_context=False)}, 422


@app.errorhandler(OperationalError)
@app.errorhandler(RedisError)
def apologise(error: Exception) -> tuple[dict[str, str], int]:
    """Say that Redis, which has the orders and their results, cannot be reached now."""
    app.logger.error("no answer from Redis: %s", error)
    return {"error": "try again later"}, 503
