"""The default worker class: it serves what the application turns out to be."""

from __future__ import annotations

from paddock.workers.asgi import UvicornWorker
from paddock.workers.front.worker import LoopWorker
from paddock.workers.wsgi.worker import ThreadWorker


class AutoWorker(LoopWorker):
    """Imports the application after the fork, and then becomes the worker class that fits it.

    The object stays the same, so that hooks see one worker; the arbiter's process never imports the application.
    """

    def adopt(self) -> None:
        """Turn into the class that serves this kind of application, with that class's signal handlers."""
        self.__class__ = UvicornWorker if self.kind.asgi else ThreadWorker
        self.init_signals()
        self.adopt()
