"""An ASGI application that says in the log when it starts and ends, and answers with what it sees."""

import atexit
import json
import os
import sys

atexit.register(lambda: print("atexit ran", flush=True))


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            print(message["type"], flush=True)
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    seen = {
        "kind": "asgi",
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "uid": os.getuid(),
        "gid": os.getgid(),
        "executable": sys.executable,
        "path": scope["path"],
        "root_path": scope["root_path"],
        "scheme": scope["scheme"],
        "client": scope["client"],
        "extensions": list(scope.get("extensions", {})),
        "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
        "environ": dict(os.environ),
    }
    body = json.dumps(seen).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
