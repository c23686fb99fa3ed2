"""What is wrong with settings that are each fine by themselves."""

from __future__ import annotations

import asyncio
import importlib.util
import ipaddress
import os
import re
import socket
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gunicorn.http2 import H2_MIN_VERSION, is_http2_available
from gunicorn.util import parse_address
from gunicorn.workers.base import Worker

from paddock.application.kinds import FORCED, Kind, mismatch
from paddock.errors import Problem
from paddock.settings import app_module, log_line
from paddock.settings.classes import CLASSES, is_own_way, short_name
from paddock.settings.environment import DEFAULT, ENVIRONMENT, Value, own
from paddock.settings.table import BY_KEY, SHUTDOWN_SHARE, UVICORN
from paddock.start.sources import Sources

Origins = Mapping[str, Value]

INTERFACES = Path("/sys/class/net")

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 (compared with what others bind)


def problems(cfg: Any, origins: Origins) -> list[Problem]:
    """Return everything that is wrong with the complete configuration `cfg`, before the application is imported."""
    found = [
        *_reload(cfg),
        *_drain(cfg),
        *_hosts(cfg, origins),
        *_metrics(cfg),
        *_other_classes(cfg, origins),
        *_classes(cfg),
        *_access_log_format(cfg),
        *_other_user(cfg, origins),
        *_uvicorn_packages(cfg),
        *_http2(cfg),
        *_gunicorn(cfg),
        *_protocol(cfg),
        *_paths(cfg),
    ]
    kind = known_kind(cfg)
    return found + (kind_problems(cfg, kind) if kind else [])


def warnings(cfg: Any, origins: Origins) -> list[str]:
    """Return what has no effect in the complete configuration `cfg`, as far as it is known before the import."""
    kind = known_kind(cfg)
    no_effect = without_effect(cfg, origins, kind) if kind else []
    return [*_cleartext(cfg), *_loopback(cfg, origins), *_foreign(cfg), *_ignored(cfg), *_little_time(cfg), *no_effect]


def left_in_image(folder: str = ".") -> list[str]:
    """Return warnings of what `COPY . .` without a .dockerignore has brought into `folder`; none of a mounted one."""
    if os.path.ismount(folder):
        return []
    return [
        f"{name} is in {os.path.abspath(folder)}, for everyone who has the image: name it in .dockerignore"
        for name in (".env", ".git")
        if os.path.exists(os.path.join(folder, name))
    ]


def _foreign(cfg: Any) -> Iterator[str]:
    """Say what is lost with a worker class of somebody else's."""
    name = short_name(cfg.worker_class_str)
    if name not in CLASSES:
        yield (
            f"WORKER_CLASS={name} is not the image's: without its front, requests may be lost when workers stop or are "
            "replaced, slow clients are bounded by nothing, and there are no request ids, ROOT_PATH, READY_PATH, "
            "LIVE_PATH, X-Forwarded-For and metrics of requests"
        )


def known_kind(cfg: Any) -> Kind | None:
    """Return what kind of application `cfg` is for, when APP_TYPE or the worker class tells."""
    if cfg.app_type != "auto":
        return FORCED[cfg.app_type]
    name = cfg.worker_class_str
    if mismatch(Kind.WSGI, short_name(name)):
        return Kind.ASGI3
    return Kind.WSGI if mismatch(Kind.ASGI3, short_name(name)) else None


def kind_problems(cfg: Any, kind: Kind) -> list[Problem]:
    """Return what in `cfg` cannot serve an application of `kind`."""
    name = short_name(cfg.worker_class_str)
    found = []
    if reason := mismatch(kind, name):
        found.append(Problem("WORKER_CLASS", f"{app_module.shown(cfg.wsgi_app or 'the application')} {reason}", name))
    worker = serves(cfg, kind)
    if "h2" in cfg.http_protocols and worker in CLASSES:
        hint = f"the worker class {worker} has no HTTP/2 of Gunicorn's: set UVICORN_HTTP=zttp and UVICORN_HTTP2=true"
        found.append(Problem("GUNICORN_HTTP_PROTOCOLS", hint))
    if cfg.forwarder_headers and worker in CLASSES:
        hint = "no header field names the path under which a proxy publishes the application: set ROOT_PATH"
        found.append(Problem("GUNICORN_FORWARDER_HEADERS", hint, ",".join(cfg.forwarder_headers)))
    if cfg.uvicorn_http2 and worker not in CLASSES:
        hint = f"the worker class {worker} is not the image's: use GUNICORN_HTTP_PROTOCOLS=h2,h1"
        found.append(Problem("UVICORN_HTTP2", hint, "true"))
    if cfg.proxy_protocol != "off" and worker in CLASSES and cfg.uvicorn_http == "zttp":
        found.append(
            Problem("PROXY_PROTOCOL", "UVICORN_HTTP=zttp has no part in it: use httptools or h11", cfg.proxy_protocol)
        )
    return found


def serves(cfg: Any, kind: Kind) -> str:
    """Return the name of the worker class that serves an application of `kind`."""
    name = short_name(cfg.worker_class_str)
    return name if name != "auto" else ("uvicorn" if kind.asgi else "gthread")


def nested_loop(cfg: Any, kind: Kind) -> list[str]:
    """Return what `nest_asyncio.apply()` breaks: it patches asyncio's event loop, and cannot patch uvloop's.

    https://github.com/erdewit/nest_asyncio/blob/master/nest_asyncio.py, _patch_loop
    """
    if not (
        hasattr(asyncio, "_nest_patched") and serves(cfg, kind) == "uvicorn" and own(cfg, "uvicorn_loop") != "asyncio"
    ):
        return []
    return ["nest_asyncio patches asyncio's event loop and not uvloop, where it fails: set UVICORN_LOOP=asyncio"]


REQUEST_HOOKS = ("pre_request", "post_request")
"""Gunicorn's hooks for each request, which only its own servers call."""


FOR_BOTH = {
    "UVICORN_DATE_HEADER",
    "UVICORN_H11_MAX_INCOMPLETE_EVENT_SIZE",
    "UVICORN_HEADERS",
    "UVICORN_HTTP",
    "UVICORN_HTTP2",
    "UVICORN_LIMIT_CONCURRENCY",
    "UVICORN_LOOP",
    "UVICORN_PROXY_HEADERS",
    "UVICORN_SERVER_HEADER",
}
"""Uvicorn's settings that concern the front, whatever the application is."""


def without_effect(cfg: Any, origins: Origins, kind: Kind) -> list[str]:
    """Return a sentence for each setting that was given and does nothing in `cfg` for an application of `kind`."""
    given = [key for key, value in origins.items() if value.source != DEFAULT]
    if kind.asgi:
        found = ["THREADS has no effect: an ASGI worker has one event loop"] if "threads" in given else []
        hooks = REQUEST_HOOKS if serves(cfg, kind) == "uvicorn" else ()
        return found + [f"{hook} has no effect: Uvicorn has no hooks for requests" for hook in hooks if hook in given]
    front = serves(cfg, kind) in CLASSES
    names = [BY_KEY[key].name for key in given if key in BY_KEY and BY_KEY[key].section == UVICORN]
    return [f"{name} has no effect: the application is WSGI" for name in names if not (front and name in FOR_BOTH)]


OF_RELOADER = ("reload_engine", "reload_extra_files")
OWN_RELOADER = "the image watches in its own way: use RELOAD_DIRS and RELOAD_INCLUDES"


def _reload(cfg: Any) -> Iterator[Problem]:
    if not cfg.reload:
        return
    if cfg.preload_app:
        yield Problem("RELOAD", "cannot work with PRELOAD_APP: a preloaded application is never imported again")
    if "/" in Sources.of(cfg).directories:
        yield Problem("RELOAD_DIRS", "the whole file system cannot be watched: name the directories of the source")
    for key in OF_RELOADER:
        if _is_given(cfg, key):
            yield Problem(f"GUNICORN_{key.upper()}", OWN_RELOADER, str(cfg.settings[key].get()))


def _drain(cfg: Any) -> Iterator[Problem]:
    if cfg.drain_delay and cfg.drain_delay >= cfg.graceful_timeout * (1 - SHUTDOWN_SHARE):
        most = cfg.graceful_timeout * (1 - SHUTDOWN_SHARE)
        message = f"leaves no time to finish requests: expected less than {most:g}, or a longer GRACEFUL_TIMEOUT"
        yield Problem("DRAIN_DELAY", message, f"{cfg.drain_delay:g}")


LEFT_BY_DEFAULT = 6.0
"""Seconds that requests have at a stop by default: three quarters of GRACEFUL_TIMEOUT."""


def _little_time(cfg: Any) -> Iterator[str]:
    """Say where DRAIN_DELAY takes what requests have by default."""
    left = cfg.graceful_timeout * (1 - SHUTDOWN_SHARE) - cfg.drain_delay
    if cfg.drain_delay and left < LEFT_BY_DEFAULT:
        yield (
            f"DRAIN_DELAY={cfg.drain_delay:g} leaves {left:g} s of GRACEFUL_TIMEOUT={cfg.graceful_timeout:g} to finish "
            "requests: GRACEFUL_TIMEOUT has to be 4/3 of DRAIN_DELAY and the longest request together"
        )


def _paths(cfg: Any) -> Iterator[Problem]:
    if cfg.live_path and cfg.live_path == cfg.ready_path:
        yield Problem(
            "LIVE_PATH", "is READY_PATH too, and while the server starts they say different things", cfg.live_path
        )


def _hosts(cfg: Any, origins: Origins) -> Iterator[Problem]:
    """Name the hosts that have no address: to bind them would fail, after a second for each of several attempts."""
    bind = origins["bind"]
    name = bind.origin.partition(" ")[0] if bind.source == ENVIRONMENT else f"bind ({bind.origin})"
    addresses = [(name, address) for address in cfg.address]
    addresses += [("METRICS_BIND", parse_address(cfg.metrics_bind))] if cfg.metrics_bind else []
    for name, address in addresses:
        try:
            if isinstance(address, tuple):
                _resolved(address[0])
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or error
            message = f"this host has no address ({why}); expected a name or an address of the container's own"
            yield Problem(name, message, address[0])


def _loopback(cfg: Any, origins: Origins) -> Iterator[str]:
    """Say that nobody can reach the server, where it listens on the loopback interface alone.

    A container that shares the host's network has bridges in it, and may well be meant to.
    """
    if not all(isinstance(address, tuple) and _is_loopback(address[0]) for address in cfg.address):
        return
    if any(INTERFACES.glob("*/bridge")):
        return
    bind = origins["bind"]
    given = f" ({bind.origin})" if bind.origin else ""
    yield (
        f"nobody outside this container can reach it: {', '.join(cfg.bind)}{given} is the loopback interface; "
        "0.0.0.0 is all of them"
    )


def _is_loopback(host: str) -> bool:
    try:
        return all(ipaddress.ip_address(found).is_loopback for found in _resolved(host))
    except (OSError, UnicodeError):
        return False


def _resolved(host: str) -> set[str]:
    """Return the addresses of a host, as Gunicorn finds them: a name stands for IPv4 (gunicorn/sock.py, TCPSocket).

    Raises:
        OSError: when it has none.
        UnicodeError: when it can have none.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return {str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(host, None, family)}


def _metrics(cfg: Any) -> Iterator[Problem]:
    if not cfg.metrics_bind:
        return
    metrics = parse_address(cfg.metrics_bind)
    for address, shown in zip(cfg.address, cfg.bind, strict=False):
        if _overlap(metrics, address):
            message = f"is where the application listens (BIND={shown}): expected a port of its own"
            yield Problem("METRICS_BIND", message, cfg.metrics_bind)


def _overlap(one: Any, other: Any) -> bool:
    """Tell whether two addresses, as Gunicorn has them, cannot both be listened on."""
    if not (isinstance(one, tuple) and isinstance(other, tuple)):
        return bool(one == other)
    hosts = {one[0], other[0]}
    return one[1] == other[1] != 0 and (len(hosts) == 1 or not hosts.isdisjoint(EVERYWHERE))


def _protocol(cfg: Any) -> Iterator[Problem]:
    if cfg.protocol != "http" and short_name(cfg.worker_class_str) in CLASSES:
        yield Problem("GUNICORN_PROTOCOL", "the image's own worker classes speak HTTP alone", cfg.protocol)


PARSER = "the image's front has a parser of its own"
HTTP2 = "the image's front has no HTTP/2 of Gunicorn's: see UVICORN_HTTP2"
HANDSHAKE = "the event loop does the TLS of the image's front"

FRONT_IGNORES = {
    "permit_obsolete_folding": PARSER,
    "strip_header_spaces": PARSER,
    "permit_unconventional_http_method": PARSER,
    "permit_unconventional_http_version": PARSER,
    "casefold_http_method": PARSER,
    "http_parser": "set UVICORN_HTTP instead",
    "http2_cleartext": HTTP2,
    "http2_max_concurrent_streams": HTTP2,
    "http2_initial_window_size": HTTP2,
    "http2_max_frame_size": HTTP2,
    "http2_max_header_list_size": HTTP2,
    "asgi_loop": "set UVICORN_LOOP instead",
    "asgi_lifespan": "set UVICORN_LIFESPAN instead",
    "asgi_disconnect_grace_period": "whoever serves a client that has gone is told so, and not cancelled",
    "websocket_max_message_size": "set UVICORN_WS_MAX_SIZE instead",
    "uwsgi_allow_ips": "the image's own worker classes speak HTTP alone",
    "sendfile": "the kernel sends files wherever it can",
    "suppress_ragged_eofs": HANDSHAKE,
    "do_handshake_on_connect": HANDSHAKE,
}
"""Gunicorn's settings that only its own worker classes know, and why or what to set instead."""

ALL_IGNORE = {
    "spew": "set LOG_LEVEL=debug, or use a debugger",
    "enable_stdio_inheritance": "it is for daemons, and a container runs one process in the foreground",
    "tmp_upload_dir": "Gunicorn itself does not look at it",
    "pre_exec": "SIGUSR2 starts no second server in a container",
    "enable_backlog_metric": "the image measures no backlog",
}
"""Gunicorn's settings that nothing in the image knows, whatever the worker class is."""

OF_STATSD = ("statsd_prefix", "dogstatsd_tags")
OF_SYSLOG = ("syslog_addr", "syslog_prefix", "syslog_facility", "disable_redirect_access_to_syslog")


def _ignored(cfg: Any) -> Iterator[str]:
    """Name the settings of Gunicorn's that have been given, and that nothing looks at."""
    ignored = ALL_IGNORE | (FRONT_IGNORES if short_name(cfg.worker_class_str) in CLASSES else {})
    if not cfg.syslog:
        ignored |= dict.fromkeys(OF_SYSLOG, "it needs GUNICORN_SYSLOG=true")
    if not cfg.statsd_host:
        ignored |= dict.fromkeys(OF_STATSD, "it needs GUNICORN_STATSD_HOST")
    if not cfg.reload:
        ignored |= dict.fromkeys(OF_RELOADER, OWN_RELOADER)
    if cfg.errorlog == "-":
        ignored["capture_output"] = "it needs ERROR_LOG with a path; the container's output has what is printed"
    for key, reason in ignored.items():
        if _is_given(cfg, key):
            name = key if callable(cfg.settings[key].get()) else f"GUNICORN_{key.upper()}"
            yield f"{name} has no effect: {reason}"


def _is_given(cfg: Any, key: str) -> bool:
    """Tell whether one of Gunicorn's settings has another value than its default."""
    setting = cfg.settings[key]
    return bool(setting.get() != type(setting)().get())


OWN_CLASSES_ONLY = (
    "drain_delay",
    "ready_path",
    "live_path",
    "max_worker_memory",
    "metrics_bind",
    "request_head_timeout",
    "request_body_timeout",
    "response_timeout",
)
"""Settings that Gunicorn's own worker classes know nothing of."""


def _other_classes(cfg: Any, origins: Origins) -> Iterator[Problem]:
    name = short_name(cfg.worker_class_str)
    if name in CLASSES:
        return
    for setting in map(BY_KEY.__getitem__, OWN_CLASSES_ONLY):
        if origins[setting.key].source != DEFAULT:
            reason = f"is for the image's own worker classes ({', '.join(CLASSES)})"
            yield Problem(setting.name, f"{reason}; WORKER_CLASS={name} would ignore {setting.name}")


REMOVED = ("eventlet", "egg:gunicorn#eventlet", "gunicorn.workers.geventlet.EventletWorker")
"""Names of a worker class of Gunicorn's that is no more."""


def _classes(cfg: Any) -> Iterator[Problem]:
    given = cfg.settings["worker_class"].get()
    if given in REMOVED:
        message = "Gunicorn has removed it: leave WORKER_CLASS unset, or set it to gevent and install that"
        yield Problem("WORKER_CLASS", message, given)
        return
    try:
        worker_class = cfg.worker_class
    except (Exception, SystemExit) as error:
        expected = "auto, uvicorn, gthread, another of Gunicorn's that is installed, or the path of a worker class"
        yield Problem(
            "WORKER_CLASS", f"cannot be loaded ({_reason(error)}); expected {expected}", short_name(str(given))
        )
    else:
        if not (isinstance(worker_class, type) and issubclass(worker_class, Worker)):
            yield Problem("WORKER_CLASS", "is not a worker class", short_name(str(given)))
    try:
        cfg.logger_class  # noqa: B018 (a property that loads the class)
    except (Exception, SystemExit) as error:
        name = str(cfg.settings["logger_class"].get())
        yield Problem("GUNICORN_LOGGER_CLASS", f"cannot be loaded ({_reason(error)}); expected a class's path", name)


def _reason(error: BaseException) -> str:
    """Return the exception's line: Gunicorn puts the whole traceback into the text of its own."""
    lines = re.findall(r"^[\w.]+(?:Error|Exception|Exit|Warning|NotFound)\b.*", str(error), re.MULTILINE)
    return lines[-1] if lines else f"{type(error).__name__}: {error}".splitlines()[0]


def _access_log_format(cfg: Any) -> Iterator[Problem]:
    try:
        if _has_own_atoms(cfg):
            # They are not known before there is a request.
            cfg.access_log_format % defaultdict(int)
        else:
            log_line.check(cfg.access_log_format)
    except (ValueError, TypeError) as error:
        yield Problem("ACCESS_LOG_FORMAT", f"{error}; expected {log_line.EXPECTED}", cfg.access_log_format)


def _has_own_atoms(cfg: Any) -> bool:
    try:
        return is_own_way(cfg.logger_class)
    except (Exception, SystemExit):
        # What cannot be loaded is another problem.
        return False


def _other_user(cfg: Any, origins: Origins) -> Iterator[Problem]:
    if os.geteuid() == 0:
        return
    for name, wanted, now in (("USER", cfg.uid, os.geteuid()), ("GROUP", cfg.gid, os.getegid())):
        if wanted != now:
            yield Problem(
                f"GUNICORN_{name}",
                f"only root can become another; start the container with --user instead (it runs as {now})",
                str(origins[name.lower()].value),
            )


def _uvicorn_packages(cfg: Any) -> Iterator[Problem]:
    for key, module in (("uvicorn_http", "zttp"), ("uvicorn_ws", "wsproto"), ("uvicorn_loop", "uvloop")):
        if getattr(cfg, key) == module and importlib.util.find_spec(module) is None:
            yield Problem(
                BY_KEY[key].name, f"the package {module} is not installed in the application's environment", module
            )
    if cfg.uvicorn_http2 and cfg.uvicorn_http != "zttp":
        yield Problem("UVICORN_HTTP2", "needs UVICORN_HTTP=zttp and the package zttp", "true")


def _http2(cfg: Any) -> Iterator[Problem]:
    kind = known_kind(cfg)
    if "h2" in cfg.http_protocols and not is_http2_available() and not (kind and kind_problems(cfg, kind)):
        version = ".".join(map(str, H2_MIN_VERSION))
        message = f"the package h2, {version} or newer, is not installed in the application's environment"
        yield Problem("GUNICORN_HTTP_PROTOCOLS", message, ",".join(cfg.http_protocols))


def _cleartext(cfg: Any) -> Iterator[str]:
    if "h2" in cfg.http_protocols and not cfg.is_ssl and cfg.http2_cleartext == "off":
        yield "GUNICORN_HTTP_PROTOCOLS has no effect without CERTFILE: clients ask for HTTP/2 in the TLS handshake"


def _gunicorn(cfg: Any) -> Iterator[Problem]:
    """What Gunicorn itself would find out with a traceback, or never."""
    try:
        cfg.env  # noqa: B018 (a property that takes raw_env apart)
    except RuntimeError:
        yield Problem("GUNICORN_RAW_ENV", "expected NAME=value, several separated by commas")
    for app in cfg.dirty_apps:
        if not re.fullmatch(r"\w+(\.\w+)*:\w+(:\d+)?", app):
            yield Problem("GUNICORN_DIRTY_APPS", "expected module:class or module:class:workers", app)
    if not cfg.worker_connections:
        yield Problem("GUNICORN_WORKER_CONNECTIONS", "expected 1 or more: none is served with it", "0")
    pidfile = os.path.dirname(os.path.abspath(cfg.pidfile)) if cfg.pidfile else None
    if pidfile and not os.access(pidfile, os.W_OK):
        yield Problem("GUNICORN_PIDFILE", f"the directory {pidfile} cannot be written", cfg.pidfile)
