from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from shop import __version__


async def home(request):
    return PlainTextResponse(f"served {__version__}")


app = Starlette(routes=[Route("/", home)])
