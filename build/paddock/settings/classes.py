"""The worker classes of the image, and the names that people use for them."""

from __future__ import annotations

from gunicorn import glogging

CLASSES = {
    "auto": "paddock.workers.auto.AutoWorker",
    "uvicorn": "paddock.workers.asgi.worker.UvicornWorker",
    "gthread": "paddock.workers.wsgi.worker.ThreadWorker",
}

PUBLISHED = {
    "uvicorn.workers.UvicornWorker": "uvicorn",
    "uvicorn.workers.UvicornH11Worker": "uvicorn",
    "uvicorn_worker.UvicornWorker": "uvicorn",
    "uvicorn_worker.UvicornH11Worker": "uvicorn",
    "gunicorn.workers.gthread.ThreadWorker": "gthread",
}
"""Classes that the image's own replace: people bring these names from other images."""


def class_path(name: str) -> str:
    """Return what Gunicorn shall load for `name`: the image's own class where there is one, else `name` itself."""
    return CLASSES.get(PUBLISHED.get(name, name), name)


def short_name(path: str) -> str:
    """Return the name that people use for the class at `path`: the reverse of `class_path`."""
    return next((name for name, own in CLASSES.items() if own == path), path)


def is_own_way(of_class: type[glogging.Logger]) -> bool:
    """Tell whether a class of loggers, given by GUNICORN_LOGGER_CLASS, has a way of its own to write the access log."""
    from paddock.logs.logger import Logger

    return of_class.access is not Logger.access or of_class.atoms is not Logger.atoms
