"""One format for everything that the servers, the image and Python's logging print."""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from datetime import datetime
from typing import Any, TextIO

from gunicorn import glogging

from paddock.settings import own

OUTPUT_PATIENCE = 1.0
"""Seconds that a line of the log waits for somebody to read the output before lines are lost."""

NAMES = {"gunicorn.error": "gunicorn", "uvicorn.error": "uvicorn"}
"""Loggers whose name would look like a severity."""

SERVERS = ("gunicorn.error", "gunicorn.access", "uvicorn.error")
"""The servers' own loggers."""

UNLOGGED = "paddock.unlogged"
"""The key in a WSGI environ that keeps its request out of the access log."""

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}
"""What every record has; anything else was given by the caller as `extra`."""


def iso(seconds: float) -> str:
    """Return a time, in seconds since the epoch, as ISO 8601 with milliseconds and the local zone's offset."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds")


class TextFormatter(logging.Formatter):
    """A line for people: time, level, process, logger, message; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        record.message = f"{iso(record.created)} [{record.levelname}] [{record.process}] {name(record)}: "
        text = record.message + record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        if record.stack_info:
            text += "\n" + self.formatStack(record.stack_info)
        return text


class JsonFormatter(logging.Formatter):
    """A line for machines: one JSON object with time, level, logger, pid, message, `exception` and any extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        fields: dict[str, Any] = {
            "time": iso(record.created),
            "level": record.levelname.lower(),
            "logger": name(record),
            "pid": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        fields |= {key: value for key, value in vars(record).items() if key not in STANDARD and key not in fields}
        return json.dumps(fields, default=str)


def name(record: logging.LogRecord) -> str:
    """Return the name of the record's logger as the log shows it."""
    return NAMES.get(record.name, record.name)


FORMATTERS: dict[str, type[logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}


def formatter(log_format: str) -> logging.Formatter:
    """Return the formatter for a value of LOG_FORMAT."""
    return FORMATTERS[log_format]()


class _Failing(logging.Handler):
    """Says once that the log cannot be written, where Python's own handlers print a traceback for each line."""

    failed = ""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say what went wrong with `record`, unless it is what went wrong with the one before."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        if self.failed != (reason := error.strerror or type(error).__name__):
            self.failed = reason
            with suppress(OSError, ValueError):
                print(
                    f"paddock: error: the log cannot be written, lines are lost: {reason}", file=sys.stderr, flush=True
                )


class FileHandler(_Failing, logging.FileHandler):
    """Appends to a file; a full disk loses lines, and nothing else."""


class OutputHandler(_Failing, logging.StreamHandler[TextIO]):
    """Writes to the container's output, and never waits for long when nobody reads that: it would hold up requests.

    Each write is of at most PIPE_BUF bytes, so that a pipe that can be written takes it whole.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.descriptor = stream.fileno()
        self.writable = select.poll()
        self.writable.register(self.descriptor, select.POLLOUT)
        self.blocked = False
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or lose it when the output takes none."""
        try:
            line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
            if self.lost and self.is_writable():
                lost, self.lost = self.lost, 0
                self.write(f"paddock: warning: {lost} lines of the log are lost, nobody read it\n".encode())
            if not self.write(line):
                self.lost += 1
        except Exception:
            self.handleError(record)

    def write(self, line: bytes) -> bool:
        """Write `line`; return whether all of it was taken."""
        for start in range(0, len(line), select.PIPE_BUF):
            if not self.is_writable():
                return False
            os.write(self.descriptor, line[start : start + select.PIPE_BUF])
        return True

    def is_writable(self) -> bool:
        """Tell whether a write would go through at once; wait a little for that, unless it was in vain before."""
        self.blocked = not self.writable.poll(0 if self.blocked else OUTPUT_PATIENCE * 1000)
        return not self.blocked


def replaced(handler: logging.Handler) -> logging.Handler:
    """Return the image's own handler in place of one of Gunicorn's; any other is returned as it is."""
    if type(handler) is logging.FileHandler:
        handler.close()
        return FileHandler(handler.baseFilename)
    if type(handler) is logging.StreamHandler:
        try:
            return OutputHandler(handler.stream)
        except (OSError, ValueError):
            return handler
    return handler


class ServerLogger(logging.Logger):
    """A logger that cannot be disabled.

    `dictConfig` and `fileConfig` disable every logger that they do not name, unless told not to, and applications call
    them: a failed start would have no reason, and there would be neither tracebacks nor an access log.
    https://docs.python.org/3/library/logging.config.html#dictionary-schema-details
    """

    @property
    def disabled(self) -> bool:
        """Always False."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        pass


class Logger(glogging.Logger):  # type: ignore[misc]
    """Gunicorn's logger, with the image's format, for the application's loggers and Uvicorn's as well."""

    own_handlers: tuple[logging.Handler, ...] = ()

    def setup(self, cfg: Any) -> None:
        """Make the handlers that `cfg` asks for. A user's own logging configuration is obeyed and left alone."""
        super().setup(cfg)
        if cfg.logconfig or cfg.logconfig_dict or cfg.logconfig_json:
            return
        log_format = own(cfg, "log_format")
        access = formatter("json") if log_format == "json" else logging.Formatter("%(message)s")
        for log, form in ((self.error_log, formatter(log_format)), (self.access_log, access)):
            log.handlers = [replaced(handler) for handler in log.handlers]
            for handler in log.handlers:
                handler.setFormatter(form)
                # How Gunicorn knows the handlers that it shall remove when it is set up again.
                handler._gunicorn = True
        self.adopt()

    def access(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: Any) -> None:
        """Write the access log's line for a WSGI request, but for those that the image answers itself."""
        if UNLOGGED not in environ:
            super().access(resp, req, environ, request_time)

    def adopt(self) -> None:
        """Send what the application and Uvicorn log to the same place as the server's own log.

        The application may configure the root logger in another way, which then holds for itself alone.
        """
        root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn.error")
        for log in (root, uvicorn):
            for handler in self.own_handlers:
                log.removeHandler(handler)
            for handler in self.error_log.handlers:
                log.addHandler(handler)
            log.setLevel(self.loglevel)
        self.own_handlers = tuple(self.error_log.handlers)
        uvicorn.propagate = False
        for name in SERVERS:
            logging.getLogger(name).__class__ = ServerLogger
        logging.captureWarnings(True)


Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class AccessLog:
    """ASGI middleware that writes a line for each request, in Gunicorn's format, when its answer is complete.

    Uvicorn's own access log has neither duration nor size, and ignores `ACCESS_LOG_FORMAT`
    (https://github.com/Kludex/uvicorn/issues/527).
    """

    def __init__(self, application: Any, log: Logger) -> None:
        self.application = application
        self.log = log
        self.line = log.cfg.access_log_format

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        answer = Answer(send)
        started = time.perf_counter()
        try:
            await self.application(scope, receive, answer.send)
        finally:
            self.log.access_log.info(self.line % Atoms(scope, answer, time.perf_counter() - started))


class Answer:
    """What was sent for one request."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 500
        self.size = 0
        self.headers: list[tuple[bytes, bytes]] = []

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Pass `message` on and take note of it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self.size += len(message.get("body", b""))
        await self._send(message)


class Atoms:
    """Gunicorn's atoms for one request, each made when the format asks for it.

    https://gunicorn.org/reference/settings/#access_log_format
    """

    def __init__(self, scope: Scope, answer: Answer, seconds: float) -> None:
        self.scope = scope
        self.answer = answer
        self.seconds = seconds

    def __getitem__(self, key: str) -> Any:
        """Return the atom `key`, `-` for what there is not."""
        value = self._headers(key) if key.startswith("{") else self._atom(key)
        return escape(value) if isinstance(value, str) else value

    def _headers(self, key: str) -> str:
        wanted, kind = key[1:-2].lower().encode("latin-1", "replace"), key[-1]
        headers = {"i": self.scope["headers"], "o": self.answer.headers}.get(kind, ())
        return next((value.decode("latin-1") for header, value in headers if header.lower() == wanted), "-")

    def _atom(self, key: str) -> Any:
        scope, answer = self.scope, self.answer
        match key:
            case "h":
                return scope["client"][0] if scope.get("client") else "-"
            case "t":
                return time.strftime("[%d/%b/%Y:%H:%M:%S %z]")
            case "r":
                return f"{scope['method']} {self._target()} HTTP/{scope['http_version']}"
            case "s":
                return answer.status
            case "m":
                return scope["method"]
            case "U":
                return scope["path"]
            case "q":
                return scope["query_string"].decode("latin-1")
            case "H":
                return f"HTTP/{scope['http_version']}"
            case "b":
                return str(answer.size) if answer.size else "-"
            case "B":
                return answer.size
            case "f":
                return self._headers("{referer}i")
            case "a":
                return self._headers("{user-agent}i")
            case "T":
                return int(self.seconds)
            case "D":
                return int(self.seconds * 1_000_000)
            case "M":
                return int(self.seconds * 1000)
            case "L":
                return f"{self.seconds:.6f}"
            case "p":
                return f"<{os.getpid()}>"
        return "-"

    def _target(self) -> str:
        path = (self.scope.get("raw_path") or self.scope["path"].encode()).decode("latin-1")
        query = self.scope["query_string"].decode("latin-1")
        return f"{path}?{query}" if query else path


def escape(text: str) -> str:
    """Return `text` so that it can neither end the line nor the quotes it stands in."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return json.dumps(text)[1:-1]
