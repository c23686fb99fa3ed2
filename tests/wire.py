"""Connections by hand: what an HTTP client would hide from a test."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


def connect(address: str, port: int = 8000, patience: float = 60.0) -> socket.socket:
    """Return a connection."""
    return socket.create_connection((address, port), patience)


def request(path: str, *headers: str) -> bytes:
    """Return a GET request."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: test", *headers, "", ""]).encode()


@contextmanager
def asking(address: str, path: str, *headers: str) -> Iterator[socket.socket]:
    """Send a request on a connection of its own; the answer is the test's matter."""
    with connect(address) as client:
        client.sendall(request(path, *headers))
        yield client


def received(client: socket.socket) -> bytes:
    """Return all that comes before the connection ends; a reset ends it too."""
    data = b""
    try:
        while part := client.recv(65536):
            data += part
    except ConnectionResetError:
        pass
    return data


def received_until(client: socket.socket, end: bytes) -> bytes:
    """Return what comes up to `end`, which must come."""
    data = b""
    while end not in data:
        part = client.recv(65536)
        assert part, f"the connection ended after {data!r}"
        data += part
    return data


def answer(client: socket.socket) -> tuple[str, bytes]:
    """Return the head and the body of one answer that has a Content-Length; the connection stays open."""
    head, _, body = received_until(client, b"\r\n\r\n").partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
    while len(body) < length:
        part = client.recv(65536)
        assert part, f"the connection ended in an answer: {body!r}"
        body += part
    return head.decode(), body
