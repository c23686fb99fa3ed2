"""Every framework, and the middleware that people put around applications: what it is, who serves it, what it answers.

The image is built by bake's target `kinds`: one environment with all of them, and a module each in `kinds/apps`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from conftest import wait_until


def echo(address: str) -> str:
    """Return what comes back over a WebSocket."""
    with connect(f"ws://{address}/ws", proxy=None) as websocket:
        websocket.send("echo")
        answer = str(websocket.recv())
        # The application closes it, and a client that is faster would be an error in some logs. Sanic breaks it off.
        with pytest.raises(ConnectionClosed):
            websocket.recv()
        return answer


def socket_io(address: str) -> str:
    """Return what an event's handler answers over the WebSocket transport of Socket.IO.

    0 opens, 40 connects, 421 is an event that wants an answer, number 1, and 431 is that answer:
    https://socket.io/docs/v4/socket-io-protocol/
    """
    with connect(f"ws://{address}/socket.io/?EIO=4&transport=websocket", proxy=None) as websocket:
        assert str(websocket.recv()).startswith('0{"sid"')
        websocket.send("40")
        assert str(websocket.recv()).startswith('40{"sid"')
        websocket.send('421["echo","echo"]')
        answer = str(websocket.recv())
        assert answer.startswith("431"), answer
        return answer.removeprefix('431["').removesuffix('"]')


@dataclass(frozen=True)
class Row:
    """An application of `kinds/apps`, and what is to be seen of it."""

    spec: str
    kind: str
    answers: str
    path: str = "/"
    websocket: Callable[[str], str] | None = None
    lifespan: bool = False
    warns: tuple[str, ...] = ()

    @property
    def worker(self) -> str:
        """The worker class that has to serve it."""
        return "gthread" if self.kind == "WSGI" else "uvicorn"


PKG_RESOURCES = ("pkg_resources is deprecated", "import pkg_resources")
"""What Pyramid 2.1 makes setuptools say."""

ROWS = [
    # Frameworks
    Row("fastapi:app", "ASGI 3", "FastAPI", websocket=echo, lifespan=True),
    Row("starlette:app", "ASGI 3", "Starlette", websocket=echo, lifespan=True),
    Row("litestar:app", "ASGI 3", "Litestar", websocket=echo, lifespan=True),
    Row("quart:app", "ASGI 3", "Quart", websocket=echo, lifespan=True),
    Row("blacksheep:app", "ASGI 3", "BlackSheep", websocket=echo, lifespan=True),
    Row("sanic:app", "ASGI 3", "Sanic", websocket=echo, lifespan=True),
    Row("falcon:asgi", "ASGI 3", "Falcon", websocket=echo, lifespan=True),
    Row("django:asgi", "ASGI 3", "Django"),
    Row("channels:app", "ASGI 3", "Django", websocket=echo),
    Row("socketio:asgi", "ASGI 3", "0{", "/socket.io/?EIO=4&transport=polling", websocket=socket_io, lifespan=True),
    Row("falcon:wsgi", "WSGI", "Falcon"),
    Row("django:wsgi", "WSGI", "Django"),
    Row("flask:app", "WSGI", "Flask"),
    Row("bottle:app", "WSGI", "Bottle"),
    Row("pyramid:app", "WSGI", "Pyramid", warns=PKG_RESOURCES),
    Row("werkzeug:application", "WSGI", "Werkzeug"),
    Row("werkzeug:shop", "WSGI", "Werkzeug"),
    Row("webob:application", "WSGI", "WebOb"),
    Row("webob:shop", "WSGI", "WebOb"),
    Row("socketio:wsgi", "WSGI", "0{", "/socket.io/?EIO=4&transport=polling", websocket=socket_io),
    # Factories
    Row("fastapi:create_app", "ASGI 3", "FastAPI", lifespan=True),
    Row('fastapi:create_app("a shop")', "ASGI 3", "a shop", lifespan=True),
    Row("flask:create_app", "WSGI", "Flask"),
    Row("flask:create_app()", "WSGI", "Flask"),
    # Middleware
    Row("starlette:cors", "ASGI 3", "Starlette", websocket=echo, lifespan=True),
    Row("starlette:gzip", "ASGI 3", "Starlette", websocket=echo, lifespan=True),
    Row("sentry:asgi", "ASGI 3", "bare", lifespan=True),
    Row("opentelemetry:asgi", "ASGI 3", "bare", lifespan=True),
    Row("uvicorn:asgi", "ASGI 3", "bare", lifespan=True),
    Row("socketio:asgi_around", "ASGI 3", "bare", websocket=socket_io, lifespan=True),
    Row("a2wsgi:asgi", "ASGI 3", "bare"),
    Row("asgiref:asgi", "ASGI 3", "bare"),
    Row("prometheus:asgi", "ASGI 3", "python_info"),
    Row("sentry:wsgi", "WSGI", "bare"),
    Row("opentelemetry:wsgi", "WSGI", "bare"),
    Row("whitenoise:app", "WSGI", "WhiteNoise(", "/static/whitenoise.py"),
    Row("werkzeug:proxy_fix", "WSGI", "bare"),
    Row("werkzeug:dispatcher", "WSGI", "bare", "/sub/"),
    Row("socketio:wsgi_around", "WSGI", "bare", websocket=socket_io),
    Row("a2wsgi:wsgi", "WSGI", "bare"),
    Row("prometheus:wsgi", "WSGI", "python_info"),
    # What is no instance with `__call__`
    Row("bare:asgi2", "ASGI 2", "bare", lifespan=True),
    Row("bare:Asgi2", "ASGI 2", "bare", lifespan=True),
    Row("bare:partial_asgi", "ASGI 3", "bare", lifespan=True),
    Row("bare:shop.asgi", "ASGI 3", "bare", lifespan=True),
    Row("bare:partial_wsgi", "WSGI", "bare"),
    Row("bare:shop.wsgi", "WSGI", "bare"),
    Row("bare:Wsgi", "WSGI", "bare"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.spec)
def test_kind_is_found_and_served(start, image_of_kinds, row):
    environment = {"APP_MODULE": f"apps.{row.spec}", "WORKERS": "1"}
    container = start(image=image_of_kinds, environment=environment, allow=row.warns).wait_ready()

    assert_answers(container, row)
    assert_refuses_the_wrong_worker_class(container, row)
    assert container.stop() == 0
    printed = re.findall(r"^(startup|shutdown)$", container.logs(stderr=False), re.MULTILINE)
    assert printed == (["startup", "shutdown"] if row.lifespan else [])


def assert_answers(container, row):
    answer = container.get(row.path)
    assert (answer.status_code, row.answers in answer.text) == (200, True), answer.text
    if row.websocket:
        assert row.websocket(f"{container.address}:8000") == "echo"
    assert "Server" not in answer.headers
    # One front for both.
    assert container.logs().count("uvicorn: Started server process") == 1


def assert_refuses_the_wrong_worker_class(container, row):
    """What the application is was found out if it is said why another class cannot serve it."""
    article, wrong, serves = ("a", "uvicorn", "ASGI") if row.kind == "WSGI" else ("an", "gthread", "WSGI")
    second = {"WORKER_CLASS": wrong, "PORT": "8001", "WORKER_TMP_DIR": "/tmp"}
    refused = container.attempt("paddock", environment=second)
    assert refused.status == 78
    # What is called with may be a secret.
    shown = re.sub(r"\(.+\)", "(…)", row.spec)
    assert refused.err.count(f"apps.{shown} is {article} {row.kind} application; WORKER_CLASS={wrong}") == 1
    assert f"serves {serves} applications only: leave WORKER_CLASS unset, or set it to {row.worker}" in refused.err
    assert "Traceback" not in refused.err


# What is no application, and what fails to make one

NEITHER = (
    "is neither ASGI nor WSGI: it takes other arguments than a server has; "
    "what brings a server of its own runs as the container's command, such as python main.py"
)
ASYNC_FACTORY = (
    "is an async factory, which a server cannot call: make the application in a plain function, "
    "and await in its lifespan"
)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("aiohttp:app", f"an instance of aiohttp.web_app.Application {NEITHER}"),
        ("tornado:app", f"an instance of tornado.web.Application {NEITHER}"),
        ("fastapi:create_app_later", f"apps.fastapi:create_app_later {ASYNC_FACTORY}"),
        ("flask:create_app_later()", f"apps.flask:create_app_later {ASYNC_FACTORY}"),
    ],
)
def test_what_is_no_application_is_refused_in_words(finish, image_of_kinds, spec, message):
    outcome = finish(image=image_of_kinds, environment={"APP_MODULE": f"apps.{spec}", "WORKERS": "2"})

    assert outcome.status == 1
    assert outcome.err.count(message) == 1
    assert "Traceback" not in outcome.err


def test_framework_with_a_server_of_its_own_runs_as_the_command(start, image_of_kinds):
    container = start(image=image_of_kinds, command=["python", "-m", "apps.aiohttp"])

    wait_until(lambda: "Running on" in container.logs(), "aiohttp's server")
    assert container.health() == "healthy"
    assert container.get().text == "aiohttp"
    assert container.stop() == 0


@pytest.mark.smoke
@pytest.mark.parametrize("call", ["", "()"])
@pytest.mark.parametrize(
    ("module", "error"),
    [
        ("fastapi", "TypeError: FastAPI.get() missing 1 required positional argument: 'path'"),
        ("flask", "TypeError: Flask.__init__() got an unexpected keyword argument 'static'"),
    ],
)
def test_type_error_inside_a_factory_is_shown_and_not_swallowed(finish, image_of_kinds, module, error, call):
    """Uvicorn by itself takes it for a sign that the factory is the application."""
    environment = {"APP_MODULE": f"apps.{module}:create_app_that_fails{call}", "WORKERS": "2"}
    outcome = finish(image=image_of_kinds, environment=environment)

    assert outcome.status == 1
    assert outcome.out == ""
    assert re.findall(r'File "(.*)", line \d+, in (\w+)', outcome.err) == [
        (f"/app/apps/{module}.py", "create_app_that_fails")
    ]
    assert outcome.err.count(error) == 1
    assert outcome.err.count(f"apps.{module}:create_app_that_fails() failed, which makes the application") == 1
