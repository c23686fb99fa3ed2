"""Gunicorn's hooks for requests, which a user's configuration file may have.

https://docs.gunicorn.org/en/stable/settings.html#pre-request
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class Request(SimpleNamespace):
    """A request, as Gunicorn's hooks know it: nobody else's equal, so that it can be the key of a note."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__  # type: ignore[assignment]


def hooked(application: Any, worker: Any) -> Any:
    """Return the WSGI application, with `pre_request` and `post_request` of the worker's configuration around it."""
    cfg = worker.cfg
    if all(cfg.settings[name].get() is cfg.settings[name].default for name in ("pre_request", "post_request")):
        return application

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        exchange = start_response.__self__  # type: ignore[attr-defined]
        request = request_of(environ, exchange)
        cfg.pre_request(worker, request)
        items: Any = ()
        try:
            items = application(environ, start_response)
            for item in items:
                exchange.write(item)
        finally:
            try:
                if hasattr(items, "close"):
                    items.close()
                answer = SimpleNamespace(
                    status=exchange.line[len("HTTP/1.1 ") : -2].decode("latin-1"),
                    status_code=exchange.status,
                    headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in exchange.fields],
                    sent=exchange.pushed,
                )
                cfg.post_request(worker, request, environ, answer if exchange.status else None)
            except Exception:
                worker.log.exception("Exception in post_request hook")
        return ()

    return call


def request_of(environ: dict[str, Any], exchange: Any) -> Request:
    """Return what Gunicorn's hooks know of a request."""
    major, minor = exchange.scope["http_version"].split(".") if "." in exchange.scope["http_version"] else ("2", "0")
    return Request(
        method=environ["REQUEST_METHOD"],
        uri=environ["RAW_URI"],
        path=environ["RAW_URI"].partition("?")[0],
        query=environ["QUERY_STRING"],
        version=(int(major), int(minor)),
        scheme=environ["wsgi.url_scheme"],
        headers=[
            (name.decode("latin-1").upper(), value.decode("latin-1")) for name, value in exchange.scope["headers"]
        ],
        body=environ["wsgi.input"],
        remote_addr=(environ["REMOTE_ADDR"], environ.get("REMOTE_PORT", "")),
    )
