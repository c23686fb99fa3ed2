"""WebSockets that flood a worker: with messages that are large, or become so, and with more than anybody takes."""

import re
import socket
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from conftest import PATIENCE
from wire import received_until

ECHO = """
import asyncio

async def app(scope, receive, send):
    assert scope["type"] == "websocket"
    await send({"type": "websocket.accept"})
    if scope["path"] == "/deaf":
        await asyncio.Future()
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": str(len(message.get("bytes") or b""))})
"""

LARGEST = 16 * 1024 * 1024
"""Bytes of the largest message, by default."""

STALLED = 3.0
"""Seconds after which a client that can send nothing more has been left waiting."""

HANDSHAKE = (
    b"GET /deaf HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)


@pytest.fixture
def small(start, mount):
    """A server whose worker the kernel would kill if it held a few of the largest messages."""
    volumes = mount("/app/main.py", ECHO)
    environment = {"WORKERS": "1", "UVICORN_LIFESPAN": "off"}
    limits = {"mem_limit": "160m", "memswap_limit": "160m"}
    return start(volumes=volumes, environment=environment, **limits).wait_ready()


def zeros(size: int) -> bytes:
    """Return a compressed message, of so many zeros, as a client sends it."""
    deflate = PerMessageDeflate(
        remote_no_context_takeover=True,
        local_no_context_takeover=True,
        remote_max_window_bits=15,
        local_max_window_bits=15,
    )
    return Frame(Opcode.BINARY, bytes(size)).serialize(mask=True, extensions=[deflate])


def test_a_message_that_becomes_too_large_is_not_unpacked(small):
    with connect(f"ws://{small.address}:8000", proxy=None, open_timeout=PATIENCE) as client:
        client.send(bytes(LARGEST))
        assert client.recv() == str(LARGEST)
        client.socket.sendall(zeros(LARGEST * 8))
        with pytest.raises(ConnectionClosedError) as closed:
            client.recv(timeout=PATIENCE)
    assert closed.value.rcvd.code == 1009
    assert small.logs().count("Booting worker") == 1


def test_messages_that_nobody_takes_are_not_read(small):
    message = zeros(LARGEST)
    with socket.create_connection((small.address, 8000), timeout=PATIENCE) as client:
        client.sendall(HANDSHAKE)
        assert re.match(rb"HTTP/1.1 101 .*permessage-deflate", received_until(client, b"\r\n\r\n"), re.DOTALL)
        client.settimeout(STALLED)
        with suppress(TimeoutError):
            while True:
                client.sendall(message)
        with connect(f"ws://{small.address}:8000", proxy=None, open_timeout=PATIENCE) as other:
            other.send(b"four")
            assert other.recv(timeout=PATIENCE) == "4"
    assert small.logs().count("Booting worker") == 1
