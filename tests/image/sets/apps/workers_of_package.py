"""Worker classes as projects have them: https://github.com/Kludex/uvicorn-worker."""

from typing import ClassVar

from uvicorn_worker import UvicornWorker


class Subclass(UvicornWorker):
    """Uvicorn's, with options that Gunicorn has no setting for."""

    CONFIG_KWARGS: ClassVar = {"loop": "auto", "http": "auto", "lifespan": "off"}
