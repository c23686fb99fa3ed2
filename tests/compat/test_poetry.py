"""What max-pfeiffer/uvicorn-gunicorn-poetry promises, of its layer.

https://github.com/max-pfeiffer/uvicorn-gunicorn-poetry
"""

import pytest

from conftest import wait_until

SHOWN = """
import runpy
found = runpy.run_path("/application_server/gunicorn_configuration.py")
print(found["timeout"], found["graceful_timeout"], found["keepalive"])
"""


@pytest.fixture
def serve(start, tools):
    """Start what the Dockerfile of the single-stage example makes."""

    def run(**options):
        return start(image=f"{tools}:readme-poetry", command=["/application_server/start_gunicorn.sh"], **options)

    return run


def test_by_default(serve):
    container = serve().wait_ready()

    assert container.get().json() == {"Hello": "World"}
    wait_until(lambda: container.workers() == 1, "one worker")
    assert container.run("sh", "-c", "realpath .venv; pwd").split() == ["/opt/venv", "/application_root"]
    # The application's pins are its own, and its files the user's that the Dockerfile names.
    assert container.run("python", "-c", "import uvicorn; print(uvicorn.__version__)") == "0.34.0\n"
    assert container.run("stat", "-c", "%U:%G", "app/main.py") == "python_application:python_application\n"
    assert {uid for _, uid in container.raw.top(ps_args="-eo pid,uid")["Processes"]} == {"10001"}
    assert container.stop() == 0


def test_variables(serve):
    environment = {"BIND": "0.0.0.0:80", "WORKERS": "2", "TIMEOUT": "40", "GRACEFUL_TIMEOUT": "41", "KEEP_ALIVE": "3"}
    container = serve(environment={**environment, "LOG_LEVEL": "debug"}).wait_ready()

    assert container.get(port=80).json() == {"Hello": "World"}
    wait_until(lambda: container.workers() == 2, "two workers")
    shown = container.run("python", "-c", SHOWN)
    assert shown.split() == ["40", "41", "3"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["/entrypoints/pytest_entrypoint.sh", "--version"], "pytest "),
        (["/entrypoints/black_entrypoint.sh", "--check", "app"], "left unchanged"),
    ],
)
def test_entrypoints(start, tools, command, words):
    outcome = start(image=f"{tools}:readme-poetry", command=command).outcome()

    assert outcome.status == 0, outcome
    assert words in outcome.out + outcome.err
