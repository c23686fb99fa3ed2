"""examples/systemd: the unit's commands do what it says, and its times fit into each other."""

import configparser
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from conftest import Container, wait_until
from load import Load

FOLDER = Path(__file__).parents[2] / "examples/systemd"
APP = Path(__file__).parents[1] / "image/apps/echo_asgi.py"
NAME = f"my-app-{os.getpid()}"


def read(name):
    """Return the sections of a unit."""
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str
    unit.read(FOLDER / name)
    return unit


@pytest.fixture
def command(slim):
    """Return a command of the unit's, for this test's image, a port of its own and a name of its own."""

    def command(key):
        words = shlex.split(read("my-app.service")["Service"][key].removeprefix("-"))
        assert words[0] == "/usr/bin/docker"
        words = ["docker", *(NAME if word == "my-app" else word for word in words[1:])]
        if "run" in words:
            publish = words.index("--publish") + 1
            assert words[publish] == "127.0.0.1:8000:8000"
            words[publish] = "127.0.0.1::8000"
            # The image comes last, and is called like the container.
            words[-1:] = ["--volume", f"{APP}:/app/main.py:ro", slim]
        return words

    return command


def test_the_unit(command, engine):
    subprocess.run(command("ExecStartPre"), check=False, capture_output=True)
    with subprocess.Popen(command("ExecStart"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as service:
        try:
            wait_until(lambda: engine.containers.list(filters={"name": NAME}), "a container")
            container = Container(engine.containers.get(NAME)).wait_ready()
            old = container.children()

            with Load(container.address, least=300, keep_alive=2, single=2) as load:
                subprocess.run(command("ExecReload"), check=True, capture_output=True)
                wait_until(lambda: container.children() and not container.children() & old, "new workers")
            assert load.report.lost == 0, f"\n{load.report}"

            subprocess.run(command("ExecStop"), check=True, capture_output=True)
            assert service.wait(60) == 0
        finally:
            subprocess.run(command("ExecStartPre"), check=False, capture_output=True)


def test_times_fit_into_each_other():
    unit, quadlet = read("my-app.service")["Service"], read("my-app.container")
    start = unit["ExecStart"]
    graceful = int(re.search(r"GRACEFUL_TIMEOUT=(\d+)", start)[1])
    assert graceful < int(re.search(r"--stop-timeout (\d+)", start)[1]) < int(unit["TimeoutStopSec"])

    own = quadlet["Container"]
    assert own["Environment"] == f"GRACEFUL_TIMEOUT={graceful}"
    assert graceful < int(own["StopTimeout"]) < int(quadlet["Service"]["TimeoutStopSec"])
