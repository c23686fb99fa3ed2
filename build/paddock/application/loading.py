"""Load the application that APP_MODULE names, and say in words why that fails.

An application is never called to find out: Uvicorn does that and swallows the TypeError, so a factory that fails inside
serves 500s. https://github.com/Kludex/uvicorn/blob/0.54.0/uvicorn/config.py
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from paddock.application import finding
from paddock.application.kinds import (
    FORCED,
    Doubt,
    Kind,
    classify,
    describe,
    is_coroutine_function,
    required_keywords,
    required_parameters,
    signature_of,
)
from paddock.errors import Interrupted, StartError, closed
from paddock.settings.app_module import FORM, Call, Reference, parse, shown
from paddock.settings.parsers import nearest

DEFAULT_ATTRIBUTES = ("app", "application")
"""What is looked for in a module that is named alone."""


class ApplicationError(StartError):
    """The application cannot be loaded or is no application."""


def load(spec: str, directory: Path | None = None) -> object:
    """Import the module and return what `spec` refers to; a factory spelt with `()` is called.

    `directory` is where the application's modules are, the working directory unless given; it is read for advice only.

    Raises:
        ApplicationError: with one line of advice, and the application's own traceback if it has one.
    """
    try:
        reference = parse(spec)
    except ValueError as error:
        raise ApplicationError(f"APP_MODULE={shown(spec)}: {error}; expected {FORM}") from None
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
    if classify(obj) is not Doubt.FACTORY:
        return _application(obj, app_type)
    made = _made(obj, Call((), {}))
    if classify(made) in (Doubt.FACTORY, Doubt.NOT_CALLABLE):
        what = f"{_name(made)}, which is {describe(made)}"
        raise ApplicationError(f"{_name(obj)}() returned {what}: it has to return the application")
    return _application(made, app_type)


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
    signature = signature_of(function)
    try:
        if signature:
            signature.bind(*call.args, **call.kwargs)
    except TypeError as error:
        raise ApplicationError(f"{name}{_parameters(signature)} cannot be called so: {error}") from None


def _made(factory: Any, call: Call) -> object:
    """Return what a factory makes."""
    name = _name(factory)
    if is_coroutine_function(factory):
        raise ApplicationError(_async_factory(name))
    with _explained(lambda error: _closed(error) or f"{name}() failed, which makes the application"):
        made: object = factory(*call.args, **call.kwargs)
    if inspect.iscoroutine(made):
        made.close()
        raise ApplicationError(_async_factory(name))
    if made is None:
        raise ApplicationError(f"{name}() returned None: does it end with `return app`?")
    return made


def _application(obj: object, app_type: str) -> tuple[Callable[..., Any], Kind]:
    verdict = classify(obj)
    forced = FORCED.get(app_type)
    if not isinstance(verdict, Kind) and isinstance(classify(server := _server_of(obj)), Kind):
        return _application(server, app_type)
    if callable(obj):
        if isinstance(verdict, Kind):
            return obj, forced or verdict
        if forced and verdict in (Doubt.NEEDS_ARGUMENTS, Doubt.UNCERTAIN):
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


# --- Errors in words ---


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
    return isinstance(classify(value), Kind) or (name in finding.FACTORIES and callable(value))


def _complaint(obj: object, verdict: Kind | Doubt) -> str:
    name = _name(obj)
    signature = signature_of(obj) if callable(obj) else None
    called = f"{name}{_parameters(signature)}"
    if advice := finding.OWN_SERVERS.get(type(obj).__module__.partition(".")[0]):
        return f"{name} is no application, and brings a server of its own; {advice}"
    match verdict:
        case Doubt.ASYNC_FACTORY:
            return _async_factory(name)
        case Doubt.NEEDS_ARGUMENTS if signature:
            needed = " and ".join((*required_parameters(signature), *required_keywords(signature)))
            return f'{called} needs {needed}: use APP_MODULE="{name}(...)"'
        case Doubt.UNCERTAIN:
            return f"{called} may be ASGI, WSGI or a factory: set APP_TYPE to asgi or wsgi, or call it in APP_MODULE"
        case Doubt.OTHER:
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


def _parameters(signature: inspect.Signature | None) -> str:
    """Return the names of the parameters in brackets; their defaults may be secrets."""
    names = list(signature.parameters) if signature else ["..."]
    return f"({', '.join(names if len(names) < 5 else [*names[:4], '...'])})"
