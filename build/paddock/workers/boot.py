"""What the image's worker classes share between the fork and the first request."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import FrameType
from typing import Any

from gunicorn.workers.base import Worker

from paddock.application import Kind, resolve


class BootingWorker(Worker):  # type: ignore[misc]
    """A worker that knows what kind of application it has, and that ends at once when told to before it serves."""

    wsgi: Any
    kind: Kind

    def load_wsgi(self) -> None:
        """Import the application, find out what it is, and `adopt` it."""
        super().load_wsgi()
        self.wsgi, self.kind = resolve(self.wsgi, getattr(self.cfg, "app_type", "auto"))
        if self.age == 1:
            for warning in getattr(self.app, "late_warnings", lambda kind: [])(self.kind):
                self.log.warning("%s", warning)
        self.adopt()

    def adopt(self) -> None:
        """Prepare for the application in `wsgi`, once it is imported."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: finish what is in flight; while the application is imported there is nothing to finish."""
        self.exit_if_booting()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGINT and SIGQUIT: end at once."""
        self.exit_if_booting()
        super().handle_quit(sig, frame)

    def exit_if_booting(self) -> None:
        """End the process unless the worker serves already."""
        if not self.booted:
            raise SystemExit(0)


def announce_ready(worker: Any) -> None:
    """Tell the arbiter that `worker` serves from now on.

    One byte in the heartbeat file, which the arbiter has open too, so that no further channel is needed.
    """
    os.write(worker.tmp.fileno(), b"r")


def is_ready(worker: Any) -> bool:
    """Tell, in the arbiter, whether `worker` has announced itself."""
    return os.fstat(worker.tmp.fileno()).st_size > 0


def announcing(post_worker_init: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return the hook, extended to announce workers of classes that are not the image's and cannot do it themselves."""

    def hook(worker: Any) -> None:
        post_worker_init(worker)
        if not isinstance(worker, BootingWorker):
            announce_ready(worker)

    return hook
