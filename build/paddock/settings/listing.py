"""The settings as tables: those there are, and those in effect."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from paddock.errors import without_user
from paddock.settings.classes import short_name
from paddock.settings.environment import DEFAULT, Value
from paddock.settings.shown import Contents, presentable
from paddock.settings.table import BY_KEY, SETTINGS, Setting


def effective_settings(
    cfg: Any, origins: Mapping[str, Value], contents: Contents | None = None
) -> list[dict[str, Any]]:
    """Return a row for each setting in effect: name, value, source (default, environment, file, …) and origin.

    `cfg` is Gunicorn's configuration, `origins` says where its values come from, and `contents` which of them, or
    of their parts, were in files.
    """
    contents = contents or Contents()
    rows = []
    for setting in SETTINGS:
        known = cfg.settings.get(setting.key)
        value = known.get() if known else origins[setting.key].value
        rows.append(_row(setting.name, setting.key, value, origins.get(setting.key, Value(None)), contents))
    for key in sorted(cfg.settings):
        value = cfg.settings[key].get()
        if key not in BY_KEY and not (callable(value) and key not in origins) and key != "config":
            rows.append(_row(f"GUNICORN_{key.upper()}", key, value, origins.get(key, Value(None)), contents))
    return rows


def _row(name: str, key: str, value: Any, given: Value, contents: Contents) -> dict[str, Any]:
    value = _presentable(key, value, given, contents)
    if callable(value):
        value = getattr(value, "__qualname__", str(value))
    elif name == "WORKER_CLASS":
        value = short_name(str(value))
    return {"name": name, "value": value, "source": given.source, "origin": contents.hide(given.origin)}


def _presentable(key: str, value: Any, given: Value, contents: Contents) -> Any:
    if given.source == DEFAULT:
        return value
    value = presentable(key, value, given.path)
    if isinstance(value, list):
        return [without_user(contents.hide(item)) if isinstance(item, str) else item for item in value]
    return without_user(contents.hide(value)) if isinstance(value, str) and not given.path else value


def configuration_lines(cfg: Any, origins: Mapping[str, Value], contents: Contents) -> list[str]:
    """Return Gunicorn's configuration `cfg` as Gunicorn itself would log it, with what may be shown of each value."""
    return [
        f"  {key}: {_presentable(key, setting.value, origins.get(key, Value(None)), contents)}"
        for key, setting in sorted(cfg.settings.items(), key=lambda item: item[1])
    ]


def text_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return `rows` as aligned columns under a heading."""
    lines = [[column.upper() for column in columns], *([shown(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def shown(value: Any) -> str:
    """Return a setting's value as text."""
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _default(setting: Setting) -> str:
    return "" if setting.default is None else setting.default


def _as_table() -> str:
    rows = [{"name": s.name, "default": s.default, "expected": s.parser.expected, "help": s.help} for s in SETTINGS]
    return text_table(rows, ("name", "default", "expected", "help"))


def _as_json() -> str:
    return json.dumps(
        [
            {
                "name": setting.name,
                "aliases": setting.names[1:],
                "section": setting.section,
                "default": setting.default,
                "expected": setting.parser.expected,
                "help": setting.help,
            }
            for setting in SETTINGS
        ],
        indent=2,
    )


def _as_markdown() -> str:
    return "\n\n".join(
        f"**{section}**\n\n| variable | default | expected | |\n|---|---|---|---|\n"
        + "\n".join(map(_markdown_row, group))
        for section, group in groupby(SETTINGS, key=lambda setting: setting.section)
    )


def _markdown_row(setting: Setting) -> str:
    default = f"`{_default(setting)}`" if setting.default is not None else ""
    aliases = [f"`{alias}`" for alias in setting.aliases]
    help_text = setting.help + (f" Also: {', '.join(aliases)}." if aliases else "")
    return (
        "| "
        + " | ".join(
            cell.replace("|", "\\|") for cell in (f"`{setting.name}`", default, setting.parser.expected, help_text)
        )
        + " |"
    )


FORMATS: dict[str, Callable[[], str]] = {"table": _as_table, "markdown": _as_markdown, "json": _as_json}
