"""The command line: `docker run paddock …`."""

from __future__ import annotations

import json
import logging
import os
import platform
import runpy
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from paddock import packages
from paddock.ending import QUICK_TIMEOUT, end_by
from paddock.errors import EXIT_FAILURE, ConfigurationError, Interrupted, StartError
from paddock.health.state import STARTING
from paddock.processes import shell_above
from paddock.settings import environment
from paddock.settings.listing import FORMATS, effective_settings, text_table
from paddock.start.messages import begin, refuse, say

HOOKS = Path("/docker-entrypoint.d")


HELP = """\
usage: paddock [COMMAND], in a container: docker run IMAGE [COMMAND]

  (nothing), serve       check every setting, run the start hooks, find the application and serve it
  module:attribute       the same, with that application
  --workers 4 …          the same, with those flags
  check [--packages]     check everything and import the application; nothing listens. --packages lists what the
                         application has in another version than the server
  config [--json]        every setting in effect, its value and where it comes from
  settings [--format table|markdown|json]
                         every setting there is, with its default and what it is for
  init [--print] [--force]
                         write Dockerfile, .dockerignore and compose.yaml for the project in the working directory:
                         docker run --rm --volume "$PWD:/app" --user "$(id -u)" paddock init
  health                 the health check: asks the server. --live asks whether it lives at all; --exec COMMAND … and
                         --file PATH --newer-than SECONDS are for containers without a server
  --version              the versions of what serves
  anything else          runs as it is, in the application's environment

Flags are Gunicorn's (--bind, --keep-alive, …: https://gunicorn.org/reference/settings/), and the image's own settings
in lower case (--log-format json, --uvicorn-lifespan on). Defaults are the image's: `settings` lists them.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name, `serve` when they are its flags or its application.

    Returns the exit status: 0, 1 for a start that failed, 78 for a wrong configuration.
    """
    command, *rest = arguments or ["serve"]
    if command not in COMMANDS:
        command, rest = "serve", list(arguments)
    if command in ("serve", "check", "config") and {"-h", "--help"} & set(rest):
        command = "--help"
    begin(os.environ, whole=command in OWN)
    if notice := os.environ.pop("PADDOCK_NOTICE", None):
        say(logging.WARNING, notice)
    try:
        status = COMMANDS[command](rest)
    except ConfigurationError as error:
        status = refuse(error.problems)
    except StartError as error:
        say(logging.ERROR, str(error), error.cause)
        status = EXIT_FAILURE
    if command in IMPORTING:
        # Threads that the application has begun shall not keep the process.
        now = time.monotonic()
        end_by(now + QUICK_TIMEOUT, status, now + 2 * QUICK_TIMEOUT)
    return status


def serve(arguments: list[str]) -> int:
    """Check everything, run the start hooks, and become Gunicorn's arbiter."""
    from paddock.arbiter.arbiter import Arbiter  # 200 ms, which other commands do without
    from paddock.http.descriptors import raise_limit  # comes with it
    from paddock.start.configuration import Configuration  # 170 ms

    hooks = HOOKS.is_dir() and any(HOOKS.iterdir())
    server = Configuration(arguments, os.environ, final=not hooks)
    server.announce(STARTING)
    if hooks:
        from paddock.start.hooks import run_start_hooks  # 6 ms, which most starts do without

        with raising_signals():
            exported = run_start_hooks(HOOKS, os.environ, lambda message: say(logging.INFO, message))
        os.environ.clear()
        os.environ.update(exported)
        server = Configuration(arguments, os.environ)
    if shell := shell_above(os.getppid()):
        say(
            logging.WARNING,
            f"PID 1 is {shell}, which hands on no signal: a stop of the container will kill this server, with the "
            "requests that it serves. Begin its command with exec: `migrate && exec paddock serve`",
        )
    raise_limit()
    server.prepare()
    Arbiter(server).run()
    return 0


@contextmanager
def raising_signals() -> Iterator[None]:
    """Let signals that say to stop raise Interrupted, so that what runs can end its children."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check(arguments: list[str]) -> int:
    """Validate everything, import the application, and say what it is; no start hooks, nothing listens."""
    from paddock.start import checks  # 170 ms
    from paddock.start.configuration import Configuration  # 170 ms

    server = Configuration([word for word in arguments if word != "--packages"], os.environ)
    _, kind = server.load_application()
    for warning in server.warnings + server.late_warnings(kind) + checks.left_in_image():
        say(logging.WARNING, warning)
    print(server.summary(kind))
    if "--packages" in arguments:
        print_packages()
    return 0


def print_packages() -> None:
    """Print the distributions that the server and the application have in different versions."""
    rows = [
        {"package": found.distribution, "server": found.server, "application": found.application or "unknown"}
        for found in packages.differences()
    ]
    print(text_table(rows, ("package", "server", "application")) if rows else "no package differs from the server's")


def config(arguments: list[str]) -> int:
    """Print every effective setting, its value and where that came from."""
    from paddock.start.configuration import Configuration  # 170 ms

    as_json = "--json" in arguments
    server = Configuration([word for word in arguments if word != "--json"], os.environ, find_application=False)
    rows = effective_settings(server.cfg, server.origins, server.contents)
    print(
        json.dumps(rows, indent=2, default=str) if as_json else text_table(rows, ("name", "value", "source", "origin"))
    )
    return 0


def settings(arguments: list[str]) -> int:
    """Print every setting there is."""
    parser = ArgumentParser("paddock settings", description=settings.__doc__)
    parser.add_argument("--format", choices=FORMATS, default="table")
    print(FORMATS[parser.parse_args(arguments).format]())
    return 0


def init(arguments: list[str]) -> int:
    """Write the files that make the project in the working directory an image."""
    from paddock.project import command  # 30 ms, which other commands do without

    return command.init(arguments, Path.cwd())


def show_help(arguments: list[str]) -> int:
    """Say what the command line takes."""
    print(HELP)
    return 0


def version(arguments: list[str]) -> int:
    """Print the versions of what serves."""
    import gunicorn  # 10 ms, which other commands do without
    import uvicorn  # 150 ms

    print(f"gunicorn {gunicorn.__version__}, uvicorn {uvicorn.__version__}, Python {platform.python_version()}")
    return 0


def execute(arguments: list[str]) -> int:
    """Become another command, with what SECRETS_ENV names in its environment.

    Returns only when that cannot be: 127 when there is no such command, 126 when it cannot be run, as from a shell.
    """
    take_secrets()
    # What Python ignores for itself, a command would inherit.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        say(logging.ERROR, f"{arguments[0]}: {'not found' if missing else error.strerror}")
        return 127 if missing else 126


def take_secrets() -> None:
    """Put what SECRETS_ENV names into the environment, in place of the names of the files that it is in.

    Raises:
        ConfigurationError: when that cannot be done.
    """
    if problems := environment.take_secrets(os.environ):
        raise ConfigurationError(problems)


def _run_module(name: str) -> Callable[[list[str]], int]:
    def run(arguments: list[str]) -> int:
        take_secrets()
        sys.argv = [name, *arguments]
        runpy.run_module(name, run_name="__main__", alter_sys=True)
        return 0

    return run


OWN = ("serve", "check", "config", "settings", "init")
"""Commands in which everything is logged in the image's format; the others run as they are."""

IMPORTING = ("serve", "check")
"""Commands that import the application."""

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "serve": serve,
    "check": check,
    "config": config,
    "settings": settings,
    "init": init,
    "exec": execute,
    "gunicorn": _run_module("gunicorn"),
    "uvicorn": _run_module("uvicorn"),
    "--help": show_help,
    "--version": version,
    "-v": version,
}
