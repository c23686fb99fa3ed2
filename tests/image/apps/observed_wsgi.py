"""A WSGI application that tells what it can see of the process that serves it."""

import json
import os
import threading
import time
from urllib.parse import parse_qs

IN_FLIGHT = []
MOST = [0]


def app(environ, start_response):
    IN_FLIGHT.append(1)
    MOST[0] = max(MOST[0], len(IN_FLIGHT))
    seconds = float(parse_qs(environ["QUERY_STRING"]).get("seconds", ["0"])[0])
    time.sleep(seconds)
    seen = {
        "pid": os.getpid(),
        "thread": threading.current_thread().name,
        "most_in_flight": MOST[0],
        "path_info": environ["PATH_INFO"],
        "root_path": environ["SCRIPT_NAME"],
        "scheme": environ["wsgi.url_scheme"],
        "client": environ["REMOTE_ADDR"],
    }
    IN_FLIGHT.pop()
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
