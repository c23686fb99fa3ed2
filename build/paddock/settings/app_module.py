"""APP_MODULE, taken apart: `module`, `module:attribute`, `module:factory("literal")`."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from paddock.settings.parsers import Rejected

MODULE = re.compile(r"\w[\w-]*(\.\w[\w-]*)*")
PATH_SPEC = re.compile(r"(?:\./|/app/)?(?P<path>[^:]*?)(?P<suffix>\.py)?(?::(?P<attribute>.*))?")
CALL = re.compile(r"(\((?!\s*\))|[\"'{]).*", re.DOTALL)
"""The first argument of a call, and whatever follows."""

FORM = "module:attribute, such as app.main:app or app.main:create_app()"


@dataclass(frozen=True)
class Call:
    """The literal arguments of a factory."""

    args: tuple[object, ...]
    kwargs: dict[str, object]


@dataclass(frozen=True)
class Reference:
    """APP_MODULE, taken apart. `attribute` is dotted, or None for a module alone; `call` is None without `()`."""

    module: str
    attribute: str | None = None
    call: Call | None = None


def parse(spec: str) -> Reference:
    """Return what `spec` refers to: `module`, `module:attribute`, `module:factory("literal", name=1)`.

    Raises:
        ValueError: with what is wrong; the caller says what was expected (`FORM`).
    """
    if meant := _meant_by_path(spec):
        raise ValueError(f"is a path; did you mean {shown(meant)}?")
    module, colon, expression = spec.partition(":")
    if not MODULE.fullmatch(module):
        raise ValueError(f"{shown(module)!r} is no module name" if module else "names no module")
    return _parse_expression(module, expression) if colon else Reference(module)


def shown(spec: str) -> str:
    """Return what may be shown of `spec`: all but the arguments of a call, which may be a password."""
    return CALL.sub(lambda match: "(…)" if match[0][0] == "(" else "…", spec)


def checked(spec: str) -> str:
    """Return `spec` when it refers to something.

    Raises:
        Rejected: with what is wrong.
    """
    try:
        parse(spec)
    except ValueError as error:
        raise Rejected(str(error)) from None
    return spec


def _meant_by_path(spec: str) -> str | None:
    """Return the reference that `app/main.py` or `app/main.py:app` was meant to be, or None for what is no path."""
    match = PATH_SPEC.fullmatch(spec)
    if not match or not ("/" in match["path"] or match["suffix"]):
        return None
    module = match["path"].strip("/").replace("/", ".").removesuffix(".__init__")
    return f"{module}:{match['attribute'] or 'app'}" if MODULE.fullmatch(module) else None


def _parse_expression(module: str, text: str) -> Reference:
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        raise ValueError(
            f"{shown(text)!r} is no attribute of a module" if text else "nothing follows the colon"
        ) from None
    if isinstance(node, ast.Call):
        return Reference(module, _dotted(node.func), _literal_call(node))
    return Reference(module, _dotted(node))


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{_dotted(value)}.{name}"
    raise ValueError(f"{shown(ast.unparse(node))!r} is neither an attribute nor a call of one")


def _literal_call(node: ast.Call) -> Call:
    try:
        kwargs = {keyword.arg or "**": ast.literal_eval(keyword.value) for keyword in node.keywords}
        args = tuple(ast.literal_eval(argument) for argument in node.args)
    except ValueError:
        kwargs, args = {"**": None}, ()
    if "**" in kwargs:
        raise ValueError("the arguments of a call have to be literals: text, numbers, True, None, lists, dicts")
    return Call(args, kwargs)
