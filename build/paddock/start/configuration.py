"""Gunicorn's configuration in layers, and the application that its arbiter serves."""

from __future__ import annotations

import argparse
import builtins
import logging
import os
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

from gunicorn.app.base import Application
from gunicorn.arbiter import Arbiter

from paddock import packages
from paddock.application import finding, kinds, loading
from paddock.application.preload import Snapshot, freeze, inspect_after_import, sentence
from paddock.errors import EXIT_CONFIG, EXIT_NO_ROOM, ConfigurationError, Problem, StartError, is_shortage, where
from paddock.health.state import State, directories, listeners_of
from paddock.settings import app_module, certificates
from paddock.settings.classes import LOGGER, STATSD_LOGGER, class_path
from paddock.settings.environment import DEFAULT, Value, export_secrets, own, resolve
from paddock.settings.parsers import Boolean, parse
from paddock.settings.shown import HIDDEN, Contents, presentable, without_values
from paddock.settings.table import BY_KEY, register
from paddock.start import checks, log_config, messages
from paddock.start.sources import Sources

USER_CONFS = ("gunicorn_conf.py", "gunicorn.conf.py")
"""A user's Gunicorn file, in the working directory, when GUNICORN_CONF names none."""

SINGLE_THREADED = ("gunicorn.workers.sync.SyncWorker", "asgi")
"""Worker classes that the default of THREADS is not for: Gunicorn would replace the first, and warn of the second."""

DEVELOPMENT_DEFAULTS = {"workers": 1, "timeout": 0, "boot_timeout": 0}
"""Defaults with RELOAD: a debugger stops a worker for as long as it likes, and there is one for it to stop."""

CONF = "Gunicorn file"
CMD_ARGS = "GUNICORN_CMD_ARGS"
FLAG = "command line"


class Configuration(Application):  # type: ignore[misc]
    """The configuration: image default < environment < user's Gunicorn file < GUNICORN_CMD_ARGS < command line.

    `origins` tells for each of Gunicorn's settings that was given where its value comes from.
    """

    cfg: Any

    def __init__(
        self, arguments: list[str], environ: Mapping[str, str], find_application: bool = True, final: bool = True
    ) -> None:
        """Read the whole configuration; `find_application` says whether one is needed.

        When it is not `final`, start hooks are to come, which may provide what REQUIRED_ENV and REQUIRED_FILES name.

        Raises:
            ConfigurationError: with everything that is wrong.
        """
        register()
        self.arguments = arguments
        self.environ = environ
        self.needs_application = find_application
        self.final = final
        self.origins: dict[str, Value] = {}
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.certificate_until: float | None = None
        self.contents = Contents()
        self.arbiter_pid = os.getpid()
        super().__init__("paddock [serve] [MODULE:ATTRIBUTE] [FLAGS]", prog="paddock")

    def do_load_config(self) -> None:
        """Load every layer, then check the whole."""
        self.origins, self.problems, self.warnings, self.notes = {}, [], [], []
        self.certificate_until = None
        self.load_default_config()
        self.load_config()
        messages.follow(own(self.cfg, "log_format"), self.cfg.loglevel)
        self.finish()
        self.warnings = [*map(self.contents.hide, self.warnings)]
        self.notes = [*map(self.contents.hide, self.notes)]
        self.problems = [*map(self.contents.hide_in, self.problems)]
        if self.problems:
            raise ConfigurationError(self.problems)

    def reload(self) -> None:
        """Load the configuration again, for HUP; the old one stays when the new one is wrong."""
        before = self.cfg
        try:
            self.do_load_config()
        except ConfigurationError:
            self.cfg = before
            raise

    def load_config(self) -> None:
        """Apply the layers in their order, and collect what is wrong in each."""
        resolution = resolve(self.environ, check_required=self.final)
        self.problems += resolution.problems
        self.warnings += resolution.warnings
        self.contents = resolution.contents
        export_secrets(resolution)
        flags = self.parse(self.arguments, FLAG)
        cmd_args = self.parse(self.cmd_args(), CMD_ARGS)
        self.origins = dict(resolution.values)
        for key, value in resolution.values.items():
            if key in self.cfg.settings:
                self.set(key, value.value)
        self.cfg.set("ssl_context", certificates.ssl_context)
        conf, name = self.user_conf(flags, cmd_args, resolution.values["gunicorn_conf"])
        if conf:
            self.apply(self.read_conf(conf, name), CONF, conf)
        self.apply(cmd_args, CMD_ARGS, CMD_ARGS)
        self.apply(flags, FLAG, FLAG)
        self.warnings += overridden(resolution.values, self.origins)
        if self.cfg.reload:
            self.develop()
        self.max_workers: int | None = None
        if resolution.sizing and self.origins["workers"] is resolution.values["workers"]:
            self.notes.append(f"WORKERS=auto: {resolution.sizing}")
            self.max_workers = resolution.max_workers

    def develop(self) -> None:
        """Give settings that were not given their defaults for development."""
        watched = ", ".join(Sources.of(self.cfg).directories)
        defaults = ", ".join(f"{BY_KEY[key].name}={value}" for key, value in DEVELOPMENT_DEFAULTS.items())
        self.notes.append(f"RELOAD: watching {watched}; {defaults} unless they are set")
        for key, value in DEVELOPMENT_DEFAULTS.items():
            if self.origins[key].source == DEFAULT:
                self.cfg.set(key, value)
                self.origins[key] = Value(value, DEFAULT, "RELOAD")

    def cmd_args(self) -> list[str]:
        """Return the words of GUNICORN_CMD_ARGS."""
        text = self.environ.get(CMD_ARGS, "")
        try:
            return shlex.split(text)
        except ValueError as error:
            self.problems.append(Problem(CMD_ARGS, str(error)))
            return []

    def parse(self, arguments: list[str], source: str) -> dict[str, Any]:
        """Return the settings that `arguments` give, by Gunicorn's own parser."""

        def fail(message: str) -> NoReturn:
            raise argparse.ArgumentError(None, message)

        parser = self.cfg.parser()
        parser.error = fail
        try:
            given = {key: value for key, value in vars(parser.parse_args(arguments)).items() if value is not None}
        except argparse.ArgumentError as error:
            self.problems.append(Problem(source, without_values(str(error))))
            return log_format(arguments)
        words = given.pop("args")
        if len(words) > 1:
            self.problems.append(Problem(source, f"one application, not {len(words)}"))
        return given | ({"wsgi_app": words[0]} if words else {})

    def user_conf(
        self, flags: Mapping[str, Any], cmd_args: Mapping[str, Any], named: Value
    ) -> tuple[str | None, str | None]:
        """Return which Gunicorn file the user has, if any, and what names it; one that is named must be there."""
        candidates = ((flags.get("config"), FLAG), (cmd_args.get("config"), CMD_ARGS), (named.value, "GUNICORN_CONF"))
        for path, name in candidates:
            if path:
                if not path.startswith("python:") and not os.path.isfile(path.removeprefix("file:")):
                    what = "is a directory; expected a file" if os.path.isdir(path) else "there is no such file"
                    self.problems.append(Problem(name, what, path))
                    return None, None
                return str(path), name
        return next((os.path.abspath(path) for path in USER_CONFS if os.path.isfile(path)), None), None

    def read_conf(self, location: str, name: str | None = None) -> dict[str, Any]:
        """Return the Gunicorn settings that the file or module at `location`, which `name` names, sets."""
        sys.path.insert(0, os.getcwd())
        try:
            if location.startswith("python:"):
                values = self.get_config_from_module_name(location.removeprefix("python:"))
            else:
                values = _execute(location.removeprefix("file:"))
        except (Exception, SystemExit) as error:
            what = where(error, location.removeprefix("file:"))
            self.problems.append(Problem(name, what, location) if name else Problem(location, what))
            return {}
        finally:
            sys.path.remove(os.getcwd())
        return {key: value for key, value in values.items() if key in self.cfg.settings}

    def apply(self, values: Mapping[str, Any], source: str, origin: str) -> None:
        """Set `values` over what is there, and note where they come from."""
        for key, value in values.items():
            if key == "config":
                continue
            try:
                self.set(key, _checked(key, value))
            except Exception as error:
                self.problems.append(_refused(key, value, error, origin))
                continue
            self.origins[key] = Value(value, source, origin)

    def set(self, key: str, value: Any) -> None:
        """Set one of Gunicorn's settings; what its validator says on stderr, that it is obsolete, is a warning."""
        with redirect_stderr(StringIO()) as printed:
            self.cfg.set(key, value)
        self.warnings += (line for line in printed.getvalue().splitlines() if line not in self.warnings)

    def finish(self) -> None:
        """Find the application, and check what only the whole configuration can tell."""
        self.cfg.set("worker_class", _worker_class(self.cfg.settings["worker_class"].get()))
        if self.cfg.statsd_host and self.cfg.settings["logger_class"].get() == LOGGER:
            self.cfg.set("logger_class", STATSD_LOGGER)
        if self.cfg.settings["worker_class"].get() in SINGLE_THREADED and self.origins["threads"].source == DEFAULT:
            self.cfg.set("threads", 1)
        self.chdir()
        packages.look()
        for path in (self.cfg.pythonpath or "").split(","):
            if path:
                _import_from(os.path.abspath(path))
        if not any(map(certificates.concerns, self.problems)):
            self.problems += certificates.load(self.cfg)
        self.problems += checks.problems(self.cfg, self.origins)
        if self.cfg.wsgi_app:
            _import_from(str(finding.directory_of(self.cfg.wsgi_app, Path(self.cfg.chdir))))
        elif self.needs_application and not self.cfg.paste and not self.problems:
            self.find_application()
        self.problems += log_config.problems(self.cfg)
        self.warnings += checks.warnings(self.cfg, self.origins)
        if self.cfg.certfile and not self.problems:
            self.look_at_certificate()

    def look_at_certificate(self) -> None:
        """Find out until when the certificate is valid, and say so."""
        lifetime = certificates.lifetime(self.cfg)
        if not lifetime:
            return
        self.certificate_until = lifetime.until
        if warning := lifetime.warning(time.time()):
            text = f"CERTFILE={self.cfg.certfile!r}: the certificate {warning}, and clients will refuse it"
            self.warnings.append(text)
        else:
            until = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(lifetime.until))
            self.notes.append(f"The certificate in {self.cfg.certfile} is valid until {until}")

    def find_application(self) -> None:
        """Set `wsgi_app` to what is found in the working directory."""
        try:
            target = finding.find(Path(self.cfg.chdir), self.environ)
        except StartError as error:
            self.problems.append(Problem("APP_MODULE", str(error)))
            return
        _import_from(str(target.path))
        self.cfg.set("wsgi_app", target.spec)
        self.origins["wsgi_app"] = Value(target.spec, "found", str(target.path))

    def load(self) -> Any:
        """Import the application and find out what it is: Gunicorn calls this once for each process that needs it.

        Raises:
            StartError: in the arbiter (PRELOAD_APP).
            SystemExit: in a worker, after the reason was logged.
        """
        preloading = os.getpid() == self.arbiter_pid
        before = Snapshot.take() if preloading else None
        try:
            served, _ = self.load_application()
        except (StartError, ConfigurationError) as error:
            if preloading:
                raise
            cause = error.cause if isinstance(error, StartError) else None
            logging.getLogger("gunicorn.error").error("%s", error, exc_info=cause)
            status = EXIT_CONFIG if isinstance(error, ConfigurationError) else Arbiter.APP_LOAD_ERROR
            raise SystemExit(EXIT_NO_ROOM if cause and is_shortage(cause[1]) else status) from None
        if before:
            if found := inspect_after_import(before):
                logging.getLogger("gunicorn.error").warning(sentence(found))
            freeze()
        return served

    def load_application(self) -> tuple[Any, kinds.Kind]:
        """Import the application and check that the worker class can serve it; return it and what it is.

        Raises:
            StartError: when it cannot be imported or is no application.
            ConfigurationError: when the worker class or a setting does not fit it.
        """
        try:
            return self._load_application()
        except StartError as error:
            error.args = (self.contents.hide(str(error)),)
            raise
        except ConfigurationError as error:
            raise ConfigurationError(map(self.contents.hide_in, error.problems)) from None

    def _load_application(self) -> tuple[Any, kinds.Kind]:
        if self.cfg.paste:
            from gunicorn.app.pasterapp import get_wsgi_app  # fails without PasteDeploy, the application's own

            loaded: object = get_wsgi_app(self.cfg.paste, defaults=self.cfg.paste_global_conf)
        else:
            loaded = loading.load(self.cfg.wsgi_app, finding.directory_of(self.cfg.wsgi_app, Path(self.cfg.chdir)))
        served, kind = loading.resolve(loaded, self.cfg.app_type)
        if problems := checks.kind_problems(self.cfg, kind):
            raise ConfigurationError(problems)
        return served, kind

    def prepare(self) -> None:
        """Import, before the application, what the workers need of packages of which it has others."""
        if packages.differences() and hasattr(self.cfg.worker_class, "prepare"):
            self.cfg.worker_class.prepare(self.cfg)

    def late_warnings(self, kind: kinds.Kind) -> list[str]:
        """Return what only the imported application tells to have no effect, or to fail."""
        found = [] if checks.known_kind(self.cfg) else checks.without_effect(self.cfg, self.origins, kind)
        return found + checks.nested_loop(self.cfg, kind)

    def summary(self, kind: kinds.Kind) -> str:
        """Return, in a line, what would be served and how."""
        worker = checks.serves(self.cfg, kind)
        number = "1 worker" if self.cfg.workers == 1 else f"{self.cfg.workers} workers"
        application = self.contents.hide(app_module.shown(self.cfg.wsgi_app or self.cfg.paste or ""))
        return f"{application}: {kind}, served by {number} of class {worker}"

    def announce(self, phase: str) -> None:
        """Tell the health check how far the start is, before there is an arbiter that does."""
        try:
            self.state(phase, ()).write(*directories())
        except OSError as error:
            self.warnings.append(f"the health check cannot work: {error}")

    def state(self, phase: str, listeners: Iterable[Any]) -> State:
        """Return what the health check has to know, in `phase`, of a server on `listeners`."""
        return State(
            pid=os.getpid(),
            phase=phase,
            # With REUSE_PORT each worker binds its own.
            listeners=listeners_of([listener.getsockname() for listener in listeners] or self.cfg.address),
            tls=bool(self.cfg.is_ssl),
            client_certificate=self.cfg.cert_reqs == 2,
            health_path=self.cfg.healthcheck_path,
        )


def overridden(given: Mapping[str, Value], origins: Mapping[str, Value]) -> Iterator[str]:
    """Yield what the user's Gunicorn file has set to another value than the environment asks for.

    By precedence it may do so; with these two, somebody wonders why a container that was told otherwise cannot be
    reached, or is slow.
    """
    for key in ("bind", "workers"):
        wanted, taken = given[key], origins[key]
        if taken.source == CONF and wanted.source != DEFAULT and _items(taken.value) != _items(wanted.value):
            name, value = BY_KEY[key].name, ",".join(_items(wanted.value))
            source = f" (from {wanted.origin})" if wanted.origin != name else ""
            yield f"{name}={value}{source} has no effect: {taken.origin} sets {key} to {','.join(_items(taken.value))}"


def _items(value: Any) -> list[str]:
    return [item.strip() for item in (value if isinstance(value, list) else str(value).split(","))]


def log_format(arguments: list[str]) -> dict[str, Any]:
    """Return LOG_FORMAT as `arguments` give it, of which others are wrong: those are named in that format."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--log-format", nargs="?")
    given = parser.parse_known_args(arguments)[0].log_format
    return {"log_format": given} if given else {}


def _execute(path: str) -> dict[str, Any]:
    """Run a configuration file, and return its names."""
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    # With other builtins than this module's: a file of the user's imports what the application does.
    names: dict[str, Any] = {"__file__": path, "__name__": "__config__", "__builtins__": builtins}
    exec(code, names)  # noqa: S102 (it is what a configuration file in Python is for)
    return names


def _checked(key: str, value: Any) -> Any:
    """Return `value` as the table of settings wants it, for one that did not come from the environment.

    Raises:
        ValueError: when the table refuses it.
    """
    setting = BY_KEY.get(key)
    if setting is None or not isinstance(value, str | int | list):
        return value
    if isinstance(value, bool) and not isinstance(setting.parser, Boolean):
        # Gunicorn takes it for some settings that were switches once.
        return value
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value).strip()
    return parse(setting.parser, text) if text else value


def _refused(key: str, value: Any, error: Exception, origin: str) -> Problem:
    """Return what is wrong with `value`, which the layer `origin` has for one of Gunicorn's settings."""
    given = presentable(key, value)
    if given is HIDDEN:
        setting = BY_KEY.get(key)
        expected = f"expected {setting.parser.expected}" if setting else f"is refused: {type(error).__name__}"
        return Problem(f"{key} ({origin})", expected)
    return Problem(f"{key} ({origin})", str(error) or type(error).__name__, str(given))


def _worker_class(given: Any) -> Any:
    return class_path(given) if isinstance(given, str) else given


def _import_from(path: str) -> None:
    if path not in sys.path:
        sys.path.insert(0, path)
    packages.look()
