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


ELSEWHERE = re.compile(r"settings_customise_sources|\b(env_file|secrets_dir)\s*=\s*'(?!\S*\.env\b)")
"""Where a class of settings has values from, beside variables; a file `.env` is for the developer's machine alone."""


def insisted_on(tree: ast.Module) -> list[str]:
    """Return the variables that a module insists on.

    By `os.environ["NAME"]`, django-environ (https://django-environ.readthedocs.io/), python-decouple
    (https://github.com/HBNetwork/python-decouple) or the fields of pydantic's settings.
    """
    names = [name for node in ast.walk(tree) if (name := _demanded(node))]
    # env = environ.Env(DEBUG=(bool, False))
    defaults = {
        keyword.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Env")
        for keyword in node.keywords
    }
    names += settings_fields(tree)
    return [name for name in dict.fromkeys(names) if name not in defaults]


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
