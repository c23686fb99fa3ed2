"""Load the application that APP_MODULE names, and tell what it is from its signature alone.

An application is never called to find out: Uvicorn does that and swallows the TypeError, so a factory that fails inside
serves 500s. https://github.com/Kludex/uvicorn/blob/0.54.0/uvicorn/config.py
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from paddock.application import finding
from paddock.errors import Interrupted, StartError, closed
from paddock.settings.parsers import nearest

MODULE = re.compile(r"\w[\w-]*(\.\w[\w-]*)*")
PATH = re.compile(r"(?:\./|/app/)?(?P<path>[^:]*?)(?P<suffix>\.py)?(?::(?P<attribute>.*))?")
FORM = "module:attribute, such as app.main:app or app.main:create_app()"
DEFAULT_ATTRIBUTES = ("app", "application")
"""What is looked for in a module that is named alone."""


class ApplicationError(StartError):
    """The application cannot be loaded or is no application."""


class Kind(Enum):
    """The interfaces that an application can have."""

    ASGI3 = "ASGI 3"
    ASGI2 = "ASGI 2"
    WSGI = "WSGI"

    def __str__(self) -> str:
        return self.value

    @property
    def asgi(self) -> bool:
        """Whether it is one of the two ASGI interfaces."""
        return self is not Kind.WSGI


class _Doubt(Enum):
    """What an object can be that is no application as it stands."""

    FACTORY = "a factory"
    ASYNC_FACTORY = "an async factory"
    NEEDS_ARGUMENTS = "a function that needs arguments"
    UNCERTAIN = "a function of which the signature tells nothing"
    OTHER = "neither ASGI nor WSGI"
    NOT_CALLABLE = "not callable"


FORCED = {"asgi": Kind.ASGI3, "asgi2": Kind.ASGI2, "wsgi": Kind.WSGI}
"""What APP_TYPE says that an application is."""

ASGI_WORKERS = re.compile(r"uvicorn|asgi|(uvicorn\.workers|uvicorn_worker|gunicorn\.workers\.gasgi)\..+")
ASGI3_WORKERS = re.compile(r"asgi|gunicorn\.workers\.gasgi\..+")
WSGI_WORKERS = re.compile(
    r"sync|gthread|gevent|gevent_wsgi|gevent_pywsgi|tornado|gunicorn\.workers\.(sync|gthread|ggevent|gtornado)\..+"
)


@dataclass(frozen=True)
class Call:
    """The literal arguments of a factory."""

    args: tuple[object, ...]
    kwargs: dict[str, object]


@dataclass(frozen=True)
class Reference:
    """APP_MODULE, taken apart. `attribute` is dotted, or None for a module alone; `call` is None without `()`."""

    module: str
    attribute: str | None = None
    call: Call | None = None


def parse(spec: str) -> Reference:
    """Return what `spec` refers to: `module`, `module:attribute`, `module:factory("literal", name=1)`.

    Raises:
        ValueError: with what is wrong; the caller says what was expected (`FORM`).
    """
    if meant := _meant_by_path(spec):
        raise ValueError(f"is a path; did you mean {meant}?")
    module, colon, expression = spec.partition(":")
    if not MODULE.fullmatch(module):
        raise ValueError(f"{module!r} is no module name" if module else "names no module")
    return _parse_expression(module, expression) if colon else Reference(module)


def load(spec: str, directory: Path | None = None) -> object:
    """Import the module and return what `spec` refers to; a factory spelt with `()` is called.

    `directory` is where the application's modules are, the working directory unless given; it is read for advice only.

    Raises:
        ApplicationError: with one line of advice, and the application's own traceback if it has one.
    """
    try:
        reference = parse(spec)
    except ValueError as error:
        raise ApplicationError(f"APP_MODULE={spec}: {error}; expected {FORM}") from None
    directory = directory or Path.cwd()
    with _explained(lambda error: _import_advice(error, reference, directory)):
        module = importlib.import_module(reference.module)
    value = _attribute(module, reference, directory)
    if reference.call is not None:
        _check_call(value, reference.call, f"{reference.module}:{reference.attribute}")
        return _made(value, reference.call)
    if value is None:
        raise ApplicationError(f"{spec} is None after the import")
    return value


def resolve(obj: object, app_type: str = "auto") -> tuple[Callable[..., Any], Kind]:
    """Return the application and what it is. A factory without arguments is called, once.

    `app_type` (`asgi`, `asgi2`, `wsgi`) decides what a callable is, but does not turn a factory into an application.
    What is returned can be given again, with the same result.

    Raises:
        ApplicationError: it is no application, or its signature does not tell which.
    """
    if _classify(obj) is not _Doubt.FACTORY:
        return _application(obj, app_type)
    made = _made(obj, Call((), {}))
    if _classify(made) in (_Doubt.FACTORY, _Doubt.NOT_CALLABLE):
        what = f"{_name(made)}, which is {describe(made)}"
        raise ApplicationError(f"{_name(obj)}() returned {what}: it has to return the application")
    return _application(made, app_type)


def describe(obj: object) -> str:
    """Return what an object is, in words that follow "is": `an ASGI 3 application`, `a factory`, `not callable`."""
    verdict = _classify(obj)
    return _with_article(verdict) if isinstance(verdict, Kind) else verdict.value


def mismatch(kind: Kind, worker_class: str) -> str | None:
    """Return why a worker class cannot serve a kind of application, in words that follow the application's name.

    None when it can, or when the class is not a known one.
    """
    name = worker_class.removeprefix("egg:gunicorn#")
    if ASGI_WORKERS.fullmatch(name) and not kind.asgi:
        serves, instead = "ASGI", "gthread"
    elif WSGI_WORKERS.fullmatch(name) and kind.asgi:
        serves, instead = "WSGI", "uvicorn"
    elif ASGI3_WORKERS.fullmatch(name) and kind is Kind.ASGI2:
        serves, instead = "ASGI 3", "uvicorn"
    else:
        return None
    return (
        f"is {_with_article(kind)}; WORKER_CLASS={worker_class} serves {serves} applications only: "
        f"leave WORKER_CLASS unset, or set it to {instead}"
    )


# Parsing


def _meant_by_path(spec: str) -> str | None:
    """Return the reference that `app/main.py` or `app/main.py:app` was meant to be, or None for what is no path."""
    match = PATH.fullmatch(spec)
    if not match or not ("/" in match["path"] or match["suffix"]):
        return None
    module = match["path"].strip("/").replace("/", ".").removesuffix(".__init__")
    return f"{module}:{match['attribute'] or 'app'}" if MODULE.fullmatch(module) else None


def _parse_expression(module: str, text: str) -> Reference:
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        raise ValueError(f"{text!r} is no attribute of a module" if text else "nothing follows the colon") from None
    if isinstance(node, ast.Call):
        return Reference(module, _dotted(node.func), _literal_call(node))
    return Reference(module, _dotted(node))


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{_dotted(value)}.{name}"
    raise ValueError(f"{ast.unparse(node)!r} is neither an attribute nor a call of one")


def _literal_call(node: ast.Call) -> Call:
    try:
        kwargs = {keyword.arg or "**": ast.literal_eval(keyword.value) for keyword in node.keywords}
        args = tuple(ast.literal_eval(argument) for argument in node.args)
    except ValueError:
        kwargs, args = {"**": None}, ()
    if "**" in kwargs:
        raise ValueError("the arguments of a call have to be literals: text, numbers, True, None, lists, dicts")
    return Call(args, kwargs)


# Loading


def _attribute(module: ModuleType, reference: Reference, directory: Path) -> object:
    if reference.attribute is None:
        for name in DEFAULT_ATTRIBUTES:
            if hasattr(module, name):
                return getattr(module, name)
        raise ApplicationError(_no_attribute(module, module, " or ".join(DEFAULT_ATTRIBUTES), directory))
    value: object = module
    for name in reference.attribute.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            raise ApplicationError(_no_attribute(module, value, name, directory)) from None
    return value


def _check_call(function: object, call: Call, name: str) -> None:
    """Tell arguments that do not fit from a TypeError inside the factory."""
    if not callable(function):
        raise ApplicationError(f"{name} is {_instance(function)} and cannot be called: leave the () out of APP_MODULE")
    signature = _signature(function)
    try:
        if signature:
            signature.bind(*call.args, **call.kwargs)
    except TypeError as error:
        raise ApplicationError(f"{name}{_parameters(signature)} cannot be called so: {error}") from None


def _made(factory: Any, call: Call) -> object:
    """Return what a factory makes."""
    name = _name(factory)
    if _is_async(factory):
        raise ApplicationError(_async_factory(name))
    with _explained(lambda error: _closed(error) or f"{name}() failed, which makes the application"):
        made: object = factory(*call.args, **call.kwargs)
    if inspect.iscoroutine(made):
        made.close()
        raise ApplicationError(_async_factory(name))
    if made is None:
        raise ApplicationError(f"{name}() returned None: does it end with `return app`?")
    return made


# Telling what an object is


def _application(obj: object, app_type: str) -> tuple[Callable[..., Any], Kind]:
    verdict = _classify(obj)
    forced = FORCED.get(app_type)
    if not isinstance(verdict, Kind) and isinstance(_classify(server := _server_of(obj)), Kind):
        return _application(server, app_type)
    if callable(obj):
        if isinstance(verdict, Kind):
            return obj, forced or verdict
        if forced and verdict in (_Doubt.NEEDS_ARGUMENTS, _Doubt.UNCERTAIN):
            return obj, forced
    raise ApplicationError(_complaint(obj, verdict))


def _server_of(obj: object) -> object:
    """Return the application that an object has as its `server`, as Dash's has, or None.

    Its own call says nothing, or it has none: https://dash.plotly.com/deployment
    """
    try:
        return inspect.getattr_static(obj, "server", None)
    except Exception:
        # As in _signature.
        return None


def _classify(obj: object) -> Kind | _Doubt:
    """Tell what an object is from its signature alone."""
    try:
        return _classify_callable(obj) if callable(obj) else _Doubt.NOT_CALLABLE
    except Exception:
        # As in _signature.
        return _Doubt.UNCERTAIN


def _classify_callable(obj: Callable[..., Any]) -> Kind | _Doubt:
    inner: Any = inspect.unwrap(obj)
    is_class = inspect.isclass(inner)
    is_function = inspect.isroutine(inner) or isinstance(inner, functools.partial) or hasattr(inner, "__code__")
    signature = _signature(obj if is_class or is_function else inner.__call__)
    if signature is None:
        return _Doubt.UNCERTAIN
    if is_class:
        return _classify_class(inner, signature)
    if is_function:
        return _classify_function(obj, signature)
    return _classify_instance(inner, signature)


def _classify_class(cls: type, signature: inspect.Signature) -> Kind | _Doubt:
    """A class is an application when its instances are the answers: they are awaited, iterated or called."""
    required = _required(signature)
    if _needs_keywords(signature):
        return _Doubt.NEEDS_ARGUMENTS
    if required == ["scope"]:
        return Kind.ASGI2
    if len(required) == 3 and hasattr(cls, "__await__"):
        return Kind.ASGI3
    if len(required) == 2 and hasattr(cls, "__iter__"):
        return Kind.WSGI
    return _Doubt.NEEDS_ARGUMENTS if required else _Doubt.FACTORY


def _classify_function(function: object, signature: inspect.Signature) -> Kind | _Doubt:
    required = _required(signature)
    is_async = _is_async(function)
    if _needs_keywords(signature):
        return _Doubt.NEEDS_ARGUMENTS
    match required:
        case []:
            if _takes_any_number(signature):
                return Kind.ASGI3 if is_async else _Doubt.UNCERTAIN
            return _Doubt.ASYNC_FACTORY if is_async else _Doubt.FACTORY
        case ["scope"]:
            return Kind.ASGI2
        case [first, second] if not is_async:
            named = first in ("environ", "env") or second.startswith("start")
            return Kind.WSGI if named else _Doubt.UNCERTAIN
        case [_, _, _] if is_async or required == ["scope", "receive", "send"]:
            return Kind.ASGI3
    return _Doubt.NEEDS_ARGUMENTS


def _classify_instance(instance: Any, signature: inspect.Signature) -> Kind | _Doubt:
    required = _required(signature)
    is_async = _is_async(instance.__call__)
    if _takes(signature, 3) and (is_async or len(required) == 3):
        return Kind.ASGI3
    if len(required) == 2 and not is_async and _takes(signature, 2):
        return Kind.WSGI
    if required == ["scope"]:
        return Kind.ASGI2
    return _Doubt.UNCERTAIN if _takes_any_number(signature) and not is_async else _Doubt.OTHER


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature, or None for what has none, as some functions written in C."""
    try:
        if sys.version_info >= (3, 14):
            from annotationlib import Format

            # Annotations are evaluated when they are asked for, and may name what only type checkers import.
            return inspect.signature(function, annotation_format=Format.STRING)
        return inspect.signature(function)
    except Exception:
        # Some functions written in C have none; proxies and lazy objects may raise anything when they are looked at.
        return None


def _required(signature: inspect.Signature) -> list[str]:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in signature.parameters.values() if p.kind in positional and p.default is p.empty]


def _needs_keywords(signature: inspect.Signature) -> list[str]:
    keywords = (p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY)
    return [p.name for p in keywords if p.default is p.empty]


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _takes_any_number(signature: inspect.Signature) -> bool:
    return any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values())


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function)


# Errors in words


@contextmanager
def _explained(advice: Callable[[BaseException], str]) -> Iterator[None]:
    """Turn what the application's code raises into an ApplicationError: the advice, with its own traceback."""
    try:
        yield
    except BaseException as error:
        if _is_interrupt(error):
            raise
        raise ApplicationError(advice(error), (type(error), error, _own_frames(error))) from error


def _is_interrupt(error: BaseException) -> bool:
    """Whether a signal ended the import: the handlers of the server raise SystemExit too."""
    if isinstance(error, SystemExit):
        *_, innermost = traceback.walk_tb(error.__traceback__)
        return isinstance(error, Interrupted) or _is_server(innermost[0].f_globals)
    return isinstance(error, KeyboardInterrupt)


def _is_server(namespace: dict[str, Any]) -> bool:
    return str(namespace.get("__name__")).partition(".")[0] in ("paddock", "gunicorn", "importlib")


def _own_frames(error: BaseException) -> TracebackType | None:
    """Return the traceback from the first frame of the application on."""
    frames = error.__traceback__
    while frames and _is_server(frames.tb_frame.f_globals):
        frames = frames.tb_next
    return frames


def _import_advice(error: BaseException, reference: Reference, directory: Path) -> str:
    module = reference.module
    match error:
        case PermissionError() if advice := _closed(error):
            return advice
        case ModuleNotFoundError(name=str(missing)):
            if not _own_frames(error) and f"{module}.".startswith(f"{missing}."):
                return _no_module(reference, directory)
            return _missing_package(missing, error, directory)
        case ImportError() if "shared object" in str(error):
            return "a library of the system is missing: install the Debian package that has it in your Dockerfile"
        case ImportError():
            return "a package of another version than the application expects, or modules that import each other?"
        case SyntaxError():
            return f"{error.filename} is not valid for Python {sys.version_info.major}.{sys.version_info.minor}"
        case SystemExit():
            return f'{module} called exit while it was imported: keep that under `if __name__ == "__main__":`'
    return "the application failed while it was imported"


def _closed(error: BaseException) -> str | None:
    if isinstance(error, PermissionError) and isinstance(error.filename, str):
        return closed(error.filename, str(Path.cwd()))
    return None


def _no_module(reference: Reference, directory: Path) -> str:
    module, attribute = reference.module, reference.attribute or "app"
    known = finding.modules(directory)
    parent, _, last = module.rpartition(".")
    if parent in known:
        return f"{parent} is no package; did you mean {parent}:{last}?"
    found = finding.locate(module, directory)
    if found and parent:
        return _off_the_path(found)
    similar = nearest(module, known, 2) or next((name for name in known if name.rpartition(".")[2] == last), None)
    if similar:
        return f"did you mean {similar}:{attribute}?"
    if found:
        return _off_the_path(found)
    return f"{directory} {finding.contents(directory)}: is {module} copied there?"


def _off_the_path(found: finding.Source) -> str:
    return f"{found.file} is not on Python's path: add {found.root} to PYTHONPATH"


def _missing_package(missing: str, error: BaseException, directory: Path) -> str:
    package = missing.partition(".")[0]
    importer = _importer(error)
    if importer and importer.parent != directory and _is_module(importer.parent / package):
        return f"{package} is beside {importer}: import it by its full name, or add {importer.parent} to PYTHONPATH"
    found = finding.locate(missing, directory)
    if found and str(found.root) not in sys.path:
        return _off_the_path(found)
    if _is_module(directory / package):
        return f"`{missing}` is not in {directory}, which has `{package}`: is it copied there?"
    if package != missing and _is_installed(package):
        return f"`{package}` is installed without `{missing}`: another version of it?"
    environment = os.environ.get("VIRTUAL_ENV") or sys.prefix
    return f"`{package}` is not installed in the application's environment ({environment}): add it to your dependencies"


def _importer(error: BaseException) -> Path | None:
    """Return the file of which an import failed: importlib's frames are not in the traceback of an ImportError."""
    frames = [frame for frame, _ in traceback.walk_tb(_own_frames(error))]
    return Path(frames[-1].f_code.co_filename) if frames else None


def _is_module(place: Path) -> bool:
    return place.is_dir() or place.with_suffix(".py").is_file()


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _no_attribute(module: ModuleType, holder: object, name: str, directory: Path) -> str:
    """Say that `holder`, the module or an attribute of it, has no `name`, and what it has."""
    holder_name = module.__name__ if holder is module else _instance(holder)
    if similar := nearest(name, [known for known in dir(holder) if known[0] != "_"], 2):
        return f"{holder_name} has no attribute {name}; did you mean {similar}?"
    if found := [known for known, value in vars(module).items() if _looks_like_application(known, value)]:
        return f"{holder_name} has no attribute {name}; what looks like an application in {module.__name__}: " + (
            ", ".join(found)
        )
    for other, source in finding.modules(directory).items():
        bound = finding.names(source) if other.startswith(f"{module.__name__}.") else ()
        if wanted := next((known for known in (name, *DEFAULT_ATTRIBUTES) if known in bound), None):
            return f"{holder_name} has no attribute {name}; did you mean {other}:{wanted}?"
    return f"{holder_name} has no attribute {name}, nor anything that looks like an application"


def _looks_like_application(name: str, value: object) -> bool:
    if name.startswith("_") or inspect.isclass(value):
        return False
    return isinstance(_classify(value), Kind) or (name in finding.FACTORIES and callable(value))


def _complaint(obj: object, verdict: Kind | _Doubt) -> str:
    name = _name(obj)
    signature = _signature(obj) if callable(obj) else None
    called = f"{name}{_parameters(signature)}"
    if advice := finding.OWN_SERVERS.get(type(obj).__module__.partition(".")[0]):
        return f"{name} is no application, and brings a server of its own; {advice}"
    match verdict:
        case _Doubt.ASYNC_FACTORY:
            return _async_factory(name)
        case _Doubt.NEEDS_ARGUMENTS if signature:
            needed = " and ".join((*_required(signature), *_needs_keywords(signature)))
            return f'{called} needs {needed}: use APP_MODULE="{name}(...)"'
        case _Doubt.UNCERTAIN:
            return f"{called} may be ASGI, WSGI or a factory: set APP_TYPE to asgi or wsgi, or call it in APP_MODULE"
        case _Doubt.OTHER:
            return (
                f"{name} is neither ASGI nor WSGI: it takes other arguments than a server has; "
                "what brings a server of its own runs as the container's command, such as python main.py"
            )
    if isinstance(obj, ModuleType):
        return f"{name} is not an application; did you mean {obj.__name__}:app?"
    return f"{name} is not an application: it cannot be called"


def _async_factory(name: str) -> str:
    return (
        f"{name} is an async factory, which a server cannot call: make the application in a plain function, "
        "and await in its lifespan"
    )


def _name(obj: object) -> str:
    """Return `module:name` for what has a name, else what it is an instance of."""
    try:
        if isinstance(obj, ModuleType):
            return f"the module {obj.__name__}"
        named: Any = obj.func if isinstance(obj, functools.partial) else obj
        return f"{named.__module__}:{named.__qualname__}"
    except Exception:
        # An instance has no such names, and a proxy may raise anything when it is asked.
        return _instance(obj)


def _instance(obj: object) -> str:
    if obj is None:
        return "None"
    return f"an instance of {type(obj).__module__}.{type(obj).__qualname__}".replace(" builtins.", " ")


def _with_article(kind: Kind) -> str:
    return f"{'an' if kind.asgi else 'a'} {kind} application"


def _parameters(signature: inspect.Signature | None) -> str:
    """Return the names of the parameters in brackets; their defaults may be secrets."""
    names = list(signature.parameters) if signature else ["..."]
    return f"({', '.join(names if len(names) < 5 else [*names[:4], '...'])})"
