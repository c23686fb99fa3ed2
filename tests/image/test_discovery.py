"""The application is found or named, what it is is found out, and the worker class that fits serves it."""

import re

import pytest

from conftest import Container, wait_until
from events import text_events

ASGI = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ASGI 3"})
"""

ASGI2 = """
def app(scope):
    assert scope["type"] == "http"

    async def answer(receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ASGI 2"})

    return answer
"""

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return [b"WSGI"]
"""

INSTANCES = """
class Asgi:
    async def __call__(self, scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ASGI 3"})

class Wsgi:
    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Length", "4")])
        return [b"WSGI"]

class Wrapper:
    '''Middleware that hides what it wraps.'''
    def __init__(self, app):
        self.app = app
    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)
"""

ANSWER = {"asgi": ("ASGI 3", "uvicorn"), "asgi2": ("ASGI 2", "uvicorn"), "wsgi": ("WSGI", "gthread")}
"""Kind, and the worker class that serves it."""


def renamed(source, name):
    return source.replace("def app(", f"def {name}(")


MANAGE = """
import os

def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

if __name__ == "__main__":
    main()
"""

PACKAGE = {"shop/__init__.py": ""}

DJANGO = {
    "manage.py": MANAGE,
    **PACKAGE,
    "shop/asgi.py": renamed(ASGI, "application"),
    "shop/wsgi.py": renamed(WSGI, "application"),
}

LAYOUTS = {
    "main": ({"main.py": ASGI}, "main:app", "asgi"),
    "app": ({"app.py": WSGI}, "app:app", "wsgi"),
    "application": ({"main.py": renamed(WSGI, "application")}, "main:application", "wsgi"),
    "api": ({"main.py": renamed(ASGI, "api")}, "main:api", "asgi"),
    "asgi2": ({"main.py": ASGI2}, "main:app", "asgi2"),
    "app-package": ({"app/__init__.py": "", "app/main.py": ASGI}, "app.main:app", "asgi"),
    "app-namespace": ({"app/main.py": ASGI}, "app.main:app", "asgi"),
    "app-init": ({"app/__init__.py": WSGI}, "app:app", "wsgi"),
    "main-before-app": ({"main.py": ASGI, "app.py": WSGI}, "main:app", "asgi"),
    "main-without-app": ({"main.py": "print('hello')", "app.py": WSGI}, "app:app", "wsgi"),
    "src": ({"src/main.py": ASGI}, "main:app", "asgi"),
    "src-package": ({"src/shop/__init__.py": "", "src/shop/main.py": ASGI}, "shop.main:app", "asgi"),
    "src-as-package": ({"src/__init__.py": "", "src/main.py": WSGI}, "src.main:app", "wsgi"),
    "asgi.py": ({"asgi.py": renamed(ASGI, "application")}, "asgi:application", "asgi"),
    "wsgi.py": ({"wsgi.py": renamed(WSGI, "application")}, "wsgi:application", "wsgi"),
    "package": ({**PACKAGE, "shop/main.py": ASGI}, "shop.main:app", "asgi"),
    "factory": ({"main.py": f"{ASGI}\ncreate_app = lambda: app\ndel_app = 1\n"}, "main:app", "asgi"),
    "only-factory": (
        {"main.py": f"def create_app():\n{WSGI.replace(chr(10), chr(10) + '    ')}\n    return app\n"},
        "main:create_app",
        "wsgi",
    ),
    "imported": ({"main.py": "from web import app\n", "web.py": ASGI}, "main:app", "asgi"),
    "django": (
        DJANGO | {"shop/settings.py": "WSGI_APPLICATION = 'shop.wsgi.application'\n"},
        "shop.wsgi:application",
        "wsgi",
    ),
    "django-asgi": (
        DJANGO | {"shop/settings.py": "ASGI_APPLICATION = 'shop.asgi.application'\n"},
        "shop.asgi:application",
        "asgi",
    ),
    "django-in-src": (
        {f"src/{name}": text for name, text in DJANGO.items()} | {"src/shop/settings.py": ""},
        "shop.wsgi:application",
        "wsgi",
    ),
}


@pytest.fixture(scope="module")
def check(engine, slim, tmp_path_factory):
    """`paddock check` in the directory of a layout: one container for all of them."""
    root = tmp_path_factory.mktemp("layouts")
    for layout, files in [*((name, layout[0]) for name, layout in LAYOUTS.items()), ("named", {"main.py": NAMED})]:
        for name, text in files.items():
            (root / layout / name).parent.mkdir(parents=True, exist_ok=True)
            (root / layout / name).write_text(text)
    for path in (root, *root.rglob("*")):
        path.chmod(0o755)
    volumes = {str(root): {"bind": "/layouts", "mode": "ro"}}
    raw = engine.containers.run(slim, ["sleep", "infinity"], detach=True, volumes=volumes)

    def run(layout, **environment):
        environment = {"WORKERS": "2", **environment}
        return Container(raw).attempt("paddock", "check", workdir=f"/layouts/{layout}", environment=environment)

    yield run
    raw.remove(force=True, v=True)


def assert_understood(outcome, spec, kind):
    name, worker = ANSWER[kind]
    assert (outcome.status, outcome.err) == (0, "")
    # What is called with may be a secret.
    shown = re.sub(r"\(.+\)", "(…)", spec)
    assert outcome.out.splitlines()[-1] == f"{shown}: {name}, served by 2 workers of class {worker}"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_is_understood(check, layout):
    _, spec, kind = LAYOUTS[layout]
    assert_understood(check(layout), spec, kind)


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("layout", "preload"),
    [
        ("src-package", "false"),
        ("django", "false"),
        ("only-factory", "true"),
        ("asgi2", "false"),
        ("asgi2", "true"),
        ("main", "true"),
    ],
)
def test_layout_is_served(start, project, layout, preload):
    files, _, kind = LAYOUTS[layout]
    container = start(volumes=project(files), environment={"WORKERS": "1", "PRELOAD_APP": preload}).wait_ready()

    assert container.get().text == ANSWER[kind][0]
    assert container.stop() == 0


@pytest.mark.parametrize(
    "command", [["shop.main:app"], ["serve", "shop.main:app"], ["--workers", "1", "shop.main:app"]]
)
def test_named_on_the_command_line(start, project, command):
    files = {**PACKAGE, "main.py": WSGI, "shop/main.py": ASGI}
    container = start(command=command, volumes=project(files), environment={"WORKERS": "1"}).wait_ready()

    assert container.get().text == "ASGI 3"


def test_nothing_is_found(attempt):
    outcome = attempt()

    assert outcome.status == 78
    (event,) = text_events(outcome.err)
    assert event.message == "APP_MODULE: no application found in /app: set APP_MODULE=module:attribute"
    assert "main.py, app.py, app/main.py" in outcome.err
    assert event.block[-1].strip() == "/app is empty"


def test_what_is_there_is_named(attempt, project):
    outcome = attempt(volumes=project({"server.py": ASGI, "README.md": ""}))

    assert outcome.status == 78
    assert "perhaps APP_MODULE=server:app" in outcome.err.splitlines()[0]
    assert "/app holds README.md, server.py" in outcome.err


def test_two_of_the_same_rank_are_not_guessed(attempt, project):
    outcome = attempt(volumes=project({"shop/asgi.py": ASGI, "blog/asgi.py": ASGI}))

    assert outcome.status == 78
    assert "blog.asgi:app and shop.asgi:app; set APP_MODULE to one" in outcome.err


# Named

NAMED = f"""
import functools
import types
{ASGI}
{renamed(ASGI2, "app2")}
{renamed(WSGI, "wsgi")}
{INSTANCES}
asgi_instance = Asgi()
wsgi_instance = Wsgi()
wrapped = Wrapper(app)
bound = Asgi().__call__
holder = types.SimpleNamespace(inner=types.SimpleNamespace(app=app))

def create_app():
    return app

def create_wsgi():
    return Wsgi()

def make(name, debug=False):
    return {{"asgi": app, "wsgi": wsgi}}[name]

partial = functools.partial(make, "wsgi")

def needs(config, *, secret):
    return app

async def connect():
    return app

def creates_a_factory():
    return create_app

def returns_nothing():
    app

def ambiguous(*args):
    return app(*args)

def handler(request, response, context):
    pass

number = 7
nothing = None
"""

FITS = {
    "main:app": "asgi",
    "main": "asgi",
    "main:app2": "asgi2",
    "main:wsgi": "wsgi",
    "main:asgi_instance": "asgi",
    "main:wsgi_instance": "wsgi",
    "main:wrapped": "asgi",
    "main:bound": "asgi",
    "main:holder.inner.app": "asgi",
    "main:create_app": "asgi",
    "main:create_app()": "asgi",
    "main:create_wsgi": "wsgi",
    "main:Asgi()": "asgi",
    "main:Wsgi": "wsgi",
    "main:partial": "wsgi",
    'main:make("wsgi")': "wsgi",
    "main:make('asgi', debug=True)": "asgi",
}


@pytest.fixture
def named(project):
    return project({"main.py": NAMED})


@pytest.mark.parametrize(("spec", "kind"), FITS.items(), ids=FITS)
def test_named_application_is_understood(check, spec, kind):
    assert_understood(check("named", APP_MODULE=spec), spec, kind)


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (spec, FITS[spec])
        for spec in ("main:wsgi_instance", "main:wrapped", "main:create_wsgi", "main:holder.inner.app")
    ],
)
def test_named_application_is_served(start, named, spec, kind):
    container = start(volumes=named, environment={"WORKERS": "1", "APP_MODULE": spec}).wait_ready()

    assert container.get().text == ANSWER[kind][0]


DOES_NOT_FIT = {
    "main:aap": "main has no attribute aap; did you mean app?",
    "mian:app": "did you mean main:app?",
    "main:holder.outer.app": "has no attribute outer",
    "main:needs": "main:needs(config, secret) needs config and secret",
    "main:make": 'main:make(name, debug) needs name: use APP_MODULE="main:make(...)"',
    "main:make(1, 2, 3)": "main:make(name, debug) cannot be called so",
    "main:connect": "main:connect is an async factory",
    "main:connect()": "main:connect is an async factory",
    "main:creates_a_factory": "main:creates_a_factory() returned main:create_app",
    "main:returns_nothing": "main:returns_nothing() returned None",
    "main:ambiguous": "set APP_TYPE to asgi or wsgi",
    "main:handler": "main:handler(request, response, context) needs request and response and context",
    "main:number": "an instance of int is not an application",
    "main:number()": "leave the () out of APP_MODULE",
    "main:nothing": "main:nothing is None after the import",
    "main:holder": "is not an application",
}


@pytest.mark.parametrize(("spec", "message"), DOES_NOT_FIT.items(), ids=DOES_NOT_FIT)
def test_what_is_no_application_is_refused_by_name(check, spec, message):
    outcome = check("named", APP_MODULE=spec)

    assert outcome.status == 1
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    # An import that failed has the exception's own line before it.
    assert len(outcome.err.splitlines()) == 1 + ("ModuleNotFoundError" in outcome.err)


@pytest.mark.parametrize(
    ("spec", "preload"), [("main:aap", "false"), ("main:connect", "true"), ("main:number", "false")]
)
def test_what_is_no_application_is_not_served(attempt, named, spec, preload):
    environment = {"APP_MODULE": spec, "WORKERS": "3", "PRELOAD_APP": preload}
    outcome = attempt(volumes=named, environment=environment)

    assert outcome.status == 1
    assert outcome.err.count(DOES_NOT_FIT[spec]) == 1
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(("app_type", "kind"), [("asgi", "asgi"), ("wsgi", "wsgi"), ("asgi2", "asgi2")])
def test_app_type_decides_where_the_signature_does_not(check, app_type, kind):
    assert_understood(check("named", APP_MODULE="main:ambiguous", APP_TYPE=app_type), "main:ambiguous", kind)


# Worker classes

SERVES = [
    ("asgi", "auto", "paddock.workers.auto.AutoWorker"),
    ("wsgi", "auto", "paddock.workers.auto.AutoWorker"),
    ("asgi", "uvicorn", "paddock.workers.asgi.UvicornWorker"),
    ("asgi2", "uvicorn", "paddock.workers.asgi.UvicornWorker"),
    ("asgi", "uvicorn_worker.UvicornWorker", "paddock.workers.asgi.UvicornWorker"),
    ("asgi", "uvicorn.workers.UvicornWorker", "paddock.workers.asgi.UvicornWorker"),
    ("asgi", "asgi", "asgi"),
    ("wsgi", "gthread", "paddock.workers.wsgi.worker.ThreadWorker"),
    ("wsgi", "sync", "paddock.workers.wsgi.worker.ThreadWorker"),
    ("wsgi", "gunicorn.workers.gthread.ThreadWorker", "gunicorn.workers.gthread.ThreadWorker"),
    ("wsgi", "gunicorn.workers.sync.SyncWorker", "gunicorn.workers.sync.SyncWorker"),
]

SOURCES = {"asgi": ASGI, "asgi2": ASGI2, "wsgi": WSGI}


@pytest.mark.smoke
@pytest.mark.parametrize(("kind", "worker_class", "used"), SERVES)
def test_worker_class_serves(start, mount, kind, worker_class, used):
    environment = {"WORKER_CLASS": worker_class, "WORKERS": "2"}
    allow = ("is not the image's",)
    container = start(volumes=mount("/app/main.py", SOURCES[kind]), environment=environment, allow=allow).wait_ready()

    assert container.get().text == ANSWER[kind][0]
    wait_until(lambda: container.workers() == 2, "two workers")
    assert f"Using worker: {used}\n" in container.logs()
    assert container.stop() == 0


MISMATCHES = [
    ("asgi", "gthread", "ASGI 3", "WSGI", "uvicorn"),
    ("asgi", "sync", "ASGI 3", "WSGI", "uvicorn"),
    ("asgi2", "gthread", "ASGI 2", "WSGI", "uvicorn"),
    ("wsgi", "uvicorn", "WSGI", "ASGI", "gthread"),
    ("wsgi", "uvicorn_worker.UvicornWorker", "WSGI", "ASGI", "gthread"),
    ("wsgi", "asgi", "WSGI", "ASGI", "gthread"),
    ("asgi2", "asgi", "ASGI 2", "ASGI 3", "uvicorn"),
]


@pytest.mark.parametrize(("kind", "worker_class", "name", "serves", "instead"), MISMATCHES)
def test_worker_class_that_does_not_fit_is_refused(attempt, mount, kind, worker_class, name, serves, instead):
    volumes = mount("/app/main.py", SOURCES[kind])
    outcome = attempt(volumes=volumes, environment={"WORKER_CLASS": worker_class, "WORKERS": "3"})

    article = "a" if name == "WSGI" else "an"
    assert outcome.status == 78
    assert f"main:app is {article} {name} application; WORKER_CLASS=" in outcome.err
    assert (
        outcome.err.count(f"serves {serves} applications only: leave WORKER_CLASS unset, or set it to {instead}") == 1
    )
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(("preload", "app_type"), [("true", "auto"), ("false", "asgi"), ("true", "asgi")])
def test_mismatch_is_said_before_anything_listens_when_it_is_known(attempt, mount, preload, app_type):
    environment = {"WORKER_CLASS": "gthread", "PRELOAD_APP": preload, "APP_TYPE": app_type, "WORKERS": "3"}
    outcome = attempt(volumes=mount("/app/main.py", ASGI), environment=environment)

    assert outcome.status == 78
    assert "Listening" not in outcome.err
    assert outcome.err.count("WORKER_CLASS=gthread serves WSGI applications only") == 1
    if app_type != "auto":
        assert len(outcome.err.splitlines()) == 1


# What depends on the kind

CONFLICTS = [
    ("asgi", {"GUNICORN_HTTP_PROTOCOLS": "h2,h1"}, "GUNICORN_HTTP_PROTOCOLS"),
]


@pytest.mark.parametrize(("kind", "environment", "variable"), CONFLICTS)
@pytest.mark.parametrize("known", [{"APP_TYPE": "asgi"}, {"WORKER_CLASS": "uvicorn"}, {"PRELOAD_APP": "true"}, {}])
def test_conflict_is_said_at_the_first_moment_it_is_known(attempt, mount, kind, environment, variable, known):
    environment = {"WORKERS": "3", **environment, **known}
    outcome = attempt(volumes=mount("/app/main.py", SOURCES[kind]), environment=environment)

    assert outcome.status == 78
    assert outcome.err.count(f"{variable}=") + outcome.err.count(f"{variable}: ") == 1
    assert "Traceback" not in outcome.err
    if known:
        assert "Listening" not in outcome.err
    if known and "PRELOAD_APP" not in known:
        assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize("known", [{"APP_TYPE": "asgi"}, {"WORKER_CLASS": "uvicorn"}, {"PRELOAD_APP": "true"}, {}])
def test_threads_without_effect_are_said_once(start, mount, known):
    message = "THREADS has no effect: an ASGI worker has one event loop"
    environment = {"THREADS": "2", "WORKERS": "2", **known}
    container = start(volumes=mount("/app/main.py", ASGI), environment=environment, allow=(message,)).wait_ready()

    wait_until(lambda: container.workers() == 2, "two workers")
    assert container.get().text == "ASGI 3"
    assert container.stop() == 0
    assert container.logs().count(message) == 1


def test_threads_of_an_asgi_application_are_no_reason_to_complain_by_default(start, mount):
    container = start(volumes=mount("/app/main.py", ASGI), environment={"WORKERS": "2"}).wait_ready()

    assert "THREADS" not in container.logs()


def test_uvicorn_settings_without_effect_are_said_once(start, mount):
    message = "UVICORN_LIFESPAN has no effect: the application is WSGI"
    environment = {"UVICORN_LIFESPAN": "on", "WORKERS": "2"}
    container = start(volumes=mount("/app/main.py", WSGI), environment=environment, allow=(message,)).wait_ready()

    wait_until(lambda: container.workers() == 2, "two workers")
    assert container.logs().count(message) == 1
