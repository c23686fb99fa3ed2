"""An ASGI application that tells what it can see of the process that serves it, and misbehaves when asked to."""

import asyncio
import contextvars
import json
import logging
import os
import socket
import struct
import sys
import time
import warnings
from urllib.parse import parse_qs

IMPORTED_BY = os.getpid()
CONTEXT = contextvars.ContextVar("context")
CONTEXT.set("of the import")
ACCEPT_QUEUE = 28
"""Where the length of a listener's queue stands in struct tcp_info (tcpi_sacked), linux/tcp.h."""


def listeners():
    """The listening sockets of this process: address, length of the accept queue, SO_REUSEPORT."""
    for name in os.listdir("/proc/self/fd"):
        try:
            duplicate = os.dup(int(name))
        except OSError:
            # The listing's own.
            continue
        try:
            sock = socket.socket(fileno=duplicate)
        except OSError:
            os.close(duplicate)
            continue
        with sock:
            if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN
            ):
                info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
                yield {
                    "address": sock.getsockname(),
                    "backlog": struct.unpack_from("I", info, ACCEPT_QUEUE)[0],
                    "reuse_port": bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)),
                }


def process():
    """What is the same for every request."""
    return {
        "pid": os.getpid(),
        "imported_by": IMPORTED_BY,
        "environ": dict(os.environ),
        "cwd": os.getcwd(),
        "path": sys.path,
        "listeners": list(listeners()),
    }


def log():
    """One message for each level, as an application logs them."""
    logger = logging.getLogger("shop.orders")
    logger.debug("a debug message")
    logger.info("an info message", extra={"order": 7})
    logger.warning("a warning message")
    try:
        raise LookupError("no such order")
    except LookupError:
        logger.exception("an error message")
    warnings.warn("a Python warning", UserWarning, stacklevel=1)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await echo(receive, send)
    else:
        await answer(scope, receive, send)


async def lifespan(receive, send):
    while True:
        message = await receive()
        print(message["type"], flush=True)
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def echo(receive, send):
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "websocket.send", "text": message["text"]})


async def answer(scope, receive, send):
    query = parse_qs(scope["query_string"].decode())
    seconds = float(query.get("seconds", ["0"])[0])
    match scope["path"].rpartition("/")[2]:
        case "wait":
            await asyncio.sleep(seconds)
        case "block":
            time.sleep(seconds)  # noqa: ASYNC251
        case "log":
            log()
    seen = process() | {
        "path_info": scope["path"],
        "root_path": scope["root_path"],
        "scheme": scope["scheme"],
        "client": scope["client"] and scope["client"][0],
        "loop": type(asyncio.get_running_loop()).__module__,
        # The transport of a client that has gone has no protocol.
        "parser": type(getattr(receive.__self__.transport.get_protocol(), "parser", None)).__module__,
        "context": CONTEXT.get("empty"),
    }
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
