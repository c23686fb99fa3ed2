"""Text of environment variables becomes values, or is refused with ValueError and nothing else."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.settings.parsers import (
    BindAddress,
    Boolean,
    Choice,
    Directory,
    Either,
    Headers,
    Integer,
    Items,
    JsonObject,
    LogConfig,
    LogFile,
    LogLevel,
    Parser,
    Port,
    ReadableFile,
    Rejected,
    Seconds,
    Text,
    TrustedProxies,
    WritableDirectory,
    nearest,
)


@pytest.mark.parametrize(
    ("parser", "text", "value"),
    [
        (Text(), "anything\nat all", "anything\nat all"),
        (Text("a word", r"\w+"), "word", "word"),
        (Integer(), "0", 0),
        (Integer(), "+7", 7),
        (Integer(), "007", 7),
        (Integer(1, 4), "1", 1),
        (Integer(1, 4), "4", 4),
        (Integer(-1), "-1", -1),
        (Port(), "65535", 65535),
        (Seconds(), "0", 0.0),
        (Seconds(), "0.25", 0.25),
        (Seconds(optional=True), "None", None),
        (Boolean(), "TRUE", True),
        (Boolean(), "1", True),
        (Boolean(), "yes", True),
        (Boolean(), "on", True),
        (Boolean(), "False", False),
        (Boolean(), "0", False),
        (Boolean(), "no", False),
        (Boolean(), "OFF", False),
        (Choice(("debug", "info")), "INFO", "info"),
        (Either("auto", Integer(1)), "Auto", "auto"),
        (Either("auto", Integer(1)), "3", 3),
        (Items(Integer(), "numbers"), "1, 2 ,3", [1, 2, 3]),
        (LogLevel(), "WARN", "warning"),
        (LogLevel(), "fatal", "critical"),
        (LogLevel(), "Trace", "trace"),
        (LogLevel(), "00", "notset"),
        (LogLevel(), "20", "info"),
        (LogLevel(), "21", "21"),
        (LogFile(), "-", "-"),
        (LogFile(), "None", None),
        (BindAddress(), "0.0.0.0:8000", "0.0.0.0:8000"),
        (BindAddress(), "localhost:0", "localhost:0"),
        (BindAddress(), "my-host.example:80", "my-host.example:80"),
        (BindAddress(), "[::]:8000", "[::]:8000"),
        (BindAddress(), "[fe80::1]:8000", "[fe80::1]:8000"),
        (BindAddress(), "fd://3", "fd://3"),
        (BindAddress(), "unix:/tmp/" + "a" * 102, "unix:/tmp/" + "a" * 102),
        (TrustedProxies(), "*", "*"),
        (TrustedProxies(), " * ", "*"),
        (TrustedProxies(), "10.0.0.1", "10.0.0.1,::ffff:10.0.0.1/128"),
        (TrustedProxies(), "10.0.0.0/8, ::1,", "10.0.0.0/8,::1,::ffff:10.0.0.0/104"),
        (Headers(), "{}", []),
        (Headers(), '{"X-A": "b", "X-C": ""}', [("X-A", "b"), ("X-C", "")]),
        (JsonObject(), '{"a": [1]}', {"a": [1]}),
    ],
)
def test_value(parser: Parser, text: str, value: object) -> None:
    parsed = parser(text)

    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("parser", "text"),
    [
        (Text("a word", r"\w+"), "two words"),
        (Integer(), ""),
        (Integer(), "-1"),
        (Integer(), "1.0"),
        (Integer(), "1_000"),
        (Integer(), "0x10"),
        (Integer(), "٣"),
        (Integer(), "1 "),
        (Integer(1, 4), "0"),
        (Integer(1, 4), "5"),
        (Port(), "65536"),
        (Seconds(), "none"),
        (Seconds(), "-1"),
        (Seconds(), "nan"),
        (Seconds(), "1e3"),
        (Seconds(), ".5"),
        (Seconds(most=10), "10.1"),
        (Boolean(), "2"),
        (Boolean(), "enabled"),
        (Choice(("debug", "info")), "loud"),
        (Either("auto", Integer(1)), "automatic"),
        (Items(Integer(), "numbers"), "1,,2"),
        (Items(Integer(), "numbers"), "1,"),
        (Items(Integer(), "numbers"), "1,two"),
        *((LogLevel(), text) for text in ("loud", "101", "-1", "2.0", "\u0661\u0660", "0x10", "level 5")),
        (LogFile(), "/nope/app.log"),
        (LogFile(), "/"),
        (LogConfig(), "/nope.json"),
        (LogConfig(), "/etc/hostname"),
        (ReadableFile(), "/nope"),
        (ReadableFile(), "/"),
        (Directory(), "/nope"),
        (Directory(), "/etc/passwd"),
        (WritableDirectory(), "/nope"),
        (WritableDirectory(), "/etc/passwd"),
        (BindAddress(), "8000"),
        (BindAddress(), ":8000"),
        (BindAddress(), "0.0.0.0:"),
        (BindAddress(), "0.0.0.0:port"),
        (BindAddress(), "0.0.0.0:65536"),
        (BindAddress(), "1.2.3:8000"),
        (BindAddress(), "::1:8000"),
        (BindAddress(), "[::1]"),
        (BindAddress(), "[nonsense]:8000"),
        (BindAddress(), "http://0.0.0.0:8000"),
        (BindAddress(), "unix:relative.sock"),
        (BindAddress(), "unix:/nope/app.sock"),
        (BindAddress(), "unix:/tmp"),
        (BindAddress(), "unix:/tmp/" + "a" * 103),
        (BindAddress(), "fd://"),
        (BindAddress(), "fd://-1"),
        (TrustedProxies(), ","),
        (TrustedProxies(), "*,10.0.0.0/8"),
        (TrustedProxies(), "10.0.0.1/8"),
        (TrustedProxies(), "proxy.example"),
        (TrustedProxies(), "10.0.0.0/33"),
        (Headers(), "X-A: b"),
        (Headers(), "[]"),
        (Headers(), '{"X-A": null}'),
        (Headers(), '{"X A": "b"}'),
        (Headers(), '{"": "b"}'),
        (Headers(), '{"X-A": "b\\r\\nX-C: d"}'),
        (Headers(), '{"X-A": "ü"}'),
        (JsonObject(), "1"),
        (JsonObject(), "{"),
    ],
)
def test_refused(parser: Parser, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the words are the caller's)
        parser(text)
    assert parser.expected


@given(
    st.sampled_from(
        [
            Integer(),
            Seconds(),
            Boolean(),
            Choice(("a",)),
            LogFile(),
            BindAddress(),
            Port(),
            TrustedProxies(),
            Headers(),
            ReadableFile(),
            Directory(),
            WritableDirectory(),
            Items(BindAddress(), "addresses"),
        ]
    ),
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1)
    | st.text("0123456789.:/[]*,-+unixfd@{}\"' ", min_size=1),
)
def test_nothing_but_value_error(parser: Parser, text: str) -> None:
    with suppress(ValueError):
        parser(text)


@pytest.mark.parametrize(
    ("parser", "expected"),
    [
        (Integer(), "a whole number, 0 or more"),
        (Integer(1, 8), "a whole number from 1 to 8"),
        (Integer(1, unit="bytes"), "a whole number of bytes, 1 or more"),
        (Seconds(), "seconds from 0 to 86400"),
        (Seconds(optional=True), "seconds from 0 to 86400, or none"),
        (Choice(("a", "b", "c")), "a, b or c"),
        (Either("auto", Integer(1, 8)), "auto, or a whole number from 1 to 8"),
    ],
)
def test_expected(parser: Parser, expected: str) -> None:
    assert parser.expected == expected


def test_files_and_directories_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("text")

    assert ReadableFile()(str(file)) == str(file)
    assert Directory()(f"{tmp_path}/./") == str(tmp_path)
    assert WritableDirectory()(str(tmp_path)) == str(tmp_path)
    assert LogFile()(str(file)) == str(file)
    assert LogFile()(str(tmp_path / "new.log")) == str(tmp_path / "new.log")
    assert BindAddress()(f"unix:{tmp_path}/app.sock") == f"unix:{tmp_path}/app.sock"


def test_what_this_user_may_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    # Root may read and write everything.
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    parsers = ((Directory(), tmp_path), (WritableDirectory(), tmp_path), (LogFile(), file), (ReadableFile(), file))
    for parser, path in parsers:
        with pytest.raises(Rejected, match=f"by user {os.getuid()}"):
            parser(str(path))


def test_a_file_in_a_directory_that_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError

    # Root may look everywhere.
    monkeypatch.setattr(os, "stat", refuse)

    with pytest.raises(Rejected, match=f"is in a directory that is closed to user {os.getuid()}"):
        ReadableFile()(str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("name", "known", "edits", "found"),
    [
        ("WORKER", ["WORKERS", "THREADS"], 1, "WORKERS"),
        ("WOKRERS", ["WORKERS"], 1, "WORKERS"),
        ("WRKRS", ["WORKERS"], 1, None),
        ("WRKRS", ["WORKERS"], 2, "WORKERS"),
        ("TIMEOUT", ["TIMEOUT", "TIMEOUTS"], 1, "TIMEOUTS"),
        ("KEEPALIVE", ["KEEP_ALIVE", "KEEPALIVED"], 1, "KEEPALIVED"),
        ("ANYTHING", [], 3, None),
    ],
)
def test_nearest(name: str, known: list[str], edits: int, found: str | None) -> None:
    assert nearest(name, known, edits) == found


@given(st.text("abcd", max_size=6), st.text("abcd", max_size=6))
def test_nearest_is_symmetric(a: str, b: str) -> None:
    assert (nearest(a, [b], 2) is None) == (nearest(b, [a], 2) is None)
