"""A WSGI application that answers with what it sees."""

import atexit
import json
import os
import threading

atexit.register(lambda: print("atexit ran", flush=True))


def app(environ, start_response):
    seen = {
        "kind": "wsgi",
        "pid": os.getpid(),
        "uid": os.getuid(),
        "thread": threading.current_thread().name,
        "path": environ["PATH_INFO"],
        "root_path": environ["SCRIPT_NAME"],
        "scheme": environ["wsgi.url_scheme"],
        "client": environ["REMOTE_ADDR"],
        "certificate": getattr(environ["gunicorn.socket"], "getpeercert", dict)(),
        "environ": dict(os.environ),
    }
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
