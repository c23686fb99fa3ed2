"""The first Python of the container: answers signals from here on, then makes the server's packages importable.

Run as a directory (`python /opt/paddock/lib/paddock serve`) or as a module (`python -m paddock`).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType, ModuleType

HERE = os.path.dirname(os.path.abspath(__file__))

BY_HAND = ("exec", "gunicorn", "uvicorn")
"""Commands that run what the application has installed, where it has it."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def make_importable() -> Callable[[str], ModuleType]:
    """Let the server's modules import the server's packages, and all others the application's, first.

    Returns what imports a module of the server's: the application may have one of the same name.
    """
    if sys.path and os.path.abspath(sys.path[0]) == HERE:
        del sys.path[0]
    library = os.path.dirname(HERE)
    before = sys.path[:]
    sys.path.insert(0, library)
    try:
        from paddock import packages  # which makes the rest importable
    finally:
        sys.path[:] = [path for path in before if path != library]
    if sys.argv[1:2] in ([name] for name in BY_HAND):
        return packages.install(library, left=("gunicorn",)).import_module
    # Hooks, loggers and worker classes of the application are made for the Gunicorn that runs them.
    return packages.install(library, for_all=("gunicorn",)).import_module


def import_gunicorn(import_module: Callable[[str], ModuleType]) -> None:
    """Import Gunicorn's settings without the variables that those read by themselves.

    They do so while they are imported, and a wrong or empty one ends that in a traceback (gunicorn/config.py).
    """
    hidden = {
        name: os.environ.pop(name) for name in ("WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "PORT") if name in os.environ
    }
    import_module("gunicorn.config")
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
    import_module = make_importable()
    answer_signals()
    if sys.argv[1:2] not in ([name] for name in BY_HAND):
        import_gunicorn(import_module)

    sys.exit(import_module("paddock.cli").main(sys.argv[1:]))
