"""A WSGI application whose paths take their time: `/sleep`, `/compute`, `/slow`."""

import time

TIMES = {"/sleep": 0.01, "/slow": 0.2}
"""Seconds in which nothing is computed, as those that a database takes."""


def app(environ, start_response):
    """Answer `hello`, after what the path says."""
    path = environ["PATH_INFO"]
    if path == "/compute":
        # Some 5 ms; the same work each time, however long the thread has to wait for others.
        sum(number * number for number in range(50_000))
    elif path in TIMES:
        time.sleep(TIMES[path])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\n"]
