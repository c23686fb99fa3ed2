"""The first Python of the container: answers SIGTERM from here on, then makes the server's packages importable.

Run as a directory (`python /opt/paddock/lib/paddock serve`) or as a module (`python -m paddock`).
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

HERE = os.path.dirname(os.path.abspath(__file__))


def interrupt(signum: int, frame: FrameType | None) -> None:
    """End the start: until the arbiter has its own handlers, SIGTERM would be lost on PID 1."""
    from paddock.errors import Interrupted

    raise Interrupted


def make_importable() -> None:
    """Put the server's packages behind the application's own on `sys.path`: what the application pins wins."""
    if sys.path and os.path.abspath(sys.path[0]) == HERE:
        del sys.path[0]
    packages = os.path.dirname(HERE)
    if packages not in sys.path:
        sys.path.append(packages)


def import_gunicorn() -> None:
    """Import Gunicorn's settings without the variables that those read by themselves.

    They do so while they are imported, and a wrong or empty one ends that in a traceback (gunicorn/config.py).
    """
    hidden = {
        name: os.environ.pop(name) for name in ("WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "PORT") if name in os.environ
    }
    import gunicorn.config  # noqa: F401

    os.environ.update(hidden)


if __name__ == "__main__":
    make_importable()
    signal.signal(signal.SIGTERM, interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    if sys.argv[1:2] != ["gunicorn"]:
        import_gunicorn()

    from paddock.cli import main

    sys.exit(main(sys.argv[1:]))
