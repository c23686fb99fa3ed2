"""Whatever an application has pinned, it starts, and each side runs on its own packages.

The environments are those of `sets/`, each from a lock file of its own; bake's target `sets` builds an image of them
for each Python that is tested.
"""

import os
import tomllib
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from conftest import wait_until
from events import said

DEFAULT = os.environ.get("PADDOCK_PYTHON", "3.14")
FOLDER = Path(__file__).parent / "sets"
LIBRARY = "/opt/paddock/lib/"

FASTAPI, STARLETTE, FLASK = "with_fastapi:app", "with_starlette:app", "with_flask:app"

SETS = {
    "all-apart": ("bare:app", {}),
    "django-2023": ("with_django:wsgi", {}),
    "fastapi-2022": (FASTAPI, {}),
    "fastapi-2023": (FASTAPI, {}),
    "fastapi-2023-late": (FASTAPI, {}),
    "fastapi-2024": (FASTAPI, {}),
    "fastapi-2024-late": (FASTAPI, {}),
    "fastapi-2025": (FASTAPI, {}),
    "fastapi-2025-late": (FASTAPI, {}),
    "fastapi-2026": (FASTAPI, {}),
    "flask-2022": (FLASK, {}),
    "flask-2023": (FLASK, {}),
    "flask-2023-late": (FLASK, {}),
    "flask-2024": (FLASK, {}),
    "flask-2025": (FLASK, {}),
    "gevent-2024": (FLASK, {"WORKER_CLASS": "gevent"}),
    "gevent-2025": (FLASK, {"WORKER_CLASS": "gevent"}),
    "litestar-2024": ("with_litestar:app", {}),
    "starlette-2022": (STARLETTE, {}),
    "starlette-2024": (STARLETTE, {}),
    "tornado-2025": ("bare:wsgi", {"WORKER_CLASS": "tornado"}),
    "uvicorn-2025": (STARLETTE, {}),
    "websockets-13": (STARLETTE, {}),
    "worker-2023": (STARLETTE, {"WORKER_CLASS": "workers.Subclass"}),
    "worker-2024": ("with_django:asgi", {"WORKER_CLASS": "workers.Subclass"}),
    "worker-2025": (STARLETTE, {"WORKER_CLASS": "workers_of_package.Subclass"}),
    "wsproto-2024": (STARLETTE, {"UVICORN_WS": "wsproto", "UVICORN_HTTP": "h11"}),
}
"""The application that each set is served with, and its settings."""

ALLOWED = ("SyntaxWarning", "DeprecationWarning", "UserWarning", "is not the image's")
"""What old packages say on a new Python, and what the log says of a worker class that is not the image's."""

OF_GEVENT = ("Exception ignored", "Traceback", "greenlet is being finalized")
"""What gevent leaves to Python's own hook, when the interpreter ends."""


def lock(path):
    """Return the versions in a lock file."""
    return {row["name"]: row["version"] for row in tomllib.loads(path.read_text())["package"]}


SERVER = lock(Path(__file__).parents[2] / "build/uv.lock")


def pythons(name):
    """Return the Pythons for which there are wheels of all that a set has."""
    project = tomllib.loads((FOLDER / name / "pyproject.toml").read_text())["project"]
    return ["3.13"] if project["requires-python"].startswith("==") else ["3.13", DEFAULT]


ON_EACH_PYTHON = [
    pytest.param(name, python, id=f"{name}-{python}") for name in SETS for python in dict.fromkeys(pythons(name))
]


@pytest.fixture
def serve(start, tools):
    """Start a set with an application."""

    def run(name, app=None, python=DEFAULT, allow=(), command=None, **settings):
        chosen, own = SETS[name]
        environment = {"VIRTUAL_ENV": f"/opt/sets/{name}/.venv", "WORKERS": "1", "APP_MODULE": app or chosen}
        environment |= settings if app else own | settings
        return start(command=command, image=f"{tools}:{python}-sets", environment=environment, allow=(*ALLOWED, *allow))

    return run


def expected(name, gunicorn=True):
    """Return, for each distribution that both may have, the version that a set sees, and whether it is its own copy."""
    locked = lock(FOLDER / name / "uv.lock")
    return {
        distribution: (
            locked.get(distribution, version),
            locked.get(distribution, version) != version and not (distribution == "gunicorn" and gunicorn),
        )
        for distribution, version in SERVER.items()
    }


def sees_its_own(answer, name, **options):
    """Check what an application has found, and that the server has nothing of it."""
    wanted = expected(name, **options)
    for distribution, (version, file) in answer["installed"].items():
        assert version == wanted[distribution][0], distribution
        assert file.startswith(f"/opt/sets/{name}/" if wanted[distribution][1] else LIBRARY), distribution
    assert answer["misplaced"] == []


def echoes(container, path="/"):
    with connect(f"ws://{container.address}:8000{path}", proxy=None) as websocket:
        websocket.send("hello")
        return websocket.recv() == "hello"


# What applications have pinned


def test_there_is_a_test_for_each_set():
    assert set(SETS) == {path.parent.name for path in FOLDER.glob("*/uv.lock")}


@pytest.mark.parametrize(("name", "python"), ON_EACH_PYTHON)
def test_an_application_with_its_pins_starts_and_sees_its_own(serve, name, python):
    container = serve(name, python=python, allow=OF_GEVENT if name.startswith("gevent") else ()).wait_ready()

    sees_its_own(container.get().json(), name)
    if "with_flask" not in SETS[name][0] and not SETS[name][0].startswith("with_django") and name != "tornado-2025":
        assert echoes(container, "/ws" if "litestar" in name else "/")
    assert container.stop() == 0


@pytest.mark.parametrize("name", ["worker-2023", "worker-2024", "worker-2025"])
def test_a_worker_class_of_the_application_is_its_own_uvicorn_on_the_servers_gunicorn(serve, name):
    container = serve(name, python="3.13").wait_ready()

    answer = container.get()
    # Which the image's own worker class does not send.
    assert answer.headers["server"] == "uvicorn"
    assert answer.json()["installed"]["gunicorn"][1].startswith(LIBRARY)


# Everything apart, in every way that settings lead to


@pytest.mark.parametrize("python", dict.fromkeys(["3.13", DEFAULT]))
@pytest.mark.parametrize(
    ("settings", "modules"),
    [
        ({}, ["httptools.parser.parser", "uvloop.loop"]),
        ({"UVICORN_HTTP": "h11"}, ["h11._connection", "paddock.workers.front.on_h11"]),
        ({"UVICORN_HTTP": "zttp"}, ["uvicorn.protocols.http.zttp_impl"]),
        ({"UVICORN_LOOP": "asyncio"}, ["uvicorn.loops.asyncio"]),
        ({"UVICORN_LOOP": "uvloop"}, ["uvicorn.loops.uvloop", "uvloop.loop"]),
        ({"UVICORN_WS": "websockets"}, ["uvicorn.protocols.websockets.websockets_impl", "websockets.legacy.server"]),
        ({"UVICORN_WS": "websockets-sansio"}, ["uvicorn.protocols.websockets.websockets_sansio_impl"]),
        ({"UVICORN_WS": "wsproto"}, ["uvicorn.protocols.websockets.wsproto_impl"]),
        ({"UVICORN_LIFESPAN": "off"}, ["uvicorn.lifespan.off"]),
        ({"WORKER_CLASS": "uvicorn.workers.UvicornWorker"}, ["paddock.workers.asgi"]),
        ({"WORKER_CLASS": "uvicorn.workers.UvicornH11Worker"}, ["paddock.workers.asgi"]),
        ({"WORKER_CLASS": "uvicorn_worker.UvicornWorker"}, ["paddock.workers.asgi"]),
        ({"WORKER_CLASS": "asgi"}, ["gunicorn.workers.gasgi"]),
        ({"PRELOAD_APP": "true", "METRICS_BIND": "0.0.0.0:9090"}, ["paddock.metrics.board"]),
        ({"RELOAD": "true"}, ["paddock.arbiter.watcher"]),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_every_module_of_the_servers_holds_the_servers_alone(serve, settings, modules, python):
    allow = ("websockets.legacy is deprecated", "websockets.server.WebSocketServerProtocol is deprecated", ALLOWED[-1])
    container = serve("all-apart", python=python, allow=allow, **settings).wait_ready()

    assert echoes(container)
    answer = container.get().json()
    sees_its_own(answer, "all-apart")
    assert set(modules) <= set(answer["server"])
    assert {"gunicorn.arbiter", "paddock.start.configuration", "uvicorn.config", "click"} <= set(answer["server"])


def test_children_pickles_and_reloads_know_the_applications(serve):
    container = serve("all-apart").wait_ready()

    seen = container.get("/children", timeout=120).json()
    assert seen["pickled"]
    for method in ("spawn", "forkserver", "fork"):
        versions = {name: version for name, (version, _) in seen[method].items()}
        assert versions == {name: version for name, (version, _) in expected_of("all-apart", seen[method]).items()}
        assert seen[f"{method} error"] == "found"
    assert container.get("/reload").json() == {
        "file": f"/opt/sets/all-apart/.venv/lib/python{DEFAULT}/site-packages/click/__init__.py",
        "same": True,
    }


def expected_of(name, found):
    return {distribution: seen for distribution, seen in expected(name).items() if distribution in found}


def test_the_loop_is_the_servers_which_is_no_loop_of_the_applications_uvloop(serve):
    container = serve("all-apart").wait_ready()

    assert container.get("/loop").json() == {"module": "uvloop", "own": False}


def test_workers_that_come_later_are_like_the_first(serve):
    container = serve("all-apart").wait_ready()
    first = container.children()

    container.signal("HUP")

    wait_until(lambda: container.children() and not container.children() & first, "new workers")
    sees_its_own(container.wait_ready().get().json(), "all-apart")
    assert echoes(container)


def test_what_was_imported_before_the_server_stays_the_applications(serve, start, tools, mount):
    code = "import click, gunicorn, httptools, typing_extensions, uvicorn, websockets\n"
    container = start(
        image=f"{tools}:{DEFAULT}-sets",
        environment={
            "VIRTUAL_ENV": "/opt/sets/all-apart/.venv",
            "APP_MODULE": "bare:app",
            "WORKERS": "1",
            "PYTHONPATH": "/opt/agent",
        },
        volumes=mount("/opt/agent/sitecustomize.py", code),
    ).wait_ready()

    sees_its_own(container.get().json(), "all-apart")
    assert echoes(container)


# By hand


BY_HAND = [
    (name, worker_class)
    for name in ("all-apart", "websockets-13", "flask-2025", "starlette-2022")
    for worker_class in ("uvicorn_worker.UvicornWorker", "uvicorn.workers.UvicornWorker")
    # By hand they are this set's own, and its two of them do not fit each other.
    if (name, worker_class) != ("all-apart", "uvicorn_worker.UvicornWorker")
]


@pytest.mark.parametrize(("name", "worker_class"), BY_HAND)
def test_gunicorn_by_hand(serve, name, worker_class):
    command = ["gunicorn", "-k", worker_class, "-b", "0.0.0.0:8000", "bare:app"]
    container = serve(name, app="bare:app", python=pythons(name)[-1], command=command)

    answer = wait_until(lambda: answer_of(container), "an answer")
    assert answer.headers["server"] == "uvicorn"
    sees_its_own(answer.json(), name, gunicorn=False)
    assert echoes(container)


@pytest.mark.parametrize("name", ["all-apart", "websockets-13", "fastapi-2025"])
def test_uvicorn_by_hand(serve, name):
    container = serve(name, app="bare:app", command=["uvicorn", "bare:app", "--host", "0.0.0.0"])

    sees_its_own(wait_until(lambda: answer_of(container), "an answer").json(), name, gunicorn=False)
    assert echoes(container)


def answer_of(container):
    try:
        return container.get()
    except httpx.TransportError:
        return None


# What is said


def test_check_lists_what_differs(serve, finish, tools):
    outcome = finish(
        image=f"{tools}:{DEFAULT}-sets",
        command=["check", "--packages"],
        environment={"VIRTUAL_ENV": "/opt/sets/flask-2025/.venv", "APP_MODULE": FLASK},
    )

    assert outcome.status == 0
    rows = [line.split() for line in outcome.out.splitlines()]
    assert rows[1] == ["PACKAGE", "SERVER", "APPLICATION"]
    assert ["click", SERVER["click"], "8.1.8"] in rows
    assert ["typing-extensions", SERVER["typing-extensions"], "4.15.0"] in rows


def test_check_says_that_nothing_differs(finish):
    outcome = finish("asgi.py", ["check", "--packages"])

    assert outcome.status == 0
    assert "no package differs from the server's" in outcome.out.splitlines()


@pytest.mark.parametrize("name", ["eventlet", "egg:gunicorn#eventlet"])
def test_eventlet_is_no_more(finish, name):
    outcome = finish("wsgi.py", environment={"WORKER_CLASS": name})

    assert outcome.status == 78
    message = "Gunicorn has removed it: leave WORKER_CLASS unset, or set it to gevent and install that"
    assert said(outcome.err) == [f"WORKER_CLASS={name!r}: {message}"]
