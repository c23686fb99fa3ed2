import sys

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def root(request):
    return PlainTextResponse(f"Test app. Using Python {sys.version_info.major}.{sys.version_info.minor}")


app = Starlette(routes=[Route("/", root)])
