"""A WSGI application that says which worker answers, and holds requests until the test lets them go."""

import os
import time
from pathlib import Path


def app(environ, start_response):
    worker = str(os.getpid())
    if environ["PATH_INFO"] == "/hold":
        Path("/tmp", f"held-{worker}").touch()
        while not Path("/tmp/released").exists():
            time.sleep(0.01)
    start_response("200 OK", [("Content-Length", str(len(worker))), ("Connection", "close")])
    return [worker.encode()]
