"""What an agent that was put around the server's command sees of a request."""

import elasticapm
import newrelic.agent
from flask import Flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

SEEN = {
    # None before the agent has announced the application somewhere, or has found that it is not to.
    "newrelic": lambda: str(getattr(newrelic.agent.current_transaction(), "name", None)),
    "elastic": lambda: str(elasticapm.get_transaction_id()),
}


async def seen(request):
    return PlainTextResponse(SEEN[request.path_params["agent"]]())


asgi = Starlette(routes=[Route("/{agent}", seen)])
wsgi = Flask(__name__)
wsgi.get("/<agent>")(lambda agent: SEEN[agent]())
