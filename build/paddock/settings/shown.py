"""What may be shown of the settings: more people read errors, warnings, `paddock config` and the log than secrets.

A value is shown where the type of its setting has no room for a secret. What came from a file is shown as that
file's content only: whoever mounts the wrong one finds the wrong secret in the log.
"""

from __future__ import annotations

import re
from typing import Any

from paddock.errors import Problem
from paddock.settings import app_module
from paddock.settings.parsers import Boolean, Choice, Either, Integer, LogLevel, Parser, Seconds, Size
from paddock.settings.table import BY_KEY, BY_NAME, OWN_PREFIX, SETTINGS

HIDDEN = "(not shown)"

PLAIN_TEXT = frozenset(
    (
        *(
            "asgi_lifespan",
            "asgi_loop",
            "chdir",
            "config",
            "control_socket",
            "dirty_apps",
            "forwarder_headers",
            "group",
        ),
        *("header_map", "http2_cleartext", "http_parser", "http_protocols", "logconfig", "logconfig_json"),
        *("logger_class", "paste", "pidfile", "protocol", "pythonpath", "reload_engine", "reload_extra_files"),
        *("ssl_version", "statsd_host", "syslog_addr", "syslog_facility", "tmp_upload_dir", "user", "uwsgi_allow_ips"),
    )
)
"""Gunicorn's settings that hold text which is a choice, a name, an address or a path."""


def looks_secret(name: str) -> bool:
    """Tell whether the value of the variable `name` must not be shown; that of a name which no setting has, never."""
    plain = name.removeprefix(OWN_PREFIX)
    for setting in SETTINGS:
        if plain in setting.names:
            return setting.secret
    key = plain.removeprefix("GUNICORN_").lower()
    return not (plain.startswith("GUNICORN_") and is_plain(key))


def shown_text(name: str, text: str) -> str | None:
    """Return what may be shown of `text`, which the variable `name` holds; None where that is nothing."""
    if looks_secret(name):
        return None
    return app_module.shown(text) if name.removeprefix(OWN_PREFIX) in BY_NAME["APP_MODULE"].names else text


def is_plain(key: str) -> bool:
    """Tell whether Gunicorn's setting `key`, which the table does not have, has no room for a secret."""
    from gunicorn import config  # 80 ms, which commands that only pass secrets on do without

    known = {setting.name: setting for setting in config.KNOWN_SETTINGS}
    setting = known.get(key)
    if setting is None:
        return False
    typed = setting.type is not None and setting.type is not str
    return typed or (setting.action or "").startswith("store_") or key in PLAIN_TEXT


def presentable(key: str, value: Any, path: str = "") -> Any:
    """Return what may be shown of the `value` of the setting that Gunicorn's configuration has as `key`.

    `path` is the file that the value came from, if it did.
    """
    if not value and not isinstance(value, str):
        return value
    setting = BY_KEY.get(key)
    if path and not (setting and is_bounded(setting.parser)):
        return content(path)
    if setting.secret if setting else not (callable(value) or is_plain(key)):
        return HIDDEN
    if key == "wsgi_app":
        return app_module.shown(str(value))
    return value


def is_bounded(parser: Parser) -> bool:
    """Tell whether all that a parser takes are numbers, switches and words of the image's."""
    if isinstance(parser, Either):
        return is_bounded(parser.otherwise)
    return isinstance(parser, Boolean | Choice | Integer | LogLevel | Seconds | Size)


def content(path: str) -> str:
    """Return what stands for what the file at `path` holds."""
    return f"the content of {path}"


WORD = r"\w{4,}"
"""A part of a text that is long enough to be of use to somebody."""


class Contents:
    """What files held that variables named, to be kept out of all that is said."""

    def __init__(self) -> None:
        self.paths: dict[str, str] = {}

    def add(self, text: str, path: str) -> None:
        """Note that the file at `path` holds `text`, whose words are as secret as the whole: errors may name one."""
        items = (item.strip() for item in text.split(","))
        for part in (text, *items, *re.findall(WORD, text)):
            if part:
                self.paths |= dict.fromkeys((part, repr(part), repr(part)[1:-1]), path)

    def hide(self, message: str) -> str:
        """Return `message` with each text replaced by the name of its file, also where it is written as a literal."""
        if not self.paths:
            return message
        longest_first = sorted(self.paths, key=len, reverse=True)
        pattern = rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)"
        return re.sub(pattern, lambda match: content(self.paths[match[0]]), message)

    def hide_in(self, problem: Problem) -> Problem:
        """Return `problem` without any of the texts."""
        value = None if problem.value is None else self.hide(problem.value)
        return Problem(self.hide(problem.name), self.hide(problem.message), value)


def without_values(message: str) -> str:
    """Return a message of argparse's without what somebody gave to a flag that it does not know.

    https://docs.python.org/3/library/argparse.html
    """
    what, colon, words = message.partition("unrecognized arguments: ")
    if colon:
        flags = [word.partition("=")[0] for word in words.split() if word.startswith("-")]
        return f"{what}{colon}{' '.join(flags) or HIDDEN}"
    message = re.sub(r"(ambiguous option: [^\s=]+)=.*(?= could match )", r"\1", message, flags=re.DOTALL)
    return re.sub(r"(ignored explicit argument) .*", r"\1", message, flags=re.DOTALL)
