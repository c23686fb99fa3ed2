"""What an application is, from its signature alone: it is never called to find out."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable
from enum import Enum
from types import FunctionType, MethodType
from typing import Any

if sys.version_info >= (3, 14):
    from annotationlib import Format


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


class Doubt(Enum):
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


DECORATORS = frozenset({"webob.dec", "werkzeug.wrappers.request"})
"""Modules with decorators that make a WSGI application of a function which takes a request.

https://werkzeug.palletsprojects.com/en/stable/wrappers/#werkzeug.wrappers.Request.application,
https://docs.pylonsproject.org/projects/webob/en/stable/api/dec.html
"""


def describe(obj: object) -> str:
    """Return what an object is, in words that follow "is": `an ASGI 3 application`, `a factory`, `not callable`."""
    verdict = classify(obj)
    return with_article(verdict) if isinstance(verdict, Kind) else verdict.value


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
        f"is {with_article(kind)}; WORKER_CLASS={worker_class} serves {serves} applications only: "
        f"leave WORKER_CLASS unset, or set it to {instead}"
    )


def classify(obj: object) -> Kind | Doubt:
    """Tell what an object is from its signature alone."""
    try:
        if not callable(obj):
            return Doubt.NOT_CALLABLE
        return Kind.WSGI if _is_decorated(obj) else _classify_callable(obj)
    except Exception:
        # As in _signature.
        return Doubt.UNCERTAIN


def _is_decorated(call: Any) -> bool:
    """Whether one of DECORATORS has made it: its signature is that of what was decorated, or tells nothing."""
    for _ in range(2):
        # The second time for a method `__call__` of which the decorator has made an object.
        call = call if isinstance(call, FunctionType | MethodType) else type(call).__call__
    return getattr(getattr(call, "__func__", call), "__globals__", {}).get("__name__") in DECORATORS


def _classify_callable(obj: Callable[..., Any]) -> Kind | Doubt:
    inner: Any = inspect.unwrap(obj)
    is_class = inspect.isclass(inner)
    is_function = inspect.isroutine(inner) or isinstance(inner, functools.partial) or hasattr(inner, "__code__")
    signature = signature_of(obj if is_class or is_function else inner.__call__)
    if signature is None:
        return Doubt.UNCERTAIN
    if is_class:
        return _classify_class(inner, signature)
    if is_function:
        return _classify_function(obj, signature)
    return _classify_instance(inner, signature)


def _classify_class(cls: type, signature: inspect.Signature) -> Kind | Doubt:
    """A class is an application when its instances are the answers: they are awaited, iterated or called."""
    required = required_parameters(signature)
    if required_keywords(signature):
        return Doubt.NEEDS_ARGUMENTS
    if required == ["scope"]:
        return Kind.ASGI2
    if len(required) == 3 and hasattr(cls, "__await__"):
        return Kind.ASGI3
    if len(required) == 2 and hasattr(cls, "__iter__"):
        return Kind.WSGI
    return Doubt.NEEDS_ARGUMENTS if required else Doubt.FACTORY


def _classify_function(function: object, signature: inspect.Signature) -> Kind | Doubt:
    required = required_parameters(signature)
    is_async = is_coroutine_function(function)
    if required_keywords(signature):
        return Doubt.NEEDS_ARGUMENTS
    match required:
        case []:
            if _takes_any_number(signature):
                return Kind.ASGI3 if is_async else Doubt.UNCERTAIN
            return Doubt.ASYNC_FACTORY if is_async else Doubt.FACTORY
        case ["scope"]:
            return Kind.ASGI2
        case [first, second] if not is_async:
            named = first in ("environ", "env") or second.startswith("start")
            return Kind.WSGI if named else Doubt.UNCERTAIN
        case [_, _, _] if is_async or required == ["scope", "receive", "send"]:
            return Kind.ASGI3
    return Doubt.NEEDS_ARGUMENTS


def _classify_instance(instance: Any, signature: inspect.Signature) -> Kind | Doubt:
    required = required_parameters(signature)
    is_async = is_coroutine_function(instance.__call__)
    if _takes(signature, 3) and (is_async or len(required) == 3):
        return Kind.ASGI3
    if len(required) == 2 and not is_async and _takes(signature, 2):
        return Kind.WSGI
    if required == ["scope"]:
        return Kind.ASGI2
    return Doubt.UNCERTAIN if _takes_any_number(signature) and not is_async else Doubt.OTHER


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature, or None for what has none, as some functions written in C."""
    try:
        if sys.version_info >= (3, 14):
            # Annotations are evaluated when they are asked for, and may name what only type checkers import.
            return inspect.signature(function, annotation_format=Format.STRING)
        return inspect.signature(function)
    except Exception:
        # Some functions written in C have none; proxies and lazy objects may raise anything when they are looked at.
        return None


def required_parameters(signature: inspect.Signature) -> list[str]:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in signature.parameters.values() if p.kind in positional and p.default is p.empty]


def required_keywords(signature: inspect.Signature) -> list[str]:
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


def is_coroutine_function(function: object) -> bool:
    return inspect.iscoroutinefunction(function)


def with_article(kind: Kind) -> str:
    return f"{'an' if kind.asgi else 'a'} {kind} application"
