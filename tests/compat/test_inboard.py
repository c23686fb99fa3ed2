"""What inboard's documentation promises, of its layer: https://inboard.bws.bio/docker, https://inboard.bws.bio/environment"""

from contextlib import suppress

import httpx
import pytest

from conftest import wait_until

SOURCE = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"served"})
"""

WRITING = 'import pathlib\npathlib.Path("/tmp/before").write_text("python")\n'

LOGGING = """
LOGGING_CONFIG = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"own": {"format": "own: %(message)s"}},
    "handlers": {"default": {"class": "logging.StreamHandler", "formatter": "own", "stream": "ext://sys.stdout"}},
    "root": {"handlers": ["default"], "level": "INFO"},
}
"""


@pytest.fixture
def serve(start, image, project):
    """Start the layer with an application in /app."""

    def run(files=None, volumes=None, **options):
        volumes = volumes or project({"package/main.py": SOURCE, "package/__init__.py": "", **(files or {})})
        environment = {"APP_MODULE": "package.main:app", **options.pop("environment", {})}
        return start(image=f"{image}-compat-inboard", command=[], volumes=volumes, environment=environment, **options)

    return run


def ready(container):
    """Wait until it serves; not by the log, whose format is another one."""
    wait_until(lambda: "answered" in container.attempt("paddock", "health").out, "a healthy server")
    return container


def test_by_default(serve):
    container = ready(serve())

    assert container.get("/somewhere", port=80).text == "served"
    wait_until(lambda: container.workers() == 2, "two workers")
    assert container.run("id", "-u", user="10001") == "10001\n"
    wait_until(lambda: "/somewhere" in container.logs(), "a line of the access log")
    lines = container.logs(stderr=False).splitlines()
    assert any(line.startswith("INFO       ") and "/somewhere" in line for line in lines)
    assert container.stop() == 0


@pytest.mark.parametrize(
    ("environment", "port", "workers"),
    [
        ({"PORT": "8080", "WEB_CONCURRENCY": "3"}, 8080, 3),
        ({"BIND": "0.0.0.0:9000", "MAX_WORKERS": "1"}, 9000, 1),
        ({"MAX_WORKERS": "2", "WEB_CONCURRENCY": "4", "TIMEOUT": "20", "GRACEFUL_TIMEOUT": "20"}, 80, 2),
        ({"GUNICORN_CONF": "python:inboard.gunicorn_conf", "WORKERS_PER_CORE": "0.5"}, 80, 2),
        ({"APP_MODULE": "", "UVICORN_APP": "package.main:app"}, 80, 2),
        ({"PROCESS_MANAGER": "uvicorn", "UVICORN_CONFIG_OPTIONS": '{"limit_concurrency": 100}'}, 80, 1),
    ],
)
def test_variables(serve, environment, port, workers):
    container = ready(serve(environment=environment))

    assert container.get(port=port).text == "served"
    wait_until(lambda: container.workers() == workers, f"{workers} workers")


@pytest.mark.parametrize(
    ("environment", "begins"),
    [
        ({"LOG_FORMAT": "gunicorn"}, "["),
        ({"LOG_FORMAT": "uvicorn", "LOG_COLORS": "false"}, "INFO:     "),
        ({"LOG_FORMAT": "verbose"}, "20"),
        ({"LOG_FORMAT": "json"}, "{"),
        ({"LOGGING_CONF": "package.own"}, "own: "),
        ({"LOGGING_CONF": "/app/package/own.py"}, "own: "),
    ],
)
def test_formats(serve, environment, begins):
    container = ready(serve({"package/own.py": LOGGING}, environment=environment))
    container.get("/somewhere", port=80)

    def line():
        return next((line for line in container.logs().splitlines() if "/somewhere" in line), "")

    assert wait_until(line, "a line of the access log").startswith(begins)


def test_filters(serve):
    container = ready(serve(environment={"LOG_FILTERS": "/health, /heartbeat"}))
    for path in ("/heartbeat", "/health", "/other"):
        container.get(path, port=80)

    wait_until(lambda: "/other" in container.logs(), "a line of the access log")
    assert "/heartbeat" not in container.logs()
    assert "/health" not in container.logs()


def test_a_script_before(serve):
    container = ready(serve({"before.py": WRITING}, environment={"PRE_START_PATH": "/app/before.py"}))
    assert container.run("cat", "/tmp/before") == "python"

    outcome = serve({"before.sh": "exit 3\n"}, environment={"PRE_START_PATH": "/app/before.sh"}).outcome()
    assert outcome.status == 3


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"APP_MODULE": ""}, "Please set the APP_MODULE environment variable"),
        ({"PROCESS_MANAGER": "another"}, "Process manager needs to be either uvicorn or gunicorn"),
    ],
)
def test_what_is_wrong(serve, environment, words):
    outcome = serve(environment=environment).outcome()

    assert outcome.status == 1
    assert words in outcome.err


def test_reload(serve, folder):
    folder.write("main.py", SOURCE)
    environment = {"PROCESS_MANAGER": "uvicorn", "WITH_RELOAD": "true", "APP_MODULE": "main:app"}
    container = ready(serve(volumes=folder.volumes, environment=environment))
    assert container.get(port=80).text == "served"

    # Of another length: Python's cache goes by size and second.
    folder.write("main.py", SOURCE.replace("served", "changed"))

    def changed():
        # Development stops for nobody.
        with suppress(httpx.TransportError):
            return container.get(port=80).text == "changed"

    wait_until(changed, "the new source")


def test_python_is_the_entrypoint(start, image):
    outcome = start(image=f"{image}-compat-inboard", command=["-c", "import os; print(os.getuid())"]).outcome()

    assert (outcome.status, outcome.out) == (0, "10001\n")


def test_the_dockerfile_of_the_documentation(start, tools):
    container = ready(start(image=f"{tools}:readme-inboard", command=[]))

    assert container.get(port=80).json() == {"message": "Hello World!"}
    assert container.stop() == 0


def test_logging_on_top_of_inboards_own(start, tools):
    """Its package, which the documentation's requirements install, is beside this server."""
    environment = {"LOGGING_CONF": "package_name.custom_logging"}
    container = ready(start(image=f"{tools}:readme-inboard", command=[], environment=environment))
    container.get("/somewhere", port=80)

    wait_until(lambda: "INFO" in container.logs() and "/somewhere" in container.logs(), "a line of the access log")
    assert "[gunicorn.access] INFO" in container.logs()
