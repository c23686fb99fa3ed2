"""Find the application that nobody named, by reading the source: nothing is imported.

The files of `PATTERNS` are looked at in order; the first that binds one of `ATTRIBUTES` at module level wins. A file
that cannot be parsed or holds only a factory that cannot be called is taken when there is nothing better, because
loading it tells the user what is wrong.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from paddock.errors import StartError

APPLICATIONS = ("app", "application", "api")
FACTORIES = ("create_app", "make_app", "get_app")
ATTRIBUTES = (*APPLICATIONS, *FACTORIES)
"""What an application or its factory is called, the likeliest first."""

PATTERNS = (
    "main.py",
    "app.py",
    "app/main.py",
    "app/__init__.py",
    "src/main.py",
    "src/app.py",
    "src/*/main.py",
    "src/*/app.py",
    "src/*/__init__.py",
    "src/manage.py",
    "src/asgi.py",
    "src/wsgi.py",
    "src/*/asgi.py",
    "src/*/wsgi.py",
    "manage.py",
    "asgi.py",
    "wsgi.py",
    "*/asgi.py",
    "*/wsgi.py",
    "*/main.py",
    "*/app.py",
    "*/__init__.py",
)
"""Where an application is looked for, below the working directory; `*` is any package that is not about tests."""

NOT_PACKAGES = frozenset(
    {"alembic", "build", "dist", "docs", "env", "examples", "migrations", "node_modules", "scripts", "src"}
    | {"static", "templates", "test", "tests", "venv"}
)
"""Directories beside an application that never hold it. `src` has patterns of its own."""

NOT_APPLICATIONS = frozenset({"conftest", "setup", "noxfile"})
"""Modules that may bind such a name for another purpose: a fixture `app` is common."""


@dataclass(frozen=True)
class Target:
    """An application that was found.

    `path` is the directory that has to be on `sys.path`. `attribute` is None when the file could not be read.
    """

    module: str
    attribute: str | None
    path: Path

    @property
    def spec(self) -> str:
        """As APP_MODULE spells it."""
        return f"{self.module}:{self.attribute}" if self.attribute else self.module


@dataclass(frozen=True)
class Source:
    """A Python file and the directory that it is imported from."""

    file: Path
    root: Path

    @property
    def module(self) -> str:
        """The name that it is imported by."""
        parts = self.file.relative_to(self.root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def tree(self) -> ast.Module | None:
        """Return the parsed source, or None when it cannot be read or parsed."""
        try:
            with warnings.catch_warnings():
                # The import warns about the same lines once more.
                warnings.simplefilter("ignore")
                return ast.parse(self.file.read_bytes())
        except (OSError, SyntaxError, ValueError):
            return None


@dataclass(frozen=True)
class Binding:
    """A name that a module binds; `usable` is False for a function that cannot be called without arguments."""

    name: str
    usable: bool = True


def find(directory: Path) -> Target:
    """Return the application in `directory`.

    Raises:
        StartError: nothing was found, or two that are equally good; the text says what to set.
    """
    second_best: list[Target] = []
    for pattern in PATTERNS:
        judged = [judgement for source in _sources(directory, pattern) for judgement in _judge(source)]
        good = [target for target, usable in judged if usable]
        if len(good) > 1:
            raise StartError(_several(directory, good))
        if good:
            return good[0]
        second_best += [target for target, _ in judged]
    if second_best:
        return second_best[0]
    raise StartError(_nothing(directory))


def directory_of(spec: str, directory: Path) -> Path:
    """Return where the application that `spec` names is imported from: `directory`, or its `src` if only that has it.

    https://packaging.python.org/en/latest/discussions/src-layout-vs-flat-layout/
    """
    name = spec.partition(":")[0].partition(".")[0]

    def has(place: Path) -> bool:
        return bool(name) and ((place / name).is_dir() or (place / f"{name}.py").is_file())

    return directory / "src" if has(directory / "src") and not has(directory) else directory


def modules(directory: Path) -> dict[str, Source]:
    """Return the modules in `directory` and in the packages directly below it, by the name they are imported by."""
    files = [*_listing(directory), *(file for package in _packages(directory) for file in _listing(package))]
    sources = [Source(file, directory) for file in files if file.suffix == ".py"]
    return {source.module: source for source in sources}


def names(source: Source) -> frozenset[str]:
    """Return the names that a module binds, modules that it imports left out."""
    tree = source.tree()
    return frozenset(binding.name for binding in _bindings(tree.body, source)) if tree else frozenset()


def contents(directory: Path) -> str:
    """Return what `directory` holds, in words."""
    entries = [entry.name + "/" * _is_directory(entry) for entry in _listing(directory) if entry.name[0] != "."]
    shown = ", ".join(entries[:12]) + (f" and {len(entries) - 12} more" if len(entries) > 12 else "")
    return f"holds {shown}" if entries else "is empty"


def _sources(directory: Path, pattern: str) -> list[Source]:
    """Return the files of one pattern: one rank, of which at most one may be an application."""
    where, _, name = pattern.rpartition("/")
    place = directory / where.removesuffix("*")
    folders = _packages(place) if where.endswith("*") else [place]
    files = [folder / name for folder in folders if _is_file(folder / name)]
    return [Source(file, _root(file, directory)) for file in files if not _is_shadowed(file)]


def _root(file: Path, directory: Path) -> Path:
    """Return the directory that `file` is imported from: `src` is not a package, unless it is used as one."""
    src = directory / "src"
    if not file.is_relative_to(src) or _is_file(src / "__init__.py"):
        return directory
    tree = Source(file, src).tree()
    return directory if tree and "src" in _imported_packages(tree) else src


def _imported_packages(tree: ast.Module) -> set[str]:
    absolute = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    plain = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    return {name.partition(".")[0] for name in (*absolute, *plain) if name}


def _is_shadowed(file: Path) -> bool:
    """Whether `app.py` stands beside a package `app`, which Python imports instead."""
    return file.stem != "__init__" and _is_file(file.with_suffix("") / "__init__.py")


def _judge(source: Source) -> Iterator[tuple[Target, bool]]:
    """Yield the application of a file, if it may have one, and whether it can be used."""
    tree = source.tree()
    if source.file.name == "manage.py":
        # `python manage.py` puts the directory of the file on sys.path, whatever is there.
        target = _django(tree, source.file.parent) if tree else None
        if target:
            yield target, True
    elif tree is None:
        yield Target(source.module, None, source.root), False
    else:
        bindings = {binding.name: binding for binding in _bindings(tree.body, source)}
        candidates = [bindings[name] for name in ATTRIBUTES if name in bindings]
        if candidates:
            best = max(candidates, key=lambda binding: binding.usable)
            yield Target(source.module, best.name, source.root), best.usable


def _bindings(body: Iterable[ast.stmt], source: Source) -> Iterator[Binding]:
    """Yield what statements bind at module level, without what only type checkers or `python main.py` see."""
    for node in body:
        match node:
            case ast.FunctionDef(name=name):
                yield Binding(name, usable=name in APPLICATIONS or not _needs_arguments(node.args))
            case ast.AsyncFunctionDef(name=name):
                yield Binding(name, usable=name in APPLICATIONS)
            case ast.ClassDef(name=name):
                yield Binding(name)
            case ast.Assign(targets=targets):
                yield from (Binding(name) for target in targets for name in _stored(target))
            case ast.AnnAssign(target=target, value=ast.expr()):
                yield from (Binding(name) for name in _stored(target))
            case ast.ImportFrom():
                values = (alias for alias in node.names if _is_value(node, alias, source))
                yield from (Binding(alias.asname or alias.name) for alias in values)
            case ast.If(test=test, body=then, orelse=otherwise):
                yield from _bindings(otherwise if _is_never_true(test) else [*then, *otherwise], source)
            case _:
                yield from _bindings(_inner(node), source)


def _inner(node: ast.stmt) -> list[ast.stmt]:
    """Return the statements of a compound statement, those of its handlers and cases too."""
    blocks = [getattr(node, field, []) for field in ("body", "orelse", "finalbody")]
    blocks += [branch.body for field in ("handlers", "cases") for branch in getattr(node, field, [])]
    return [statement for block in blocks for statement in block]


def _stored(target: ast.expr) -> list[str]:
    return [node.id for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def _is_never_true(test: ast.expr) -> bool:
    """Whether a condition is TYPE_CHECKING or asks for `__main__`: false when a server imports the module."""
    text = ast.unparse(test)
    return text in ("TYPE_CHECKING", "typing.TYPE_CHECKING") or ("__name__ ==" in text and "__main__" in text)


def _needs_arguments(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    return positional > len(arguments.defaults) or None in arguments.kw_defaults


def _is_value(node: ast.ImportFrom, alias: ast.alias, source: Source) -> bool:
    """Whether `from package import name` imports something else than the module `name` of that package."""
    above = source.file.parents
    start = above[min(node.level, len(above)) - 1] if node.level else source.root
    place = start.joinpath(*(node.module or "").split("."))
    return not _is_file(place / f"{alias.name}.py") and not _is_file(place / alias.name / "__init__.py")


def _django(manage: ast.Module, root: Path) -> Target | None:
    """Return the application of a Django project.

    `startproject` makes asgi.py and wsgi.py, and sets WSGI_APPLICATION only: who sets ASGI_APPLICATION serves ASGI,
    all others WSGI. https://docs.djangoproject.com/en/stable/ref/settings/#wsgi-application
    """
    settings = _settings_module(manage)
    if not settings:
        return None
    assigned = dict(_assigned_text(settings, root, frozenset()))
    named = [assigned[key] for key in ("ASGI_APPLICATION", "WSGI_APPLICATION") if key in assigned]
    packages = [settings.rsplit(".", depth)[0] for depth in range(1, settings.count(".") + 1)]
    usual = [f"{package}.{name}.application" for package in packages for name in ("wsgi", "asgi")]
    usual += [] if packages else ["wsgi.application", "asgi.application"]
    for dotted in (*named, *usual):
        module, _, attribute = dotted.rpartition(".")
        if _source(module, root):
            return Target(module, attribute, root)
    return None


def _settings_module(manage: ast.Module) -> str | None:
    """Return the settings module that manage.py falls back on."""
    for node in ast.walk(manage):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="setdefault"),
                args=[ast.Constant(value="DJANGO_SETTINGS_MODULE"), ast.Constant(value=str(name))],
            ):
                return name
            case ast.Assign(
                targets=[ast.Subscript(slice=ast.Constant(value="DJANGO_SETTINGS_MODULE"))],
                value=ast.Constant(value=str(name)),
            ):
                return name
    return None


def _assigned_text(module: str, root: Path, seen: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield the names that a settings module assigns text to, those of the modules it imports `*` from first."""
    source = _source(module, root)
    tree = source.tree() if source and module not in seen else None
    if not source or not tree:
        return
    for node in tree.body:
        match node:
            case ast.ImportFrom(names=[ast.alias(name="*")], level=level, module=name):
                package = module if source.file.name == "__init__.py" else module.rpartition(".")[0]
                base = package.rsplit(".", level - 1)[0] if level else ""
                yield from _assigned_text(f"{base}.{name or ''}".strip("."), root, seen | {module})
            case ast.Assign(targets=[ast.Name(id=key)], value=ast.Constant(value=str(text))):
                yield key, text


def _source(module: str, root: Path) -> Source | None:
    """Return the file of a module, or None."""
    place = root.joinpath(*module.split("."))
    files = (place / "__init__.py", place.parent / f"{place.name}.py")
    return next((Source(file, root) for file in files if module and _is_file(file)), None)


def _packages(directory: Path) -> list[Path]:
    """Return the directories that Python could import as packages, with or without an `__init__.py`."""
    return [
        entry
        for entry in _listing(directory)
        if entry.name.isidentifier() and entry.name not in NOT_PACKAGES and _is_directory(entry)
    ]


def _listing(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _is_file(path: Path) -> bool:
    # Path.is_file raises for a file below a directory that may not be entered, before Python 3.14.
    try:
        return path.is_file()
    except OSError:
        return False


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _several(directory: Path, targets: list[Target]) -> str:
    listed = " and ".join(target.spec for target in targets)
    return f"{directory} has several applications, and none is likelier than another: {listed}; set APP_MODULE to one"


def _nothing(directory: Path) -> str:
    try:
        next(directory.iterdir(), None)
    except OSError as error:
        return f"no application found: {directory} cannot be read ({error.strerror})"
    return "\n".join(
        (
            f"no application found in {directory}: set APP_MODULE=module:attribute{_example(directory)}",
            f"  looked for {', '.join(ATTRIBUTES[:-1])} or {ATTRIBUTES[-1]}",
            f"  in {', '.join(PATTERNS).replace('*', '<package>')}",
            f"  {directory} {contents(directory)}",
        )
    )


def _example(directory: Path) -> str:
    """Return a first guess from files with other names."""
    for name, source in modules(directory).items():
        bound = names(source) if name not in NOT_APPLICATIONS else ()
        for attribute in ATTRIBUTES:
            if attribute in bound:
                return f", perhaps APP_MODULE={name}:{attribute}"
    return ""
