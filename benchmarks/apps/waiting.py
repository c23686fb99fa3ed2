"""A WSGI application that waits, as for a database."""

import time


def app(environ, start_response):
    """Answer after 50 milliseconds in which nothing is computed."""
    time.sleep(0.05)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\n"]
