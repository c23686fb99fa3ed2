"""A WSGI application that does what the path says: /status/404, /sleep/2 (seconds)."""

import atexit
import time

atexit.register(lambda: print("atexit ran", flush=True))


def app(environ, start_response):
    path = environ["PATH_INFO"]
    print("began", path, flush=True)
    order, _, argument = path.lstrip("/").partition("/")
    status = "200"
    match order:
        case "status":
            status = argument
        case "sleep":
            time.sleep(float(argument))
    start_response(f"{status} Words", [("Content-Length", "2")])
    print("ended", path, flush=True)
    return [b"ok"]
