"""Two applications, and a Gunicorn hook, that take all descriptors that there are, for eight seconds."""

import os
import resource
import threading

HELD = []


def hog():
    try:
        while True:
            HELD.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    threading.Timer(8, let_go).start()


def let_go():
    while HELD:
        os.close(HELD.pop())


def answer(path):
    if path == "/hog":
        hog()
    return b"%d" % resource.getrlimit(resource.RLIMIT_NOFILE)[0]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    body = answer(scope["path"])
    headers = [(b"content-length", b"%d" % len(body)), (b"x-pid", b"%d" % os.getpid())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ, start_response):
    body = answer(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Pid", str(os.getpid()))])
    return [body]


def child_exit(server, worker):
    hog()
