"""A WSGI application for the clients of tests/load.py, and for tests that break it.

Every right answer carries its number, the worker's process id and the version of the code.
"""

import atexit
import ctypes
import os
import random
import signal
import sys
import time
from urllib.parse import parse_qs

VERSION = os.environ.get("VERSION", "1")
FILLING = bytes(range(256)) * 256
LEAK = []
HOLD = "/tmp/hold-imports"

atexit.register(lambda: print(f"atexit ran in {os.getpid()}", flush=True))
time.sleep(float(os.environ.get("IMPORT_SECONDS", "0")))
if os.path.exists(HOLD):
    print("the import is held", flush=True)
while os.path.exists(HOLD):
    time.sleep(0.01)


def payload(number, size):
    return (b"%d:" % number + FILLING)[:size]


def crash(how):
    """End this worker in one of the ways in which workers end."""
    match how:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "sys.exit":
            sys.exit(3)
        case "os._exit":
            os._exit(3)
        case "raise":
            raise RuntimeError("for the log alone")


def quantity(query, name, default):
    """Return a number of the query; the default where a fuzzer wrote something else."""
    try:
        value = type(default)(query[name])
    except (KeyError, ValueError):
        return default
    return value if 0 <= value <= 10_000_000 else default


def app(environ, start_response):
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    number, size = quantity(query, "number", 0), quantity(query, "size", 100)
    seconds = quantity(query, "seconds", 0.0)
    body = payload(number, size)
    headers = [
        ("X-Number", str(number)),
        ("X-Pid", str(os.getpid())),
        ("X-Version", VERSION),
        ("Content-Type", "application/octet-stream"),
    ]
    match environ["PATH_INFO"].strip("/").split("/"):
        case ["post"]:
            body = environ["wsgi.input"].read()
        case ["slow" | "block" as what]:
            print(f"{what} begins in {os.getpid()}", flush=True)
            time.sleep(seconds)
            print(f"{what} is done", flush=True)
        case ["stream"]:
            start_response("200 OK", headers)
            return stream(body, seconds, quantity(query, "parts", 3) or 1)
        case ["leak"]:
            LEAK.append(random.randbytes(256 * 1024))
        case ["crash", how]:
            crash(how)
        case _:
            time.sleep(random.uniform(0, 0.003))
    start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [body]


def stream(body, seconds, parts):
    if seconds:
        print(f"stream begins in {os.getpid()}", flush=True)
    for index in range(parts):
        part = body[index * len(body) // parts : (index + 1) * len(body) // parts]
        if part:
            yield part
        time.sleep(seconds / parts or random.uniform(0, 0.002))
