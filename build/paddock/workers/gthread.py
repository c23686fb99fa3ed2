"""The worker class for WSGI: Gunicorn's threads, with the image's start and stop."""

from __future__ import annotations

from typing import Any

from gunicorn.workers import gthread

from paddock.workers.boot import BootingWorker, announce_ready


class ThreadWorker(BootingWorker, gthread.ThreadWorker):  # type: ignore[misc]
    """Serves a WSGI application from a pool of `THREADS` threads."""

    def adopt(self) -> None:
        """Put the application under `ROOT_PATH`."""
        if self.cfg.root_path:
            self.wsgi = under_root_path(self.wsgi, self.cfg.root_path)

    def run(self) -> None:
        """Serve until told to stop."""
        announce_ready(self)
        super().run()


def under_root_path(application: Any, root_path: str) -> Any:
    """Return `application` as seen below `root_path`, whether the proxy strips that from the path or not.

    https://peps.python.org/pep-3333/#environ-variables, SCRIPT_NAME
    """

    def rooted(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        environ["SCRIPT_NAME"] = root_path
        if path == root_path or path.startswith(root_path + "/"):
            environ["PATH_INFO"] = path[len(root_path) :]
        return application(environ, start_response)

    return rooted
