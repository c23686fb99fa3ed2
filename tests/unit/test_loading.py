"""Loading what APP_MODULE names, and telling what it is."""

from __future__ import annotations

import functools
import os
import re
import signal
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from paddock.application.kinds import Kind, describe, mismatch
from paddock.application.loading import ApplicationError, load, resolve
from paddock.errors import Interrupted, StartError
from paddock.settings.app_module import Call, Reference, parse

Write = Callable[[dict[str, str]], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes files into a directory that is the working directory and first on sys.path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def failure(spec: str) -> str:
    with pytest.raises(ApplicationError) as raised:
        load(spec)
    return said(raised.value)


def said(error: ApplicationError) -> str:
    """The application's own traceback, and the advice."""
    return "".join(traceback.format_exception(*error.cause) if error.cause else ()) + str(error)


def refusal(obj: object, app_type: str = "auto") -> str:
    with pytest.raises(ApplicationError) as raised:
        resolve(obj, app_type)
    return str(raised.value)


# Parsing


@pytest.mark.parametrize(
    ("spec", "reference"),
    [
        ("main", Reference("main")),
        ("app.main:app", Reference("app.main", "app")),
        ("my-app:app", Reference("my-app", "app")),
        ("main:shop.server.app", Reference("main", "shop.server.app")),
        ("main:create_app()", Reference("main", "create_app", Call((), {}))),
        ("main:shop.create()", Reference("main", "shop.create", Call((), {}))),
        (
            'main:create_app("a/b.py:c", -1, debug=True)',
            Reference("main", "create_app", Call(("a/b.py:c", -1), {"debug": True})),
        ),
    ],
)
def test_parse(spec: str, reference: Reference) -> None:
    assert parse(spec) == reference


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("app/main.py", "app.main:app"),
        ("app/main.py:api", "app.main:api"),
        ("app/main:api", "app.main:api"),
        ("main.py", "main:app"),
        ("./main.py:app", "main:app"),
        ("/app/shop/main.py", "shop.main:app"),
        ("shop/__init__.py", "shop:app"),
    ],
)
def test_a_path_gets_the_module(spec: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"is a path; did you mean {meant}\\?"):
        parse(spec)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("", "names no module"),
        (":app", "names no module"),
        (".main:app", "'.main' is no module name"),
        ("app main:app", "'app main' is no module name"),
        ("a//b c", "'a//b c' is no module name"),
        ("main:", "nothing follows the colon"),
        ("main:app:app", "'app:app' is no attribute"),
        ("main:create_app(", "no attribute"),
        ("main:apps[0]", "neither an attribute nor a call"),
        ("main:create_app()()", "neither an attribute nor a call"),
        ("main:lambda: 1", "neither an attribute nor a call"),
        ("main:create_app(config)", "have to be literals"),
        ("main:create_app(*[1])", "have to be literals"),
        ("main:create_app(**{})", "have to be literals"),
    ],
)
def test_what_cannot_be_parsed(spec: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse(spec)


# Loading


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ("shop", "the app"),
        ("shop:application", "the application"),
        ("shop:space.inner", "inner"),
        ("shop:create()", ("default", False)),
        ('shop:create("x", debug=True)', ("x", True)),
        ("shop:space.create()", ("default", False)),
    ],
)
def test_load(write: Write, spec: str, value: object) -> None:
    write(
        {
            "shop.py": "import types\napp = 'the app'\napplication = 'the application'\n"
            "def create(name='default', debug=False): return name, debug\n"
            "space = types.SimpleNamespace(inner='inner', create=create)\n"
        }
    )
    assert load(spec) == value


def test_a_module_alone_may_have_application_only(write: Write) -> None:
    write({"shop.py": "application = 1"})
    assert load("shop") == 1


def test_a_malformed_spec_is_an_application_error_here() -> None:
    assert failure("app/main.py") == (
        "APP_MODULE=app/main.py: is a path; did you mean app.main:app?; "
        "expected module:attribute, such as app.main:app or app.main:create_app()"
    )


def test_the_traceback_begins_with_the_application(write: Write, tmp_path: Path) -> None:
    write({"shop.py": "import models\n", "models.py": "def connect():\n    raise OSError('no database')\nconnect()\n"})
    lines = failure("shop:app").splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{tmp_path}/shop.py", line 1, in <module>'
    assert lines[-2:] == ["OSError: no database", "the application failed while it was imported"]
    assert "importlib" not in "".join(lines)
    assert "paddock" not in "".join(lines[1:])


def test_a_cause_is_shown(write: Write) -> None:
    write(
        {"shop.py": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise RuntimeError('wrong') from error\n"}
    )
    text = failure("shop:app")
    assert text.index("ZeroDivisionError: division by zero") < text.index("RuntimeError: wrong")


def test_a_syntax_error_has_no_frames(write: Write, tmp_path: Path) -> None:
    write({"shop.py": "app = (\n"})
    lines = failure("shop:app").splitlines()
    assert lines[0] == f'  File "{tmp_path}/shop.py", line 1'
    assert lines[-2].startswith("SyntaxError: ")
    assert lines[-1] == f"{tmp_path}/shop.py is not valid for Python {sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize(
    ("files", "spec", "advice"),
    [
        ({"shop/main.py": ""}, "shop.mian:app", "did you mean shop.main:app?"),
        ({"main.py": ""}, "shop.main:api", "did you mean main:api?"),
        ({"shop/main.py": ""}, "main", "did you mean shop.main:app?"),
        (
            {"shop/__init__.py": "", "shop/main.py": ""},
            "shop.main.app",
            "shop.main is no package; did you mean shop.main:app?",
        ),
    ],
)
def test_a_module_that_is_not_there(write: Write, files: dict[str, str], spec: str, advice: str) -> None:
    write(files)
    lines = failure(spec).splitlines()
    assert lines[0].startswith("ModuleNotFoundError: No module named ")
    assert lines[1:] == [advice]


def test_nothing_like_the_module(write: Write, tmp_path: Path) -> None:
    write({"notes.txt": ""})
    assert failure("shop.main:app").endswith(f"{tmp_path} holds notes.txt: is shop.main copied there?")


def test_a_package_that_is_not_installed(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", "/opt/venv")
    write({"shop.py": "import not_there.sub\n"})
    assert failure("shop:app").endswith(
        "`not_there` is not installed in the application's environment (/opt/venv): add it to your dependencies"
    )


def test_a_module_that_the_installed_package_does_not_have(write: Write) -> None:
    write({"shop.py": "import json.not_there\n"})
    assert failure("shop:app").endswith("`json` is installed without `json.not_there`: another version of it?")


def test_a_module_of_the_application_that_is_not_there(write: Write, tmp_path: Path) -> None:
    write({"shop/main.py": "import shop.models\n"})
    advice = f"`shop.models` is not in {tmp_path}, which has `shop`: is it copied there?"
    assert failure("shop.main:app").splitlines()[-1] == advice


def test_a_module_beside_the_importing_one(write: Write, tmp_path: Path) -> None:
    write({"shop/main.py": "import models\n", "shop/models.py": ""})
    here = tmp_path / "shop"
    assert failure("shop.main:app").endswith(
        f"models is beside {here}/main.py: import it by its full name, or add {here} to PYTHONPATH"
    )


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("from json import not_there", "another version"),
        ("raise ImportError('libpq.so.5: cannot open shared object file')", "install the Debian package"),
        ("import sys\nsys.exit(2)", "shop called exit while it was imported"),
        ("import argparse\nargparse.ArgumentParser().parse_args(['--x'])", "shop called exit"),
        ("class Panic(BaseException): ...\nraise Panic", "the application failed while it was imported"),
    ],
)
def test_other_failures_of_an_import(write: Write, source: str, advice: str) -> None:
    write({"shop.py": source})
    assert advice in failure("shop:app").splitlines()[-1]


@pytest.mark.parametrize("interrupt", [Interrupted, KeyboardInterrupt])
def test_a_signal_passes(write: Write, interrupt: type[BaseException]) -> None:
    write({"shop.py": f"from paddock.errors import Interrupted\nraise {interrupt.__name__}"})
    with pytest.raises(interrupt):
        load("shop:app")


def test_the_exit_of_a_handler_of_the_server_passes(write: Write) -> None:
    namespace: dict[str, Any] = {"__name__": "gunicorn.workers.base"}
    exec("import sys\ndef handle_quit(signum, frame): sys.exit(0)", namespace)
    before = signal.signal(signal.SIGUSR2, namespace["handle_quit"])
    try:
        write({"shop.py": "import os, signal\nos.kill(os.getpid(), signal.SIGUSR2)\n"})
        with pytest.raises(SystemExit) as raised:
            load("shop:app")
        assert raised.value.code == 0
    finally:
        signal.signal(signal.SIGUSR2, before)


@pytest.mark.parametrize(
    ("files", "spec", "text"),
    [
        (
            {"shop.py": "application = 1"},
            "shop:aplication",
            "shop has no attribute aplication; did you mean application?",
        ),
        (
            {"shop.py": "async def server(scope, receive, send): ...\ndef helper(): ...\ndef get_app(): ..."},
            "shop",
            "shop has no attribute app or application; what looks like an application in shop: server, get_app",
        ),
        ({"shop/main.py": "api = 1"}, "shop:api", "shop has no attribute api; did you mean shop.main:api?"),
        ({"shop/main.py": "app = 1"}, "shop", "shop has no attribute app or application; did you mean shop.main:app?"),
        ({"shop.py": "x = 1"}, "shop:app", "shop has no attribute app, nor anything that looks like an application"),
        (
            {"shop.py": "x = 1"},
            "shop:x.app",
            "an instance of int has no attribute app, nor anything that looks like an application",
        ),
        ({"shop.py": "app = None"}, "shop:app", "shop:app is None after the import"),
        (
            {"shop.py": "app = {}"},
            "shop:app()",
            "shop:app is an instance of dict and cannot be called: leave the () out of APP_MODULE",
        ),
        (
            {"shop.py": "def make(a, *, b): ..."},
            "shop:make()",
            "shop:make(a, b) cannot be called so: missing a required argument: 'a'",
        ),
        ({"shop.py": "def make(): ..."}, "shop:make()", "shop:make() returned None: does it end with `return app`?"),
        (
            {"shop.py": "async def make(): ..."},
            "shop:make()",
            "shop:make is an async factory, which a server cannot call: make the application in a plain function, "
            "and await in its lifespan",
        ),
    ],
)
def test_an_attribute_that_does_not_serve(write: Write, files: dict[str, str], spec: str, text: str) -> None:
    write(files)
    assert failure(spec) == text


@pytest.mark.parametrize("how", ["load", "resolve"])
def test_a_type_error_inside_a_factory_is_its_own(write: Write, tmp_path: Path, how: str) -> None:
    write({"shop.py": "def create_app():\n    return len(1)\n"})
    with pytest.raises(ApplicationError) as raised:
        load("shop:create_app()") if how == "load" else resolve(load("shop:create_app"))
    lines = said(raised.value).splitlines()
    assert lines[1] == f'  File "{tmp_path}/shop.py", line 2, in create_app'
    assert lines[-2:] == [
        "TypeError: object of type 'int' has no len()",
        "shop:create_app() failed, which makes the application",
    ]


# What it is


async def asgi3(scope: Any, receive: Any, send: Any) -> None: ...
async def asgi3_other_names(a: Any, b: Any, c: Any) -> None: ...
async def asgi3_any(*args: Any) -> None: ...
def asgi3_awaitable(scope: Any, receive: Any, send: Any) -> Any: ...
def asgi2(scope: Any) -> Any: ...
def wsgi(environ: Any, start_response: Any) -> list[bytes]: ...
def wsgi_env(env: Any, sr: Any) -> list[bytes]: ...
def wsgi_start(e: Any, start: Any) -> list[bytes]: ...


@functools.wraps(asgi3)
def wrapped(*args: Any, **kwargs: Any) -> Any:
    return asgi3(*args, **kwargs)


class Asgi3:
    """FastAPI, Starlette, Litestar, Quart, Sanic, Falcon: an instance with an async __call__."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Asgi3Decorated:
    """What tracing makes of one."""

    async def __call__(self, *args: Any, **kwargs: Any) -> None: ...


class Asgi3Plain:
    """python-socketio, a2wsgi: __call__ returns what is to be awaited."""

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any: ...


class Asgi2Instance:
    """Channels 2."""

    def __call__(self, scope: Any) -> Any: ...


class Asgi2Class:
    def __init__(self, scope: Any) -> None: ...
    async def __call__(self, receive: Any, send: Any) -> None: ...


class Asgi3Class:
    """Starlette's HTTPEndpoint."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...
    def __await__(self) -> Any: ...


class Wsgi:
    """Flask, Django, Falcon, Bottle, Pyramid."""

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]: ...
    def wsgi_app(self, environ: Any, start_response: Any) -> list[bytes]: ...


class WsgiClass:
    """The second example of PEP 3333."""

    def __init__(self, environ: Any, start_response: Any) -> None: ...
    def __iter__(self) -> Any: ...


class Proxy:
    """wrapt's object proxies."""

    def __init__(self, wrapped: Any) -> None:
        self.__wrapped__ = wrapped

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


@Request.application
def by_request(request: Request) -> Response:
    """Werkzeug's first example."""
    return Response()


class ByRequest:
    @Request.application
    def __call__(self, request: Request) -> Response:
        return Response()


def with_config(config: Any, environ: Any, start_response: Any) -> list[bytes]: ...


APPLICATIONS = [
    (asgi3, Kind.ASGI3),
    (asgi3_other_names, Kind.ASGI3),
    (asgi3_any, Kind.ASGI3),
    (asgi3_awaitable, Kind.ASGI3),
    (wrapped, Kind.ASGI3),
    (Asgi3(), Kind.ASGI3),
    (Asgi3().__call__, Kind.ASGI3),
    (functools.partial(Asgi3()), Kind.ASGI3),
    (Asgi3Decorated(), Kind.ASGI3),
    (Asgi3Plain(), Kind.ASGI3),
    (Asgi3Class, Kind.ASGI3),
    (Proxy(Asgi3()), Kind.ASGI3),
    (asgi2, Kind.ASGI2),
    (Asgi2Instance(), Kind.ASGI2),
    (Asgi2Class, Kind.ASGI2),
    (wsgi, Kind.WSGI),
    (wsgi_env, Kind.WSGI),
    (wsgi_start, Kind.WSGI),
    (Wsgi(), Kind.WSGI),
    (Wsgi().wsgi_app, Kind.WSGI),
    (WsgiClass, Kind.WSGI),
    (Proxy(Wsgi()), Kind.WSGI),
    (functools.partial(with_config, {}), Kind.WSGI),
    (by_request, Kind.WSGI),
    (ByRequest(), Kind.WSGI),
]


@pytest.mark.parametrize(("obj", "kind"), APPLICATIONS)
def test_an_application_is_returned_as_it_is(obj: Any, kind: Kind) -> None:
    assert resolve(obj) == (obj, kind)


@pytest.mark.parametrize(
    "factory",
    [
        lambda: asgi3,
        lambda config=None, **options: asgi3,
        functools.partial(lambda config: asgi3, {}),
        functools.lru_cache(lambda: asgi3),
    ],
)
def test_a_factory_is_called(factory: Any) -> None:
    assert resolve(factory) == (asgi3, Kind.ASGI3)
    assert resolve(asgi3) == (asgi3, Kind.ASGI3)


def test_a_class_without_arguments_is_a_factory() -> None:
    made, kind = resolve(Wsgi)
    assert isinstance(made, Wsgi)
    assert kind is Kind.WSGI
    assert resolve(made) == (made, kind)


def test_a_factory_is_called_once() -> None:
    calls: list[int] = []

    def create_app() -> Any:
        calls.append(1)
        return asgi3

    resolve(create_app)
    assert calls == [1]


def create_app(config: Any) -> Any: ...
def create_with_keyword(*, config: Any) -> Any: ...
def ambiguous(*args: Any, **kwargs: Any) -> Any: ...
def two(config: Any, debug: Any) -> Any: ...
async def async_factory() -> Any: ...
def returns_none() -> None: ...
def returns_factory() -> Any:
    return lambda: asgi3


def returns_coroutine() -> Any:
    return async_factory()


def fails() -> Any:
    raise SystemExit(3)


class Middleware:
    def __init__(self, app: Any) -> None: ...


class Server:
    """aiohttp's and Tornado's applications."""

    def __call__(self) -> Any: ...


class Opaque:
    def __call__(self, *args: Any) -> Any: ...


class Lazy:
    """A proxy without an object behind it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("outside of the context")

    def __call__(self, *args: Any) -> Any: ...


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        (create_app, f'{__name__}:create_app(config) needs config: use APP_MODULE="{__name__}:create_app(...)"'),
        (create_with_keyword, "create_with_keyword(config) needs config: use APP_MODULE="),
        (Middleware, "Middleware(app) needs app: use APP_MODULE="),
        (async_factory, "async_factory is an async factory, which a server cannot call"),
        (returns_coroutine, "returns_coroutine is an async factory"),
        (ambiguous, "ambiguous(args, kwargs) may be ASGI, WSGI or a factory: set APP_TYPE to asgi or wsgi"),
        (two, "two(config, debug) may be ASGI, WSGI or a factory: set APP_TYPE"),
        (Opaque(), f"an instance of {__name__}.Opaque(args) may be ASGI"),
        (Server(), f"an instance of {__name__}.Server is neither ASGI nor WSGI"),
        (returns_none, "returns_none() returned None: does it end with `return app`?"),
        (returns_factory, "<lambda>, which is a factory: it has to return the application"),
        (
            lambda: "app",
            "<lambda>() returned an instance of str, which is not callable: it has to return the application",
        ),
        (fails, "fails() failed, which makes the application"),
        (types.ModuleType("shop.main"), "the module shop.main is not an application; did you mean shop.main:app?"),
        (None, "None is not an application: it cannot be called"),
        ({}, "an instance of dict is not an application: it cannot be called"),
    ],
)
def test_what_is_no_application(obj: object, text: str) -> None:
    assert text in refusal(obj)


def test_annotations_are_not_evaluated(write: Write) -> None:
    source = "from __future__ import annotations\ndef create_app(config: OnlyForTypeCheckers = None): return app\n"
    write({"shop.py": source + "def app(environ, start_response): ...\n"})
    assert resolve(load("shop:create_app"))[1] is Kind.WSGI


def test_a_proxy_that_cannot_be_looked_at() -> None:
    assert "Lazy(...) may be ASGI, WSGI or a factory: set APP_TYPE" in refusal(Lazy())


def test_an_application_error_ends_the_start() -> None:
    assert issubclass(ApplicationError, StartError)


@pytest.mark.parametrize(
    ("obj", "app_type", "kind"),
    [
        (ambiguous, "asgi", Kind.ASGI3),
        (ambiguous, "asgi2", Kind.ASGI2),
        (ambiguous, "wsgi", Kind.WSGI),
        (two, "wsgi", Kind.WSGI),
        (create_app, "asgi2", Kind.ASGI2),
        (Opaque(), "wsgi", Kind.WSGI),
        (asgi3_awaitable, "wsgi", Kind.WSGI),
    ],
)
def test_app_type_decides(obj: Any, app_type: str, kind: Kind) -> None:
    assert resolve(obj, app_type) == (obj, kind)


def test_app_type_does_not_keep_a_factory_from_being_called() -> None:
    assert resolve(lambda: ambiguous, "wsgi") == (ambiguous, Kind.WSGI)
    assert "async factory" in refusal(async_factory, "asgi")
    assert "neither ASGI nor WSGI" in refusal(Server(), "asgi")


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        (asgi3, "an ASGI 3 application"),
        (Asgi2Class, "an ASGI 2 application"),
        (wsgi, "a WSGI application"),
        (lambda: 1, "a factory"),
        (None, "not callable"),
    ],
)
def test_describe(obj: object, text: str) -> None:
    assert describe(obj) == text


ASGI = ["uvicorn", "uvicorn.workers.UvicornH11Worker", "uvicorn_worker.UvicornWorker"]
ASGI3 = ["asgi", "gunicorn.workers.gasgi.ASGIWorker"]
WSGI = [
    "gthread",
    "sync",
    "gevent",
    "gevent_pywsgi",
    "tornado",
    "gunicorn.workers.gthread.ThreadWorker",
    "egg:gunicorn#sync",
]


@pytest.mark.parametrize(
    ("kind", "fits", "others"),
    [(Kind.ASGI3, ASGI + ASGI3, WSGI), (Kind.ASGI2, ASGI, ASGI3 + WSGI), (Kind.WSGI, WSGI, ASGI + ASGI3)],
)
def test_which_worker_serves_what(kind: Kind, fits: list[str], others: list[str]) -> None:
    assert [mismatch(kind, name) for name in (*fits, "my.package.Worker", "auto")] == [None] * (len(fits) + 2)
    assert all(mismatch(kind, name) for name in others)


def test_a_mismatch_in_words() -> None:
    assert mismatch(Kind.ASGI3, "gthread") == (
        "is an ASGI 3 application; WORKER_CLASS=gthread serves WSGI applications only: "
        "leave WORKER_CLASS unset, or set it to uvicorn"
    )


def test_kinds() -> None:
    assert [(str(kind), kind.asgi) for kind in Kind] == [("ASGI 3", True), ("ASGI 2", True), ("WSGI", False)]


def test_a_module_that_is_copied_and_not_on_the_path(write: Write, tmp_path: Path) -> None:
    write(
        {
            "src/py/shop/asgi.py": "",
            "src/py/shop/__init__.py": "",
            "lib/tools/mail.py": "",
            "main.py": "import tools.mail\n",
        }
    )

    advice = "{0}/{1} is not on Python's path: add {0}/{2} to PYTHONPATH"
    assert failure("shop.asgi:app").endswith(advice.format(tmp_path, "src/py/shop/asgi.py", "src/py"))
    assert failure("main:app").endswith(advice.format(tmp_path, "lib/tools/mail.py", "lib"))


@pytest.mark.parametrize("source", ["{}\ndef app(): ...\n", "def app():\n    {}\n"])
def test_a_file_that_copy_made_roots(write: Write, tmp_path: Path, source: str) -> None:
    raising = f"raise PermissionError(13, 'Permission denied', '{tmp_path}/locale/messages.mo')"
    write({"main.py": source.format(raising), "other.py": "raise PermissionError(13, 'Permission denied', '/etc/x')\n"})
    user = f"{os.getuid()}:{os.getgid()}"

    with pytest.raises(ApplicationError) as raised:
        resolve(load("main:app"))
    assert str(raised.value) == (
        f"{tmp_path}/locale/messages.mo is closed to user {user}, as all that COPY brings is root's: "
        f"use COPY --chown={user} in your Dockerfile"
    )
    assert "COPY" not in failure("other:app")


class Dashboard:
    """As Dash's application, which is none itself: `server` is Flask's."""

    def __init__(self) -> None:
        self.server = wsgi_server

    def __call__(self, *args: Any, **kwargs: Any) -> None: ...


def wsgi_server(environ: Any, start_response: Any) -> None: ...


def test_the_server_of_an_object_that_is_no_application_itself() -> None:
    assert resolve(Dashboard()) == (wsgi_server, Kind.WSGI)


def test_what_brings_a_server_of_its_own() -> None:
    blocks = type("Blocks", (), {"__module__": "gradio.blocks", "__call__": lambda self, *inputs: None})()

    assert "brings a server of its own; mount it" in refusal(blocks)
