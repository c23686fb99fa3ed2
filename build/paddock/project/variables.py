"""The variables of the environment that an application's settings cannot do without, read from their source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from types import EllipsisType

SECRET = re.compile("SECRET|PASSWORD|TOKEN|KEY|DSN|DATABASE_URL")
"""What names of secrets have in them."""

ONE_VALUE = re.compile(r"(str|int|float|bool|Path|EmailStr|Secret(Str|Bytes)|\w*(Url|Dsn))$")
"""Types of pydantic that one variable holds."""

CONDITIONAL = (ast.If, ast.IfExp, ast.BoolOp, ast.While, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
"""What may leave out a part of itself."""

ELSEWHERE = re.compile(r"settings_customise_sources|\b(env_file|secrets_dir)\s*=\s*'(?!\S*\.env\b)")
"""Where a class of settings has values from, beside variables; a file `.env` is for the developer's machine alone."""


def insisted_on(tree: ast.Module) -> dict[str, bool]:
    """Return the variables that a module insists on, and whether it does so in any case.

    By `os.environ["NAME"]`, django-environ (https://django-environ.readthedocs.io/), python-decouple
    (https://github.com/HBNetwork/python-decouple) or the fields of pydantic's settings.
    """
    optional = {name for node in ast.walk(tree) for name in _optional(node)}
    found: dict[str, bool] = {}
    for name, always in [*_demands(tree), *((name, True) for name in settings_fields(tree))]:
        if name not in optional:
            found[name] = found.get(name, False) or always
    return found


def _demands(node: ast.AST, always: bool = True) -> Iterator[tuple[str, bool]]:
    """Yield the variables that a part of the source cannot do without, and whether it is always run."""
    if name := _demanded(node):
        yield name, always
    # Its body may fail, and mostly shall.
    parts = [*node.orelse, *node.finalbody] if isinstance(node, ast.Try) else ast.iter_child_nodes(node)
    for part in parts:
        left_out = isinstance(node, CONDITIONAL) and part is not getattr(node, "test", None)
        yield from _demands(part, always and not left_out)


def _optional(node: ast.AST) -> list[str]:
    """Return the names of variables that an expression asks for, or gives a default."""
    match node:
        case ast.Compare(left=ast.Constant(value=str(name)), ops=[ast.In() | ast.NotIn()], comparators=[where]):
            return [name] if ast.unparse(where).endswith("environ") else []
        case ast.Call(func=function, args=args, keywords=keywords):
            called = ast.unparse(function)
            # env = environ.Env(DEBUG=(bool, False))
            if called.endswith("Env"):
                return [keyword.arg for keyword in keywords if keyword.arg]
            if called.endswith(("environ.get", "getenv")) and args and isinstance(args[0], ast.Constant):
                return [str(args[0].value)]
    return []


def _demanded(node: ast.AST) -> str:
    """Return the name of the variable that an expression cannot do without."""
    match node:
        case ast.Subscript(value=value, ctx=ast.Load(), slice=ast.Constant(value=str(name))):
            return name if ast.unparse(value) in ("os.environ", "environ") else ""
        case ast.Call(func=function, args=[ast.Constant(value=str(name))], keywords=keywords):
            if any(each.arg == "default" for each in keywords):
                return ""
            called = ast.unparse(function)
            return name if called == "config" or called == "env" or called.startswith("env.") else ""
    return ""


def settings_fields(tree: ast.Module) -> Iterator[str]:
    """Yield the variables of the fields without a default, of classes of settings that read nothing but variables.

    https://docs.pydantic.dev/latest/concepts/pydantic_settings/
    """
    called = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name, bases=[base, *_]) if ast.unparse(base).endswith("BaseSettings"):
                if f"{name}()" in called and not ELSEWHERE.search(ast.unparse(node)):
                    yield from _fields(node)


def _fields(settings: ast.ClassDef) -> Iterator[str]:
    prefix = re.search(r"\benv_prefix\s*=\s*'(\w*)'", ast.unparse(settings))
    for node in settings.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=None | ast.Call() as value):
                if ONE_VALUE.match(ast.unparse(kind).rpartition(".")[2]) and _is_needed(value):
                    yield f"{prefix[1] if prefix else ''}{name}".upper()


def _is_needed(value: ast.expr | None) -> bool:
    """Tell whether a field has no default and no other name."""
    match value:
        case None:
            return True
        case ast.Call(func=function, args=[] | [ast.Constant(value=EllipsisType())], keywords=keywords):
            others = {"default", "default_factory", "alias", "validation_alias"}
            return ast.unparse(function).endswith("Field") and not others & {each.arg for each in keywords}
    return False
