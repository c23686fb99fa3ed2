"""The classes of the image that Gunicorn loads, and the names that people use for them."""

from __future__ import annotations

from typing import Any

CLASSES = {
    "auto": "paddock.workers.auto.AutoWorker",
    "uvicorn": "paddock.workers.asgi.UvicornWorker",
    "gthread": "paddock.workers.wsgi.worker.ThreadWorker",
}

LOGGER = "paddock.logs.logger.Logger"
"""The image's class of loggers."""

STATSD_LOGGER = "paddock.logs.statsd.StatsdLogger"
"""In place of that one with GUNICORN_STATSD_HOST, as Gunicorn has another then, too."""

PUBLISHED = {
    "uvicorn.workers.UvicornWorker": "uvicorn",
    "uvicorn.workers.UvicornH11Worker": "uvicorn",
    "uvicorn_worker.UvicornWorker": "uvicorn",
    "uvicorn_worker.UvicornH11Worker": "uvicorn",
    "sync": "gthread",
}
"""What the image's own classes replace: people bring these names from other images."""


def class_path(name: str) -> str:
    """Return what Gunicorn shall load for `name`: the image's own class where there is one, else `name` itself."""
    return CLASSES.get(PUBLISHED.get(name, name), name)


def short_name(path: str) -> str:
    """Return the name that people use for the class at `path`: the reverse of `class_path`."""
    return next((name for name, own in CLASSES.items() if own == path), path)


def is_own_way(of_class: type[Any]) -> bool:
    """Tell whether a class of loggers, given by GUNICORN_LOGGER_CLASS, has a way of its own to write the access log."""
    image: Any = next((base for base in of_class.__mro__ if f"{base.__module__}.{base.__qualname__}" == LOGGER), None)
    return image is None or of_class.access is not image.access or of_class.atoms is not image.atoms
