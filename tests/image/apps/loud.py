"""An application, for WSGI and for ASGI, that makes Python, the servers and the image write to the log."""

import asyncio
import ctypes
import logging
import os
import signal
import sys
import threading
import time
import warnings

log = logging.getLogger("shop")
log.info("imported", extra={"time": "extra"})
warnings.warn("a Python warning", stacklevel=1)

match os.environ.get("AT_IMPORT"):
    case "raise":
        raise LookupError("at import")
    case "exit":
        sys.exit(3)
    case "crash":
        signal.raise_signal(signal.SIGSEGV)
    case "sleep":
        time.sleep(3600)
    case "gil":
        ctypes.PyDLL(None).sleep(3600)


class Fails:
    """Raises where nobody can catch it."""

    def __del__(self):
        raise LookupError("in a destructor")


LEFT_OVER = Fails() if os.environ.get("AT_EXIT") else None


def fail():
    raise LookupError("in a thread")


def do(path):
    """Do what `path` says."""
    match path:
        case "/log":
            log.info("a line\nand another", extra={"number": float("nan"), "text": "\udcff", "thing": object()})
            log.info("%d", "no number")
            log.info("x" * 100_000)
        case "/raise":
            raise LookupError("no such order\n{}")
        case "/destructor":
            Fails()
        case "/thread":
            threading.Thread(target=fail, name="orders").start()
        case "/crash":
            signal.raise_signal(signal.SIGSEGV)
        case "/kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "/hang":
            time.sleep(3600)
        case "/gil":
            ctypes.PyDLL(None).sleep(3600)


def wsgi(environ, start_response):
    do(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "0")])
    return []


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if scope["path"] == "/task":
        asyncio.get_running_loop().call_soon(fail)
    do(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


async def lifespan(receive, send):
    while True:
        message = await receive()
        kind = message["type"].partition(".")[2]
        if os.environ.get("LIFESPAN") == kind:
            raise LookupError(f"in lifespan {kind}")
        if os.environ.get("LIFESPAN") == f"{kind}.failed":
            text = "Traceback (most recent call last):\n  nowhere\nLookupError: in lifespan\n"
            await send({"type": f"lifespan.{kind}.failed", "message": text})
            return
        await send({"type": f"lifespan.{kind}.complete"})
        if kind == "shutdown":
            return
