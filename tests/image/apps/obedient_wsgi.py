"""A WSGI application that does what the path says: /status/404, /sleep/2 (seconds)."""

import atexit
import time

atexit.register(lambda: print("atexit ran", flush=True))


def app(environ, start_response):
    path = environ["PATH_INFO"]
    print(f"began {path}", flush=True)
    order, _, argument = path.lstrip("/").partition("/")
    status = "200"
    match order:
        case "status":
            status = argument
        case "sleep":
            time.sleep(float(argument))
    body = b"" if status in ("204", "304") else b"ok"
    start_response(f"{status} Words", [("Content-Length", str(len(body)))] if body else [])
    print(f"ended {path}", flush=True)
    return [body]
