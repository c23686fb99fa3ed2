"""The example with a Gunicorn file of its own: every hook in it runs, and the image's own behaviour stays."""

import json
import re
import socket
from contextlib import closing

import pytest

from conftest import wait_until
from examples.conftest import LOCKED_UP

IMAGE = "paddock-example:custom-conf"
ENDLESS = "/pi/500000"
OVERRIDDEN = "WORKERS=4 has no effect: /app/gunicorn.conf.py sets workers to 2"
NOISE_OF_A_HANG = ("Killed while at", "TIMEOUT=", "Traceback", "ended with exit status 1$")


def warm(container, workers=2):
    """Wait until so many workers have said in post_worker_init that they are warm; return the container."""
    wait_until(lambda: container.logs().count("is warm") == workers, f"{workers} warm workers")
    return container


def asking_without_end(container, path=ENDLESS):
    """Send a request that takes longer than a test; the connection is closed by `with`."""
    connection = socket.create_connection((container.address, 8000), timeout=60)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return closing(connection)


def ask_three_times_for_nothing(container):
    """Ask for what is not there: the health check asks for what is, at times of its own."""
    for _ in range(3):
        assert container.get("/pi/0").status_code == 404


def test_hooks_run_from_start_to_stop(start):
    container = start(image=IMAGE, environment={"WORKERS": "4"}, allow=(OVERRIDDEN,), **LOCKED_UP).wait_healthy()

    # nworkers_changed, on_starting and when_ready, pre_fork, post_fork, post_worker_init
    assert "Keeping account of 2 workers" in container.logs()
    warm(container)
    numbers = set()
    wait_until(lambda: numbers.add(container.get("/").json()["worker"]) or len(numbers) == 2, "answers of both workers")
    assert numbers == {1, 2}

    # pre_request, post_request
    assert container.get("/pi/5").json() == {"pi": "3.14159"}
    assert len(container.get("/pi/30000").json()["pi"]) == 30_002
    container.wait_for_log(r"Slow: GET /pi/30000 took \d+\.\d s")

    # nworkers_changed, and the first worker ends: worker_exit, child_exit
    container.signal("TTIN")
    container.wait_for_log("3 workers in place of 2")
    container.wait_for_log("Worker number 3 is warm")
    ask_three_times_for_nothing(container)
    container.signal("TTOU")
    container.wait_for_log("2 workers in place of 3")
    wait_until(lambda: container.workers() == 2, "two workers")

    # on_reload; what came before it is not forgotten, on_exit
    container.signal("HUP")
    container.wait_for_log(r"The account goes on after \d+ answers")
    wait_until(lambda: container.logs().count("is replaced: it is from before the reload") == 2, "two new workers")
    ask_three_times_for_nothing(container)
    assert container.stop() == 0
    assert re.search(r"Answered: \d+ of 200, 6 of 404\n$", container.logs(stdout=False))


def test_a_worker_with_a_thread_that_hangs_is_replaced(start):
    """TIMEOUT is the environment's: the file leaves it alone."""
    environment = {"TIMEOUT": "3", "GRACEFUL_TIMEOUT": "4"}
    allow = (*NOISE_OF_A_HANG, "Connections were cut off", "did not leave within 4 seconds")
    container = warm(start(image=IMAGE, environment=environment, allow=allow).wait_healthy())

    with asking_without_end(container):
        container.wait_for_log(rf"stuck in the application for \d+\.\d seconds by GET {ENDLESS}\.")
        warm(container, 3)
        wait_until(lambda: container.workers() == 2, "the end of the worker with the thread")
    assert container.stop() == 0


def test_a_quick_stop_says_what_it_cuts_off(start):
    """worker_int."""
    allow = ("Connections were cut off",)
    container = warm(start(image=IMAGE, environment={"LOG_LEVEL": "debug"}, allow=allow).wait_healthy())

    with asking_without_end(container):
        container.wait_for_log(f"Begun: GET {ENDLESS}")
        container.signal("INT")
        assert container.wait_exit() == 0
    container.wait_for_log(f"Cut off: GET {ENDLESS}")


ASGI = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    while scope["path"] == "/hang":
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ASGI"})
"""


def test_with_an_asgi_application_all_run_but_the_hooks_for_requests(start, mount):
    without_effect = [f"{name} has no effect" for name in ("pre_request", "post_request", "THREADS")]
    container = start(
        command=["other:app"],
        image=IMAGE,
        environment={"TIMEOUT": "2"},
        volumes=mount("/app/other.py", ASGI),
        allow=(*NOISE_OF_A_HANG, *without_effect),
    ).wait_healthy()
    warm(container)
    assert container.get("/").text == "ASGI"

    with asking_without_end(container, "/hang"):
        container.wait_for_log("Killed while at: nothing")
        warm(container, 3)
    container.signal("INT")
    assert container.wait_exit() == 0
    assert [container.logs().count(warning) for warning in without_effect] == [1, 1, 1]
    assert container.logs().count("Cut off: nothing") == 2
    assert container.logs(stdout=False).endswith("Answered: nothing\n")


@pytest.mark.parametrize(
    ("environment", "flags", "workers"),
    [
        ({}, [], 2),
        ({"GUNICORN_CMD_ARGS": "--workers 1"}, [], 1),
        ({"GUNICORN_CMD_ARGS": "--workers 1"}, ["--workers", "3"], 3),
    ],
)
def test_the_file_beats_the_environment_and_the_command_line_beats_the_file(start, environment, flags, workers):
    given = {"WORKERS": "4", **environment}
    container = start(command=flags, image=IMAGE, environment=given, allow=(OVERRIDDEN,)).wait_ready()

    warm(container, workers)
    assert container.workers() == workers
    assert (OVERRIDDEN in container.logs()) == (workers == 2)
    rows = json.loads(container.run("paddock", "config", "--json"))
    origins = {row["name"]: (row["value"], row["source"]) for row in rows}
    assert origins["THREADS"] == (2, "Gunicorn file")
    assert origins["TIMEOUT"] == (30, "default")
