"""How records look: what cannot break a line of JSON, and what cannot forge a line of text."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import KEYS, json_events, text_events
from paddock.logs.formats import JsonFormatter, TextFormatter

FORGED = "2026-11-21T12:00:00.000+00:00 [INFO] [1] gunicorn: Ready"

LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def record(message: object = "hello", *args: object, logger: str = "shop", **options: Any) -> logging.LogRecord:
    """A record as the method `info` of the logger of that name makes it."""
    log = logging.Logger(logger)
    return log.makeRecord(logger, logging.INFO, "/app/shop.py", 7, message, args, **{"exc_info": None} | options)


def as_json(*args: Any, **options: Any) -> dict[str, Any]:
    """The one object of a record's one line."""
    line = JsonFormatter().format(record(*args, **options))
    assert line.encode()
    assert len(line.splitlines()) == 1
    (event,) = json_events(line)
    return event


def as_text(*args: Any, **options: Any) -> str:
    """The text of a record."""
    return TextFormatter().format(record(*args, **options))


def failure() -> Any:
    """An exception with an own line end and what looks like an event in its text."""
    try:
        raise LookupError(f"no such order\n{FORGED}\r{FORGED}")
    except LookupError:
        return sys.exc_info()


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("has no text")

    __repr__ = __str__


class Failing(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise OSError

    def __iter__(self) -> Any:
        raise OSError

    def __len__(self) -> int:
        return 1


def circle() -> list[Any]:
    """A list that holds itself."""
    items: list[Any] = [1]
    items.append(items)
    return items


def deep() -> list[Any]:
    """Lists in lists, deeper than Python's stack."""
    items: list[Any] = []
    for _ in range(10_000):
        items = [items]
    return items


# --- JSON ---


def test_json() -> None:
    event = as_json("order %d", 7, extra={"order": 7, "items": ["a", None, True, 1.5]}, logger="shop.orders")

    assert set(event) == KEYS | {"order", "items"}
    assert (event["level"], event["logger"], event["message"]) == ("info", "shop.orders", "order 7")
    assert (event["order"], event["items"]) == (7, ["a", None, True, 1.5])


def test_json_has_the_traceback_inside() -> None:
    event = as_json(exc_info=failure(), sinfo="Stack (most recent call last):\n  here")

    assert event["message"] == "hello"
    assert event["exception"].startswith("Traceback (most recent call last):\n")
    assert event["exception"].endswith(FORGED)
    assert event["stack"] == "Stack (most recent call last):\n  here"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        ([math.inf, {"x": math.nan}], ["inf", {"x": "nan"}]),
        (b"caf\xc3\xa9 \xff", "café \\xff"),
        ("half a pair \ud800", "half a pair \\ud800"),
        ({"\udcff": "\udcff"}, {"\\udcff": "\\udcff"}),
        ({(1, 2): {3}}, {"(1, 2)": [3]}),
        (circle(), [1, "…"]),
        pytest.param(10**5000, hex(10**5000), id="digits"),
        (Unprintable(), "<Unprintable without text: RuntimeError>"),
        ({"x": Unprintable()}, {"x": "<Unprintable without text: RuntimeError>"}),
        (LINE_ENDS, LINE_ENDS),
        ("naïve 🐎", "naïve 🐎"),
    ],
)
def test_extra_fields_are_kept_whatever_they_are(value: object, written: object) -> None:
    assert as_json(extra={"field": value})["field"] == written


@pytest.mark.parametrize("value", [deep(), Failing()], ids=["deep", "failing"])
def test_extra_fields_that_cannot_be_written_lose_no_record(value: object) -> None:
    event = as_json(extra={"field": value, "order": 7})

    assert "field" in event
    assert (event["message"], event["order"]) == ("hello", 7)


def test_extra_fields_overwrite_nothing_and_are_not_lost() -> None:
    own = {"time": "mine", "level": "mine", "logger": "mine", "pid": "mine", "exception": "mine", "time_": "too"}
    event = as_json(extra=own, exc_info=failure())

    assert (event["level"], event["logger"]) == ("info", "shop")
    assert event["exception"].startswith("Traceback")
    assert [event[f"{key}_"] for key in ("level", "logger", "pid", "exception")] == ["mine"] * 4
    assert {event["time_"], event["time__"]} == {"mine", "too"}


def test_other_names_for_the_same_field_are_kept_apart() -> None:
    made = record()
    vars(made).update({7: "number", "7": "text"})
    (event,) = json_events(JsonFormatter().format(made))

    assert {event["7"], event["7_"]} == {"number", "text"}


def test_only_uvicorns_colours_are_left_out() -> None:
    assert "color_message" not in as_json(logger="uvicorn.error", extra={"color_message": "x"})
    assert as_json(extra={"color_message": "x"})["color_message"] == "x"


def test_what_another_handler_adds_is_no_field() -> None:
    made = record()
    logging.Formatter("%(asctime)s %(message)s").format(made)

    assert set(json.loads(JsonFormatter().format(made))) == KEYS


TEXT = st.text(st.characters(exclude_categories=()))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(),
    lambda items: st.lists(items) | st.dictionaries(TEXT | st.integers(), items),
    max_leaves=8,
)


@given(TEXT, VALUES)
def test_any_record_is_one_line_of_json(message: str, value: object) -> None:
    event = as_json(message, extra={"field": value})

    assert "field" in event


# --- Text ---


def test_text() -> None:
    (event,) = text_events(as_text("order %d", 7, logger="gunicorn.error"))

    assert (event.level, event.logger, event.message, event.block) == ("INFO", "gunicorn", "order 7", [])


@given(TEXT)
def test_a_message_is_one_line_of_text(message: str) -> None:
    line = as_text("%s", f"x{message}x")
    assert len(line.splitlines()) == 1
    assert line.encode()


def test_a_message_cannot_forge_a_line_or_move_the_cursor() -> None:
    (event,) = text_events(as_text(f"user\n{FORGED}\r\x1b[2K{FORGED} \u202e\ttab"))

    assert event.message == f"user\\n{FORGED}\\r\\x1b[2K{FORGED} \\u202e\ttab"


def test_a_traceback_cannot_forge_a_line() -> None:
    (event,) = text_events(as_text("failed", exc_info=failure()))

    assert event.message == "failed"
    assert event.block[0] == "Traceback (most recent call last):"
    assert event.block[-1] == f"{FORGED}\\r{FORGED}"


def test_a_stack_is_indented() -> None:
    (event,) = text_events(as_text("here", sinfo=f"Stack (most recent call last):\n{FORGED}"))

    assert event.block == ["Stack (most recent call last):", FORGED]


# --- Both ---

TRACE = 'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\nValueError: wrong'


@pytest.mark.parametrize(
    ("message", "shown"),
    [(f"It failed:\n{TRACE}\n", "It failed:"), (TRACE, "ValueError: wrong")],
    ids=["after", "alone"],
)
def test_a_traceback_in_the_message_is_one(message: str, shown: str) -> None:
    event = as_json("%s", message)
    assert (event["message"], event["exception"]) == (shown, TRACE)
    (text,) = text_events(as_text("%s", message))
    assert (text.message, text.block) == (shown, TRACE.splitlines())


def test_a_message_whose_arguments_do_not_fit_is_not_lost() -> None:
    message = as_json("%d orders of %s", "seven")["message"]

    assert message.startswith("%d orders of %s with the arguments ('seven',) (TypeError(")
    assert message.endswith("in /app/shop.py:7)")


def test_a_message_without_text_is_not_lost() -> None:
    assert as_json(Unprintable())["message"].startswith(
        "<Unprintable without text: RuntimeError> with the arguments ()"
    )


def test_an_exception_that_is_none_is_none() -> None:
    assert "exception" not in as_json(exc_info=(None, None, None))


def test_a_record_from_a_queue_keeps_its_traceback() -> None:
    made = record()
    made.exc_text = TRACE

    assert json.loads(JsonFormatter().format(made))["exception"] == TRACE
