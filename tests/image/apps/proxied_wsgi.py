"""A WSGI application that says what it sees of a client behind a proxy, streams events and weighs uploads."""

import json
import zlib
from collections import defaultdict
from queue import SimpleQueue
from urllib.parse import parse_qs
from wsgiref.util import request_uri

NEXT = defaultdict(SimpleQueue)
"""What lets a stream of events go on, by the stream's name."""


def seen(environ):
    return {
        "client": environ["REMOTE_ADDR"],
        "scheme": environ["wsgi.url_scheme"],
        "host": environ["HTTP_HOST"],
        "root_path": environ["SCRIPT_NAME"],
        "path": environ["SCRIPT_NAME"] + environ["PATH_INFO"],
        "route": environ["PATH_INFO"],
        "url": request_uri(environ, include_query=False),
        "user": environ.get("HTTP_REMOTE_USER"),
    }


def app(environ, start_response):
    name = parse_qs(environ["QUERY_STRING"]).get("stream", [""])[0]
    match environ["PATH_INFO"]:
        case "/events":
            start_response("200 OK", [("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "no")])
            return events(name)
        case "/next":
            NEXT[name].put(None)
            value = None
        case "/uploads/":
            value = weigh(environ["wsgi.input"])
        case _:
            value = seen(environ)
    body = json.dumps(value).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def events(name):
    """Three events, each but the first when it is asked for."""
    for number in range(3):
        yield b"data: %d\n\n" % number
        NEXT[name].get()


def weigh(body):
    """The length and the checksum of a body, of which no more than a part is held at a time."""
    length, checksum = 0, 0
    while part := body.read(65536):
        length, checksum = length + len(part), zlib.crc32(part, checksum)
    return {"length": length, "checksum": checksum}
