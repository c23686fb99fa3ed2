"""As little as an ASGI application can do."""

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"6")],
}
BODY = {"type": "http.response.body", "body": b"hello\n"}


async def app(scope, receive, send):
    """Answer `hello`, whatever is asked."""
    if scope["type"] == "lifespan":
        # The way to say that there is none: https://asgi.readthedocs.io/en/stable/specs/lifespan.html
        raise RuntimeError("no lifespan")
    await send(START)
    await send(BODY)
