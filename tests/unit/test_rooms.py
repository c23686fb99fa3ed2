"""The rooms of the package: who may import whom (docs/architecture.md has the same list)."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[2] / "build/paddock"

ROOMS = (
    ("__main__",),
    ("cli",),
    ("arbiter",),
    ("workers",),
    ("metrics", "logs"),
    ("http",),
    ("start",),
    ("project",),
    ("application",),
    ("packages",),
    ("settings",),
    ("health",),
    ("text", "errors", "ending", "processes"),
)
"""From the top to the bottom: a room imports those below its line."""

UPSTREAM = {"gunicorn", "uvicorn", "httptools", "h11", "uvloop", "websockets", "wsproto", "watchfiles", "click", "zttp"}


class Import(NamedTuple):
    """An import of one of the package's modules."""

    line: int
    module: str
    in_function: bool


def modules() -> dict[str, Path]:
    """Return the modules of the package by their names, which begin behind `paddock.`."""
    files = (file for file in PACKAGE.rglob("*.py") if file != PACKAGE / "__init__.py")
    return {".".join(f.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


MODULES = modules()


def imports(module: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Yield each import of a module, and whether it is in a function."""

    def walk(node: ast.AST, in_function: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                yield child, in_function
            yield from walk(child, in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    yield from walk(ast.parse(MODULES[module].read_text()), False)


def imported(module: str) -> Iterator[Import]:
    """Yield what a module imports of the package, also in functions and for type checkers alone."""
    for node, in_function in imports(module):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [f"{node.module}.{alias.name}" for alias in node.names]
        )
        for name in names:
            package, _, rest = name.partition(".")
            if package == "paddock" and rest:
                yield Import(node.lineno, rest if rest in MODULES else rest.rpartition(".")[0], in_function)


def room(module: str) -> str:
    return module.partition(".")[0]


FLOORS = {name: floor for floor, names in enumerate(ROOMS) for name in names}


def test_every_module_is_in_a_room() -> None:
    assert {room(module) for module in MODULES} == FLOORS.keys()


def test_the_page_has_the_same_list() -> None:
    page = (PACKAGE.parents[1] / "docs/architecture.md").read_text()
    table = page.partition("| room | holds |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ((?:`\w+` )+)\|", table, re.MULTILINE)
    assert tuple(tuple(re.findall(r"\w+", row)) for row in rows) == ROOMS


def test_arrows_run_down() -> None:
    up = [
        f"{module}:{found.line} imports {found.module}"
        for module in MODULES
        for found in imported(module)
        if room(found.module) != room(module) and FLOORS[room(found.module)] <= FLOORS[room(module)]
    ]
    assert not up, "\n".join(up)


def test_no_modules_import_each_other() -> None:
    arrows = {module: {found.module for found in imported(module)} for module in MODULES}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_an_import_in_a_function_has_its_cost_beside_it() -> None:
    hidden = []
    for module, file in MODULES.items():
        lines = file.read_text().splitlines()
        hidden += [
            f"{module}:{node.lineno} {lines[node.lineno - 1].strip()}"
            for node, in_function in imports(module)
            if in_function and "  # " not in lines[node.lineno - 1]
        ]
    assert not hidden, "say beside each what it costs, or import at the top:\n" + "\n".join(hidden)


def test_no_module_is_called_like_one_of_upstream() -> None:
    assert not {module for module in MODULES if module.rpartition(".")[2] in UPSTREAM}


def test_a_name_has_one_meaning() -> None:
    """Classes and constants: a function is known by its module as well."""
    meanings = defaultdict(set)
    for module, file in MODULES.items():
        if module == "__main__":
            # It runs before anything can be imported.
            continue
        for node in ast.parse(file.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names = {name.id for target in targets if target for name in ast.walk(target) if isinstance(name, ast.Name)}
            if isinstance(node, ast.ClassDef):
                names.add(node.name)
            for name in names:
                if name[0].isupper():
                    meanings[name].add(module)
    assert not {name: found for name, found in meanings.items() if len(found) > 1}
