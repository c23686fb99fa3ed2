"""LOG_CONFIG: a configuration of logging of the user's own."""

from __future__ import annotations

import json
import logging
import os
import runpy
import tomllib
from typing import Any

from paddock.errors import Problem, where
from paddock.processes import fork
from paddock.settings.environment import own
from paddock.settings.parsers import LogFile

DICTIONARY = "LOGGING"
"""The name of the dictionary in a Python file."""

GUNICORNS = ("logconfig", "logconfig_json", "logconfig_dict")


def read(path: str) -> dict[str, Any]:
    """Return the dictionary in a file of LOG_CONFIG.

    Raises:
        ValueError: with what is wrong with the file.
    """
    try:
        value = _load(path)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(str(error)) from None
    except (Exception, SystemExit) as error:
        raise ValueError(where(error, path)) from None
    if value is None:
        raise ValueError(f"sets no {DICTIONARY}")
    if not isinstance(value, dict):
        raise ValueError(f"holds a {type(value).__name__}, no dictionary")
    return value


def _load(path: str) -> Any:
    """Return what a file holds; None for a Python file without the name."""
    if path.endswith(".py"):
        return runpy.run_path(path, run_name="__config__").get(DICTIONARY)
    with open(path, "rb") as file:
        return json.load(file) if path.endswith(".json") else tomllib.load(file)


def problems(cfg: Any) -> list[Problem]:
    """Return what is wrong with the user's own configuration of logging, whoever reads it: the image or Gunicorn.

    It is tried out in a process of its own, because it is only applied in part when it is wrong.
    """
    path = own(cfg, "log_config")
    given = {"LOG_CONFIG": path} if path else {}
    given |= {f"GUNICORN_{key.upper()}": value for key in GUNICORNS if (value := cfg.settings[key].get())}
    if not given:
        return []
    (name, value), *others = given.items()
    if path and others:
        return [Problem(name, f"{others[0][0]} configures logging, too: unset one of them", path)]
    if isinstance(value, str) and not os.access(value, os.R_OK):
        return [Problem(name, "there is no such file that can be read", value)]
    why = rehearse(cfg)
    expected = "expected what https://docs.python.org/3/library/logging.config.html describes"
    return [Problem(name, f"{why}; {expected}", str(value))] if why else []


def rehearse(cfg: Any) -> str:
    """Set logging up in another process, which opens no log file; return why that fails, or nothing."""
    result, answer = os.pipe()

    def run(mask: set[Any]) -> None:
        logging.FileHandler._open = _not_opened  # type: ignore
        try:
            cfg.logger_class(cfg)
        except BaseException as error:
            os.write(answer, reason(error).encode("utf-8", "backslashreplace")[:4096])

    pid = fork(run)
    os.close(answer)
    with open(result, encoding="utf-8", errors="replace") as file:
        said = file.read()
    _, status = os.waitpid(pid, 0)
    return said or ("" if status == 0 else "ends the process that applies it")


def _not_opened(handler: logging.FileHandler) -> Any:
    """Stand in for the opening of a log file: see whether it could be, and leave it as it is."""
    LogFile()(handler.baseFilename)
    return open(os.devnull, "w")


def reason(error: BaseException | None) -> str:
    """Return what is wrong, in a line: dictConfig names the part, and the exception behind that says why."""
    causes: list[str] = []
    while error:
        text = str(error) or type(error).__name__
        if not causes or text not in causes[-1]:
            causes.append(text)
        error = error.__cause__ or error.__context__
    return ": ".join(causes)
