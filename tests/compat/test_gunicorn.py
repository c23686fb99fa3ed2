"""What Gunicorn's own image promises, of its layer: https://gunicorn.org/guides/docker"""

import pytest

from conftest import wait_until

SOURCE = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"Hello"]
"""


@pytest.fixture
def run(start, image, project):
    """Start the layer with an application in /app."""

    def run(command, **options):
        return start(image=f"{image}-compat-gunicorn", command=command, volumes=project({"app.py": SOURCE}), **options)

    return run


def test_an_application_is_all_it_needs(run):
    container = run(["app:app"]).wait_ready()

    assert container.get().text == "Hello"
    assert container.run("id", "-u") == "10001\n"
    assert container.stop() == 0


@pytest.mark.parametrize(
    ("environment", "command", "port", "workers"),
    [
        ({"GUNICORN_PORT": "9000", "GUNICORN_WORKERS": "3"}, ["app:app"], 9000, 3),
        ({"GUNICORN_HOST": "0.0.0.0", "GUNICORN_ARGS": "--timeout 120 --access-logfile - -w 3"}, ["app:app"], 8000, 3),
        ({"GUNICORN_BIND": "0.0.0.0:9000", "GUNICORN_WORKERS": "2"}, ["app:app", "--workers", "3"], 9000, 3),
        ({"GUNICORN_ARGS": "-b 0.0.0.0:9001"}, ["--workers", "3", "app:app"], 9001, 3),
    ],
)
def test_variables_and_flags(run, environment, command, port, workers):
    container = run(command, environment=environment).wait_ready()

    assert container.get(port=port).text == "Hello"
    wait_until(lambda: container.workers() == workers, f"{workers} workers")


def test_without_a_command_it_says_how(start, image):
    outcome = start(image=f"{image}-compat-gunicorn", command=[]).outcome()

    assert outcome.status == 0
    assert "usage: " in outcome.out


def test_another_command(run):
    assert run(["sh", "-c", "echo $0 it"]).outcome().out == "sh it\n"


def test_the_dockerfile_of_the_guide(start, tools):
    container = start(image=f"{tools}:readme-gunicorn", command=["myapp:app", "--workers", "4"]).wait_ready()

    assert container.raw.image.attrs["Config"]["Cmd"] == ["myapp:app", "--workers", "4"]
    assert container.get().text == "Hello"
    wait_until(lambda: container.workers() == 4, "four workers")
    assert container.run("stat", "-c", "%u:%g", "/app/myapp.py") == "10001:0\n"
