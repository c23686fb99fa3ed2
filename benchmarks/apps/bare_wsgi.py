"""As little as a WSGI application can do."""

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "6")]


def app(environ, start_response):
    """Answer `hello`, whatever is asked."""
    start_response("200 OK", HEADERS)
    return [b"hello\n"]
