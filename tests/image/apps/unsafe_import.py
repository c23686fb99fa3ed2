"""A WSGI application whose import makes what does not survive a fork."""

import asyncio
import socket
import threading
import time

ticker = threading.Thread(target=time.sleep, args=(3600,), name="ticker", daemon=True)
ticker.start()
server = socket.create_server(("127.0.0.1", 5432))
connection = socket.create_connection(("127.0.0.1", 5432))
loop = asyncio.new_event_loop()


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
