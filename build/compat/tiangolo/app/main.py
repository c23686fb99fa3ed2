import sys


class App:
    """An application of ASGI 2, which says where it runs until there is another in its place."""

    def __init__(self, scope):
        assert scope["type"] == "http"  # noqa: S101 (a server asks for a lifespan, too)

    async def __call__(self, receive, send):
        headers = [[b"content-type", b"text/plain"]]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        message = f"Hello world! From Uvicorn with Gunicorn. Using Python {version}"
        await send({"type": "http.response.body", "body": message.encode()})


app = App
