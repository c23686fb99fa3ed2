import asyncio

from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.routing import Route


async def numbers(most):
    for number in range(most):
        yield {"data": number}
        await asyncio.sleep(0.1)


async def events(request):
    return EventSourceResponse(numbers(request.path_params["most"]))


app = Starlette(routes=[Route("/events/{most:int}", events)])
