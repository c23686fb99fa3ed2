"""Worker classes as projects have them: https://www.uvicorn.org/deployment/#gunicorn."""

from typing import ClassVar

from uvicorn.workers import UvicornWorker


class Subclass(UvicornWorker):
    """Uvicorn's, with options that Gunicorn has no setting for."""

    CONFIG_KWARGS: ClassVar = {"loop": "auto", "http": "auto", "lifespan": "off"}
