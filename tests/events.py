"""The lines that a container writes, taken apart: the access log's are none of these in text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

EVENT = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d) "
    r"\[(?P<level>[A-Z]+)\] \[(?P<pid>\d+)\] (?P<logger>[\w.]+): (?P<message>.*)"
)

KEYS = {"time", "level", "logger", "pid", "message"}
"""What every line of JSON has."""


@dataclass
class Event:
    """One event of LOG_FORMAT=text; `block` is its traceback, without the indentation."""

    time: str
    level: str
    pid: int
    logger: str
    message: str
    block: list[str] = field(default_factory=list)


def text_events(log: str) -> list[Event]:
    """Return the events of a text log; fail on a line that is neither one nor indented behind one."""
    found: list[Event] = []
    for line in log.splitlines():
        if match := EVENT.fullmatch(line):
            found.append(Event(**{**match.groupdict(), "pid": int(match["pid"])}))
        else:
            assert line.startswith("  "), f"no event: {line!r}"
            assert found, f"begins with no event: {line!r}"
            found[-1].block.append(line[2:])
    return found


def json_events(log: str) -> list[dict[str, Any]]:
    """Return the events of a JSON log; fail on a line that is none."""
    found = []
    for line in log.splitlines():
        event = json.loads(line, parse_constant=_no_json)
        assert set(event) >= KEYS, line
        assert isinstance(event["pid"], int)
        found.append(event)
    return found


def _no_json(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def said(log: str, level: str = "ERROR") -> list[str]:
    """Return what the image itself says in a text log, of which there must be nothing else, all of one level."""
    events = text_events(log)
    assert all((event.logger, event.level) == ("paddock", level) for event in events), log
    return [event.message for event in events]
