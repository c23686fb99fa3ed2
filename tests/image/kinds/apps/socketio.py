import socketio

from . import bare


async def startup():
    print("startup", flush=True)


async def shutdown():
    print("shutdown", flush=True)


asynchronous = socketio.AsyncServer(async_mode="asgi")
threaded = socketio.Server(async_mode="threading")


@asynchronous.event
async def echo(sid, text):
    return text


@threaded.on("echo")
def echo_in_a_thread(sid, text):
    return text


asgi = socketio.ASGIApp(asynchronous, on_startup=startup, on_shutdown=shutdown)
wsgi = socketio.WSGIApp(threaded)
asgi_around = socketio.ASGIApp(asynchronous, bare.asgi)
wsgi_around = socketio.WSGIApp(threaded, bare.wsgi)
