"""A WSGI application that fails in the ways that a server must survive."""

import os
import time
from threading import Lock

time.sleep(float(os.environ.get("SLOW_IMPORT", "0")))


def app(environ, start_response):
    match environ["PATH_INFO"]:
        case "/stuck":
            deadlock()
        case "/slow":
            time.sleep(3)
        case "/stream":
            start_response("200 OK", [("Content-Type", "application/octet-stream")])
            return stream()
        case "/events":
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            return events()
        case "/file":
            return file(environ, start_response)
        case "/body":
            environ["wsgi.input"].read()
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def deadlock():
    lock = Lock()
    lock.acquire()
    lock.acquire()


def stream():
    for _ in range(12):
        time.sleep(0.5)
        yield b"x" * 100


def events():
    yield b"data: first\n\n"
    time.sleep(6)
    yield b"data: last\n\n"


def file(environ, start_response):
    """Send more than the sockets hold, so that a slow client holds the thread up."""
    path = "/tmp/large"
    with open(path, "wb") as large:
        large.truncate(20_000_000)
    start_response("200 OK", [("Content-Length", "20000000")])
    return environ["wsgi.file_wrapper"](open(path, "rb"))
