"""The first Python of the container: answers signals from here on, then makes the server's packages importable.

Run as a directory (`python /opt/paddock/lib/paddock serve`) or as a module (`python -m paddock`).
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

HERE = os.path.dirname(os.path.abspath(__file__))


STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


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


def answer_signals() -> None:
    """End the start when a signal says so: until the arbiter has its own handlers, PID 1 would never hear of it.

    At once, and not by an exception: one that is raised while a module in C is imported becomes an ImportError. The
    entrypoint has blocked the signals, so that one which came before is answered now.
    """

    def end(number: int, frame: FrameType | None) -> None:
        os._exit(128 + number)

    for number in STOP_SIGNALS:
        signal.signal(number, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


if __name__ == "__main__":
    make_importable()
    answer_signals()
    if sys.argv[1:2] not in (["exec"], ["gunicorn"]):
        import_gunicorn()

    from paddock.cli import main

    sys.exit(main(sys.argv[1:]))
