"""An application of each kind without a framework: what the wrappers of other modules wrap."""

import functools


async def asgi(scope, receive, send):
    """ASGI 3."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"bare"})


async def lifespan(receive, send):
    """Say that startup and shutdown have run."""
    await receive()
    print("startup", flush=True)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("shutdown", flush=True)
    await send({"type": "lifespan.shutdown.complete"})


def asgi2(scope):
    """ASGI 2, a function."""

    async def answer(receive, send):
        await asgi(scope, receive, send)

    return answer


class Asgi2:
    """ASGI 2, a class."""

    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        """Serve one connection."""
        await asgi(self.scope, receive, send)


def wsgi(environ, start_response):
    """WSGI, a function."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"bare"]


class Wsgi:
    """WSGI, a class whose instances are the answers: the second example of PEP 3333."""

    def __init__(self, environ, start_response):
        self.environ = environ
        self.start_response = start_response

    def __iter__(self):
        """Answer."""
        yield from wsgi(self.environ, self.start_response)


class Shop:
    """Applications that are methods."""

    async def asgi(self, scope, receive, send):
        """Serve one connection."""
        await asgi(scope, receive, send)

    def wsgi(self, environ, start_response):
        """Answer one request."""
        return wsgi(environ, start_response)


def asgi_with(name, scope, receive, send):
    """ASGI 3 with an argument of its own, and no `async`: what it returns is awaited."""
    return asgi(scope, receive, send)


def wsgi_with(name, environ, start_response):
    """WSGI with an argument of its own."""
    return wsgi(environ, start_response)


shop = Shop()
partial_asgi = functools.partial(asgi_with, "shop")
partial_wsgi = functools.partial(wsgi_with, "shop")
