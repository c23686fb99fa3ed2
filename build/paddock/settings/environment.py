"""Read the settings from the environment: every value with its source, every problem in one pass.

`resolve` is all there is to call. It takes the environment as a mapping and changes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from paddock.errors import Problem
from paddock.health.state import DIRECTORIES
from paddock.settings.classes import LOGGER, class_path
from paddock.settings.parsers import (
    Boolean,
    Checked,
    Integer,
    Items,
    JsonObject,
    Parser,
    ReadableFile,
    Rejected,
    Text,
    nearest,
    parse,
)
from paddock.settings.shown import Contents, is_bounded, looks_secret, shown_text
from paddock.settings.sizing import read_limits, size
from paddock.settings.table import AUTO, BY_NAME, OWN_PREFIX, SETTINGS, UVICORN_REPLACED, Setting

DEFAULT = "default"
ENVIRONMENT = "environment"
FILE = "file"

MOST_CONNECTIONS = 16384
"""Connections of a worker, where GUNICORN_WORKER_CONNECTIONS says nothing: an event loop keeps WebSockets and idle
connections in 10 kB each. Gunicorn's 1000 is meant for threads."""

SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://\S+:[0-9]+")
SERVICE_LINK = re.compile(
    r".+_(SERVICE_HOST=[0-9a-fA-F.:]+|SERVICE_PORT(_[^=]+)?=[0-9]+|"
    r"PORT(_[0-9]+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://\S+:[0-9]+|"
    r"PORT_[0-9]+_(TCP|UDP|SCTP)_(PROTO=(tcp|udp|sctp)|PORT=[0-9]+|ADDR=[0-9a-fA-F.:]+))"
)
"""What Kubernetes and Docker links put into the environment of every container for each service.

https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
"""

NOT_SETTINGS = {
    *("GUNICORN_CMD_ARGS", "GUNICORN_CONF", "GUNICORN_PID", "GUNICORN_FD", "GUNICORN_DIRTY_SOCKET"),
    # What the entrypoint hands on.
    "PADDOCK_NOTICE",
}

REFUSED = {
    "config": "name your file in GUNICORN_CONF",
    "daemon": "a container runs one process in the foreground",
    "check_config": "run `paddock check` instead",
    "print_config": "run `paddock config` instead",
}

IGNORE = "IGNORE_ENV"
"""The setting that names the variables which are the application's, whatever they are called."""

PREFIXES = (OWN_PREFIX, "GUNICORN_", "UVICORN_")


@dataclass(frozen=True)
class Value:
    """A setting's value and where it came from: `source` is the kind, `origin` the variable or the path."""

    value: Any
    source: str = DEFAULT
    origin: str = ""

    @property
    def path(self) -> str:
        """The file that it came from, if it did."""
        return self.origin if self.source == FILE else ""


@dataclass
class Resolution:
    """What the environment says. `values` has Gunicorn's names (`keepalive`) and, in the same form, the image's own.

    `sizing` is why there are as many workers as there are, where that is left to the image. `contents` is what must
    not be shown of the values, since it came from files; problems and warnings are without it.
    """

    values: dict[str, Value] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    sizing: str = ""
    secrets: dict[str, str] = field(default_factory=dict)
    contents: Contents = field(default_factory=Contents)

    def __getattr__(self, key: str) -> Any:
        try:
            return self.values[key].value
        except KeyError:
            raise AttributeError(key) from None

    @property
    def other(self) -> dict[str, Any]:
        """The values of Gunicorn's settings that the table does not have, for `gunicorn_conf.py`."""
        keys = {setting.key for setting in SETTINGS}
        return {key: value.value for key, value in self.values.items() if key not in keys}


_exported: dict[str, str] = {}


def export_secrets(resolution: Resolution) -> None:
    """Put what SECRETS_ENV names into this process's environment, for the application and the start hooks."""
    _exported.update(resolution.secrets)
    os.environ.update(resolution.secrets)


def take_secrets(environ: MutableMapping[str, str]) -> list[Problem]:
    """Replace `NAME_FILE` in `environ` by what the file holds, for each NAME that SECRETS_ENV lists.

    For commands that are not `serve`, and may start it: a NAME beside its NAME_FILE would be refused.

    Returns what is wrong with those variables; then `environ` is as it was.
    """
    resolver = _Resolver(environ)
    resolver.result.values["secrets_env"] = resolver.read_setting(BY_NAME["SECRETS_ENV"])
    resolver.read_secrets()
    if not resolver.result.problems:
        for name, secret in resolver.result.secrets.items():
            environ[name] = secret
            del environ[f"{name}_FILE"]
    return resolver.result.problems


def resolve(environ: Mapping[str, str], check_required: bool = True) -> Resolution:
    """Read every setting from `environ`; what `export_secrets` put there does not count as given.

    `check_required` is for REQUIRED_ENV and REQUIRED_FILES, which start hooks may still provide.

    Returns the values and, in `problems`, all that is wrong; a setting with a problem has its default, so that the
    rest can be checked too.
    """
    given = {name: value for name, value in environ.items() if _exported.get(name) != value}
    return _Resolver(given).run(check_required)


def value_of(name: str, environ: Mapping[str, str]) -> Any:
    """Return the value of the one setting `name`; its default when what `environ` has is wrong."""
    return _Resolver(environ).read_setting(BY_NAME[name]).value


class _Resolver:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.result = Resolution()
        self.ignored: frozenset[str] = frozenset()
        self.ignored = frozenset(self.read_setting(BY_NAME[IGNORE]).value or ())
        self.result = Resolution()

    def run(self, check_required: bool) -> Resolution:
        for setting in SETTINGS:
            self.result.values[setting.key] = self.read_setting(setting)
        self.refuse_unknown_ignored()
        self.read_gunicorn()
        self.refuse_unknown_uvicorn()
        self.refuse_unknown_own()
        self.warn_of_near_misses()
        self.read_secrets()
        if check_required:
            self.check_required()
        self.derive()
        self.result.problems = [*map(self.result.contents.hide_in, self.result.problems)]
        self.result.warnings = [*map(self.result.contents.hide, self.result.warnings)]
        return self.result

    def problem(self, name: str, message: str, value: str | None = None) -> None:
        self.result.problems.append(Problem(name, message, value))

    def given(self, variable: str) -> str:
        """Return what a variable holds; nothing when it is unset, empty, or left to the application."""
        return "" if variable in self.ignored else self.environ.get(variable, "").strip()

    def spelling(self, name: str) -> str | None:
        """Return the variable that `name` is read from, and None when that is left to the application.

        PADDOCK_<NAME> leaves the plain name to the application, whatever that holds.
        """
        own = OWN_PREFIX + name
        direct = self.given(own)
        if is_service_link(own, direct):
            self.pass_over(own)
            direct = ""
        if direct or self.given(f"{own}_FILE"):
            return own
        return None if name in self.ignored else name

    def pass_over(self, variable: str) -> None:
        self.result.warnings.append(f"{variable} is a Kubernetes service link and is passed over")

    def text(self, name: str) -> tuple[str, Value] | None:
        """Return the text that `name`, or the file that `name`_FILE names, holds; None when unset or empty."""
        direct = self.environ.get(name, "").strip()
        path = self.given(f"{name}_FILE")
        if direct and path:
            self.problem(name, f"{name} and {name}_FILE are both set: unset one of them")
            return None
        if path:
            return self.text_of_file(name, path)
        if is_service_link(name, direct):
            self.pass_over(name)
            return None
        return (direct, Value(None, ENVIRONMENT, name)) if direct else None

    def text_of_file(self, name: str, path: str) -> tuple[str, Value] | None:
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            self.problem(f"{name}_FILE", f"cannot be read ({reason}); expected the path of a file", path)
            return None
        if not text:
            self.problem(f"{name}_FILE", "the file is empty", path)
            return None
        return text, Value(None, FILE, path)

    def parsed(self, plain: str, parser: Parser) -> Value | None:
        name = self.spelling(plain)
        found = self.text(name) if name else None
        if name is None or found is None:
            return None
        text, value = found
        # What a file holds may be a secret that was mounted at the wrong place.
        from_file = value.source == FILE
        hidden = from_file or looks_secret(name)
        try:
            result = Value(parse(parser, text, show=not hidden), value.source, value.origin)
            if from_file and not is_bounded(parser.type if isinstance(parser, GunicornParser) else parser):
                self.result.contents.add(text, value.origin)
            return result
        except ValueError as error:
            variable = f"{name}_FILE" if from_file else name
            # No application means its own variable by a name with a server's.
            mine = name != IGNORE and not name.startswith(PREFIXES)
            keep = f"; if it is your application's, set {IGNORE}={name}" if mine else ""
            self.problem(variable, f"{error}{keep}", value.origin if from_file else shown_text(name, text))
            return None

    def read_setting(self, setting: Setting) -> Value:
        found = [value for name in setting.names if (value := self.parsed(name, setting.parser))]
        if found:
            return found[0]
        return Value(None if setting.default is None else parse(setting.parser, setting.default))

    def prefixed(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield variables that are set and start with `prefix`, as (variable, name without _FILE and prefix)."""
        known = {name for setting in SETTINGS for name in setting.variables} | NOT_SETTINGS
        for variable in sorted(self.environ):
            name = variable.removesuffix("_FILE")
            if not variable.startswith(prefix) or known & {variable, name} or not self.given(variable):
                continue
            if self.ignored & {variable, name}:
                continue
            if is_service_link(variable, self.given(variable)):
                self.pass_over(variable)
                continue
            yield variable, name.removeprefix(prefix)

    def read_gunicorn(self) -> None:
        settings = _gunicorn_settings()
        prefixed = (*self.prefixed("GUNICORN_"), *self.prefixed(f"{OWN_PREFIX}GUNICORN_"))
        for name, variable in {name: variable for variable, name in prefixed}.items():
            key = name.lower()
            if key in REFUSED:
                given = shown_text(variable, self.environ[variable])
                self.problem(variable, f"has no place in a container: {REFUSED[key]}", given)
            elif key not in settings:
                self.unknown(variable, f"GUNICORN_{name}", [f"GUNICORN_{other.upper()}" for other in settings])
            elif callable(settings[key].default):
                self.problem(variable, "is a Python function: define it in your Gunicorn file (GUNICORN_CONF)")
            elif value := self.parsed(f"GUNICORN_{name}", GunicornParser(settings[key]())):
                self.result.values[key] = value

    def unknown(self, variable: str, name: str, known: list[str]) -> None:
        close = nearest(name, known, edits=2)
        plain = next((s.name for s in SETTINGS if close in s.names), close)
        self.problem(variable, f"no setting has this name: {_advice(plain)}")

    def refuse_unknown_uvicorn(self) -> None:
        known = [setting.name for setting in SETTINGS if setting.name.startswith("UVICORN_")]
        for variable, name in (*self.prefixed("UVICORN_"), *self.prefixed(f"{OWN_PREFIX}UVICORN_")):
            if name in UVICORN_REPLACED:
                given = shown_text(UVICORN_REPLACED[name], self.environ[variable])
                self.problem(variable, f"set {UVICORN_REPLACED[name]} instead", given)
            else:
                self.unknown(variable, f"UVICORN_{name}", known)

    def refuse_unknown_own(self) -> None:
        known = [OWN_PREFIX + name for setting in SETTINGS for name in setting.names]
        for variable, name in self.prefixed(OWN_PREFIX):
            if not name.startswith(("GUNICORN_", "UVICORN_")):
                close = nearest(OWN_PREFIX + name, known, edits=2)
                self.problem(variable, f"no setting has this name: {_advice(close)}")

    def refuse_unknown_ignored(self) -> None:
        """A name that no setting has may be that of a variable all the same, which looks like a setting's."""
        plain = {name for setting in SETTINGS for name in setting.names}
        known = plain | {f"GUNICORN_{key.upper()}" for key in _gunicorn_settings()}
        names = self.result.ignore_env or ()
        for name in names:
            if name not in self.environ and not known & {name, name.removesuffix("_FILE")}:
                close = nearest(name, known, edits=2)
                self.problem(IGNORE, f"no setting has the name {name}: {_advice(close)}", ",".join(names))

    def warn_of_near_misses(self) -> None:
        plain = {name for setting in SETTINGS for name in (setting.name, *setting.aliases)}
        names = plain | {OWN_PREFIX + name for name in plain}
        long_names = [name for name in names if len(name) >= 6 and not name.startswith(("GUNICORN_", "UVICORN_"))]
        theirs = {*(self.result.required_env or ()), *(self.result.secrets_env or ()), *self.ignored}
        for variable in sorted(self.environ):
            if variable in names or len(variable) < 6 or variable in theirs or variable.startswith(OWN_PREFIX):
                continue
            if close := nearest(variable, long_names, edits=1):
                self.result.warnings.append(f"{variable} is set, which is no setting: did you mean {close}?")

    def read_secrets(self) -> None:
        for name in self.result.secrets_env or ():
            if name in BY_NAME and name not in self.ignored:
                continue
            found = self.text(name)
            if found and found[1].source == FILE:
                self.result.secrets[name] = found[0]

    def check_required(self) -> None:
        from_files = {f"{name}_FILE" for name in self.result.secrets_env or ()} & set(self.environ)
        for name in self.result.required_env or ():
            # A secret's file that cannot be read has its own message.
            if not self.environ.get(name, "").strip() and f"{name}_FILE" not in from_files:
                state = "is empty" if name in self.environ else "is not set"
                self.problem(name, f"{state}, and REQUIRED_ENV names it")
        for path in self.result.required_files or ():
            if reason := _why_no_file(path):
                self.problem(path, f"{reason}, and REQUIRED_FILES names it")

    def derive(self) -> None:
        values = self.result.values
        values["bind"] = self.bind()
        values["workers"] = self.workers()
        values["worker_tmp_dir"] = self.worker_tmp_dir()
        values["worker_class"] = _replace(values["worker_class"], class_path(values["worker_class"].value))
        if values["max_requests_jitter"].value is None:
            values["max_requests_jitter"] = Value(-(-values["max_requests"].value // 10))
        if values["root_path"].value is None:
            values["root_path"] = Value("")
        values.setdefault("logger_class", Value(LOGGER))
        # Gunicorn would believe more, and proxies pass more on as it came from the client: X-Forwarded-Ssl, and
        # SCRIPT_NAME, by which /public/admin gets past a proxy that guards /admin, and is /admin.
        values.setdefault("worker_connections", Value(MOST_CONNECTIONS))
        values.setdefault("secure_scheme_headers", Value({"X-FORWARDED-PROTO": "https"}))
        values.setdefault("forwarder_headers", Value(""))
        # The control socket lets anyone with the application's user shut the server down, so it is asked for by name.
        values.setdefault("control_socket_disable", Value("control_socket" not in values))

    def bind(self) -> Value:
        bind, host, port = (self.result.values[key] for key in ("bind", "host", "port"))
        if twice := {address for address in bind.value if bind.value.count(address) > 1}:
            self.problem("BIND", f"names {', '.join(sorted(twice))} more than once", ",".join(bind.value))
        if bind.source != DEFAULT or (host.source == DEFAULT and port.source == DEFAULT):
            return bind
        default_host, default_port = BY_NAME["BIND"].default.rsplit(":", 1)  # type: ignore[union-attr]
        name = str(host.value or default_host).strip("[]")
        origins = [value.origin for value in (host, port) if value.origin]
        address = f"[{name}]" if ":" in name else name
        return Value(
            [f"{address}:{default_port if port.value is None else port.value}"], ENVIRONMENT, " ".join(origins)
        )

    def workers(self) -> Value:
        workers = self.result.values["workers"]
        if workers.value != AUTO:
            return workers
        sizing = size(read_limits(), self.result.max_workers)
        self.result.sizing = sizing.reason
        return _replace(workers, sizing.workers)

    def worker_tmp_dir(self) -> Value:
        value = self.result.values["worker_tmp_dir"]
        if value.value:
            return value
        for directory in DIRECTORIES:
            if os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK):
                return Value(directory)
        candidates = ", ".join(DIRECTORIES)
        self.problem("WORKER_TMP_DIR", f"none of {candidates} can be written: name a directory that can, or mount one")
        return value


def _gunicorn_settings() -> dict[str, Any]:
    from gunicorn import config  # 80 ms, which commands that only pass secrets on do without

    return {setting.name: setting for setting in config.KNOWN_SETTINGS if setting.section != "Paddock"}


def _advice(close: str | None) -> str:
    """Return what helps who has a name that no setting has, with the one that is `close` to it, if any."""
    return f"did you mean {close}?" if close else "`paddock settings` lists those there are"


def is_service_link(variable: str, value: str) -> bool:
    """Tell whether a variable is a service link: by its name and its value together.

    Of the image's own settings, which take no such value, that alone tells. Gunicorn's `syslog_addr` does take one.
    """
    if SERVICE_LINK.fullmatch(f"{variable}={value}"):
        return True
    plain = variable.removeprefix(OWN_PREFIX)
    return bool(SERVICE_LINK_VALUE.fullmatch(value)) and any(plain in setting.names for setting in SETTINGS)


def _replace(value: Value, new: Any) -> Value:
    return Value(new, value.source, value.origin)


def _why_no_file(path: str) -> str:
    """Return why `path` is not a file with contents that can be read, or an empty string."""
    try:
        ReadableFile()(path)
        return "" if os.path.getsize(path) else "is empty"
    except ValueError as error:
        return str(error)


@dataclass(frozen=True)
class GunicornParser:
    """Text for one of Gunicorn's settings, checked by Gunicorn's own validator.

    Lists are separated by commas, dictionaries are JSON objects.
    """

    setting: Any

    @property
    def expected(self) -> str:
        """The kind of value, from how Gunicorn declares the setting."""
        return str(self.type.expected)

    @property
    def type(self) -> Any:
        """The parser for that kind."""
        setting = self.setting
        if setting.name == "sendfile" or (setting.action or "").startswith("store_"):
            return Boolean()
        if setting.type is int:
            return Integer()
        if setting.type is not None:
            return Checked("an octal number such as 022", lambda text: int(text, 8))
        if isinstance(setting.default, dict):
            return JsonObject()
        if setting.action == "append" or isinstance(setting.default, list):
            return Items(Text(), "a list separated by commas")
        return Text(f"what https://gunicorn.org/reference/settings/#{setting.name} says")

    def __call__(self, text: str) -> Any:
        value = self.type(text)
        if self.setting.name == "sendfile":
            # Any value but None turns sendfile off: https://github.com/benoitc/gunicorn, Config.sendfile
            value = None if value else False
        try:
            # Gunicorn's validators say on stderr what is obsolete, and will do so again.
            with redirect_stderr(StringIO()):
                self.setting.set(value)
        except Exception as error:
            raise Rejected(str(error) or type(error).__name__) from None
        # As it was given: Gunicorn's configuration runs the validator again.
        return value


def own(cfg: Any, key: str) -> Any:
    """Return the value of one of the image's own settings, for Gunicorn's configuration `cfg`.

    Under plain `gunicorn -c` that was made before Gunicorn knew of them, so they come from the environment there.
    """
    if key in cfg.settings:
        return cfg.settings[key].get()
    return resolve(os.environ).values[key].value
