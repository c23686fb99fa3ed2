"""The access log: a line for each request when it is over."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from gunicorn import glogging

from paddock.http import ids, traces
from paddock.http.record import Record
from paddock.logs.atoms import ATOMS, compiled, function_of, readable, request_line
from paddock.logs.fast import scope_line, scope_object
from paddock.logs.lines import LAST_PATIENCE, PIECE, Lines
from paddock.settings.classes import is_own_way
from paddock.settings.environment import own
from paddock.settings.log_line import DEFAULT_LINE, JSON
from paddock.text.formats import iso
from paddock.text.output import FileHandler, OutputHandler

ACCESS_LOGGER = "gunicorn.access"


LONGEST_LINE = PIECE[OutputHandler]
"""Bytes of the longest line: one that a pipe does not take whole would be mixed with those of other workers."""

SHORT = LONGEST_LINE // 4 - 1
"""Characters that are never more bytes than LONGEST, whatever they are."""

CUT = "…"


class AccessLog:
    """Writes the line of each record: straight to the output, or through logging where somebody configured that."""

    later: Callable[[Callable[[], None]], Any] | None = None
    """What calls a function at the end of the event loop's turn; None writes each line at once."""

    def __init__(
        self,
        log: glogging.Logger,
        log_format: str,
        line: str,
        request_id_header: str | None,
        exclude: Exclude | None = None,
        health: bool = False,
    ) -> None:
        """Write by Gunicorn's logger `log` the lines that ACCESS_LOG_FORMAT, `line`, and LOG_FORMAT want.

        `exclude` are paths that get none; `health` says whether the image's own health check gets lines.
        """
        self.exclude = exclude
        self.health = health
        self.log = log
        self.logger = log.access_log
        self.id_field = (request_id_header or "X-Request-ID").lower()
        if line == DEFAULT_LINE:
            # What a client sends where ids are off is any text, and stands in no quotes.
            shown = f"%({{{self.id_field}}}i)s" if request_id_header else "-"
            line = JSON if log_format == JSON else line.replace("%({x-request-id}i)s", shown)
        self.format = line
        self.line: Callable[..., str]
        self.has_own_way = is_own_way(type(log))
        if line == JSON or self.has_own_way:
            self.line = self.object
        else:
            self.template, self.values = compiled(line)
            self.line = self.wrapped if log_format == JSON else self.text
        self.first_line: Callable[[Record], str] = self.line
        """What makes a line at first; one that is too long is made again by `line`."""
        self.handlers = list(self.logger.handlers)
        handler = self.handlers[0] if len(self.handlers) == 1 else None
        self.formatter = handler.formatter if handler else None
        self.over: list[Record] = []
        """Those of this turn."""
        self.lines: Lines | None = None
        if isinstance(handler, OutputHandler | FileHandler) and type(handler) in PIECE and not self.has_own_way:
            self.lines = Lines(handler)

    def ended(self, record: Record) -> None:
        """Write the line of a record, now or at the end of the turn; see `Observer`."""
        if not self.over:
            # What goes through logging does so in the context of its request.
            if self.later is None or not self.is_direct():
                self.add(record)
                self.write()
                return
            self.later(self.end_turn)
        self.over.append(record)

    def end_turn(self) -> None:
        """Write the lines of a turn of the event loop: one after the other they cost less than among the requests."""
        self.flush(patience=0)

    def flush(self, patience: float = LAST_PATIENCE) -> None:
        """Write what there is, and wait for a reader so many seconds at most."""
        over, self.over = self.over, []
        for record in over:
            try:
                self.add(record)
            except Exception:
                self.log.exception("A line of the access log has failed")
        self.write(patience)

    def add(self, record: Record) -> None:
        """Put the line of a record, if it gets one, behind those to write."""
        if record.is_own and (record.unlogged or not self.health):
            return
        if self.exclude and self.exclude.holds(record.path):
            return
        lines = self.lines
        if lines is None or not (lines.fresh or self.is_direct()):
            self.hand_over(record)
            return
        line = self.first_line(record)
        if len(line) > SHORT and len(line.encode("utf-8", "backslashreplace")) >= LONGEST_LINE:
            line = self.shortened(record)
        lines.fresh.append(line + "\n")

    def write(self, patience: float = 0.0) -> None:
        """Write the lines that wait, as far as the output takes them within so many seconds."""
        if self.lines:
            self.lines.flush(patience)

    def serve_scopes(self, root_path: str, later: Callable[[Callable[[], None]], Any]) -> None:
        """Write the lines on an event loop, together at the end of its turn, which `later` is for."""
        self.later = later
        if self.line == self.text:
            self.first_line = scope_line(self.format, root_path, self.text)
        elif self.line == self.object and not self.has_own_way:
            self.first_line = scope_object(ACCESS_LOGGER, root_path, self.id_field, self.object)

    def is_direct(self) -> bool:
        """Tell whether logging has nothing to add: applications may put handlers, filters or levels there."""
        logger, handlers = self.logger, self.logger.handlers
        return (
            self.lines is not None
            and handlers == self.handlers
            and handlers[0].formatter is self.formatter
            and not handlers[0].filters
            and not logger.filters
            and logger.isEnabledFor(logging.INFO)
        )

    def hand_over(self, record: Record) -> None:
        """Hand the record over to Python's logging, or to the user's own `Logger`."""
        if self.has_own_way:
            request, answer = (SimpleNamespace(headers=headers) for headers in record.headers())
            answer.status, answer.sent = str(record.status), record.sent
            self.log.access(answer, request, record.environ(), timedelta(seconds=record.seconds))
            return
        if not self.logger.isEnabledFor(logging.INFO):
            return
        message, arguments = ("%s", (self.object(record),)) if self.format == JSON else (self.format, (Atoms(record),))
        self.logger.handle(
            self.logger.makeRecord(
                *(self.logger.name, logging.INFO, __file__, 0, message, arguments, None), extra=self.fields(record)
            )
        )

    # The lines. `most` is the number of characters after which what a client has sent is cut.

    def text(self, record: Record, most: int | None = None) -> str:
        """Return the line that ACCESS_LOG_FORMAT describes."""
        if most is None:
            return self.template % tuple([value(record) for value in self.values])
        return self.template % tuple([cut(value(record), most, "\\") for value in self.values])

    def wrapped(self, record: Record, most: int | None = None) -> str:
        """Return the line as the message of a JSON object."""
        fields = {**head(), "message": self.text(record, most)}
        if request_id := self.request_id(record):
            fields["request_id"] = cut(request_id, most)
        return encode(fields | traces.of_record(record))

    def object(self, record: Record, most: int | None = None) -> str:
        """Return a JSON object with everything that is known of the record."""
        fields = self.fields(record)
        message = f"{request_line(record)} {record.status}"
        line = {**head(), "message": message, **fields}
        return encode(line if most is None else {key: cut(value, most) for key, value in line.items()})

    def fields(self, record: Record) -> dict[str, Any]:
        """Return what is known of the record; None is what there is not."""
        path = readable(record.path)
        found: dict[str, Any] = {
            "client": record.client or None,
            "method": record.method or None,
            "path": path or None,
            "query": readable(record.query) or None,
            "protocol": record.protocol or None,
            "status": record.status,
            "bytes": record.sent,
            "duration": round(record.seconds, 6),
            "referer": record.field("referer"),
            "user_agent": record.field("user-agent"),
            "request_id": self.request_id(record),
        }
        for key in ("referer", "user_agent", "request_id"):
            if value := found[key]:
                found[key] = readable(value)
        return found | traces.of_record(record)

    def request_id(self, record: Record) -> str | None:
        """Return the record's id, if it has one."""
        return record.request_id or record.field(self.id_field)

    def shortened(self, record: Record) -> str:
        """Return the line with what is long in it cut, so that it is LONGEST bytes at most, with its end."""
        most = LONGEST_LINE // 2
        while True:
            line = self.line(record, most)
            if most == 1 or len(line.encode("utf-8", "backslashreplace")) < LONGEST_LINE:
                return line
            most //= 2


class Exclude:
    """The paths of ACCESS_LOG_EXCLUDE, which are the same whether or not a proxy strips ROOT_PATH."""

    def __init__(self, paths: list[str], root_path: str) -> None:
        paths = [*paths, *(root_path + path for path in paths)]
        self.exact = frozenset(path for path in paths if not path.endswith("*"))
        self.beginnings = tuple(path[:-1] for path in paths if path.endswith("*"))

    def holds(self, path: str) -> bool:
        """Tell whether a path, of which each character is a byte, is one of them."""
        path = readable(path)
        return path in self.exact or path.startswith(self.beginnings)


class Atoms(Mapping[str, Any]):
    """The atoms of a record, made when a format asks for them."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def __getitem__(self, atom: str) -> Any:
        value = function_of(atom)
        return "-" if value is None else value(self.record)

    def __iter__(self) -> Iterator[str]:
        return iter(ATOMS)

    def __len__(self) -> int:
        return len(ATOMS)


def access_log(log: glogging.Logger, cfg: Any) -> AccessLog | None:
    """Return the access log that Gunicorn's logger `log` and its configuration `cfg` want; None where it is off."""
    if not log.access_log_enabled:
        return None
    paths = own(cfg, "access_log_exclude")
    return AccessLog(
        log,
        own(cfg, "log_format"),
        cfg.access_log_format,
        ids.header(own(cfg, "request_id_header")),
        Exclude(paths, cfg.root_path) if paths else None,
        own(cfg, "access_log_health"),
    )


def cut(value: Any, most: int | None, escape: str = "") -> Any:
    """Return a text as at most so many characters, none of them a half of what `escape` begins; else what it is."""
    if most is None or not isinstance(value, str) or len(value) <= most:
        return value
    return value[: most - 1].rstrip(escape or None) + CUT


def head() -> dict[str, Any]:
    """Return what every line of JSON begins with."""
    return {"time": iso(time.time()), "level": "info", "logger": ACCESS_LOGGER, "pid": os.getpid()}


encode = json.JSONEncoder(separators=(", ", ": ")).encode
