"""A WSGI application that says what it sees, and logs while it serves."""

import json
import logging
import time


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.endswith("/crash"):
        raise ValueError("out of stock")
    if path.endswith("/late-crash"):
        start_response("200 OK", [])
        return late()
    logging.getLogger("shop").info("served")
    if path.endswith("/slow"):
        print("slow begins", flush=True)
        time.sleep(2)
    headers = [("Content-Type", "application/json")]
    if path.endswith("/own-id"):
        headers.append(("X-Request-Id", "the-application-says"))
    if path.endswith("/file"):
        start_response("200 OK", headers)
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    seen = [environ[key] for key in ("HTTP_X_REQUEST_ID",) if key in environ]
    start_response("200 OK", headers)
    return [json.dumps(seen).encode()]


def late():
    raise ValueError("out of stock")
    yield b""
