"""The example with nginx and a Unix socket: its Compose file, with Debian's nginx in place of the official image."""

import socket
import time

import pytest
from websockets.sync.client import connect

from conftest import PATIENCE, http_client, wait_until

ON_TOP = """
services:
  app:
    environment:
      WORKERS: "2"
  nginx:
    image: {tools}:nginx
    command: nginx -g 'daemon off;'
    user: "0"
    ports: !reset []
"""


@pytest.fixture
def project(compose, tools):
    """The project, as `docker compose up` leaves it."""
    return compose("unix-socket-nginx", ON_TOP.format(tools=tools))


def test_every_route_through_nginx(project):
    app, nginx = project.service("app"), project.service("nginx")
    [network] = nginx.raw.attrs["NetworkSettings"]["Networks"].values()
    here = {"visitor": network["Gateway"], "url": f"http://{network['IPAddress']}/"}

    assert nginx.get("/", port=80).json() == here
    assert nginx.get("/", port=80, headers={"X-Forwarded-For": "203.0.113.66"}).json() == here
    assert nginx.get("/health", port=80).json() == {"status": "ok"}
    assert nginx.get("/nothing", port=80).status_code == 404

    with http_client() as client, client.stream("GET", f"http://{nginx.address}/laps") as laps:
        came = [(time.monotonic(), line) for line in laps.iter_lines() if line]
    assert [line for _, line in came] == [f"data: lap {lap}" for lap in range(1, 6)]
    assert came[-1][0] - came[0][0] > 0.5, "they came together"

    size = 20_000_000
    answer = nginx.post("/uploads/", port=80, content=bytes(size))
    assert answer.json() == {"size": size}

    with connect(f"ws://{nginx.address}/radio", proxy=None) as radio:
        radio.send("box")
        assert radio.recv(PATIENCE) == "copy: box"

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((app.address, 8000), timeout=PATIENCE)
    assert "/run/app/app.sock answered GET /health with 200" in app.run("paddock", "health")
    app.assert_silent()


def test_it_stops_cleanly_and_comes_back(project):
    app, nginx = project.service("app"), project.service("nginx")
    wait_until(lambda: app.logs().count("open") == 2, "both workers")

    assert app.stop() == 0
    assert app.logs().count("closed") == 2
    assert nginx.get("/", port=80).status_code == 502
    app.raw.start()
    app.wait_healthy()
    assert nginx.get("/", port=80).status_code == 200
    # What is killed leaves its socket behind.
    app.raw.kill()
    app.raw.wait()
    app.raw.start()
    app.wait_healthy()
    assert nginx.get("/", port=80).status_code == 200
    app.assert_silent()
