"""Find the application that nobody named, by reading the source: nothing is imported.

The files of `PATTERNS` are looked at in order; the first that binds one of `ATTRIBUTES` at module level wins. A file
that cannot be parsed or holds only a factory that cannot be called is taken when there is nothing better, because
loading it tells the user what is wrong.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
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

HINTS = ("FLASK_APP", "LITESTAR_APP")
"""Variables of frameworks that name an application.

https://flask.palletsprojects.com/en/stable/cli/#application-discovery, https://docs.litestar.dev/latest/usage/cli.html
"""

DJANGO = ("manage.py", "asgi.py", "wsgi.py")
DEEP = ("main.py", "app.py", "__init__.py", *DJANGO)
"""What is looked for in folders that no pattern leads to, the likeliest first."""

DEPTH = 6
"""How many folders deep."""

MADE_BY = frozenset(
    {"Bottle", "FastAPI", "Flask", "Litestar", "Quart", "Sanic", "Starlette", "falcon.App", "falcon.asgi.App"}
)
"""What web frameworks call the class of an application: a name that it is bound to is one, in whatever file."""

OWN_SERVERS = {
    "gradio": 'mount it in an application with app = gradio.mount_gradio_app(FastAPI(), demo, path="/")',
    "nicegui": "give it an application with app = FastAPI() and ui.run_with(app)",
}
"""Packages that start a server of their own, and what to do for this one to serve them.

https://www.gradio.app/docs/gradio/mount_gradio_app, https://nicegui.io/documentation/section_configuration_deployment
"""


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


def find(directory: Path, environ: Mapping[str, str] | None = None) -> Target:
    """Return the application in `directory`; frameworks' variables in `environ` are hints, where they lead somewhere.

    Raises:
        StartError: nothing was found, or two that are equally good; the text says what to set.
    """
    environ = environ or {}
    for variable in HINTS:
        if target := _hinted(environ.get(variable, "").strip(), directory):
            return target
    project = _project(environ.get("DJANGO_SETTINGS_MODULE", "").strip(), directory)
    second_best: list[Target] = []
    read: list[Source] = []
    for sources in _ranks(directory):
        if project and any(source.file.name in DJANGO for source in sources):
            return project
        read += sources
        judged = [judgement for source in sources for judgement in _judge(source)]
        good = [target for target, usable in judged if usable]
        if len(good) > 1:
            raise StartError(_several(directory, good))
        if good:
            return good[0]
        second_best += [target for target, _ in judged]
    if project or second_best:
        return project or second_best[0]
    raise StartError(_nothing(directory, read))


def directory_of(spec: str, directory: Path) -> Path:
    """Return where the application that `spec` names is imported from: `directory`, or its `src` if only that has it.

    https://packaging.python.org/en/latest/discussions/src-layout-vs-flat-layout/
    """
    name = spec.partition(":")[0].partition(".")[0]

    def has(place: Path) -> bool:
        return bool(name) and ((place / name).is_dir() or (place / f"{name}.py").is_file())

    return directory / "src" if has(directory / "src") and not has(directory) else directory


def locate(module: str, directory: Path) -> Source | None:
    """Return the file of a module that lies in `directory`, from wherever it could be imported, the highest first."""
    end = Path(*module.split("."))
    for folder in folders(directory):
        if not _is_file(folder / "__init__.py") and (source := _source(module, folder)):
            return source
        if not _is_file(folder / "__init__.py") and _listing(folder / end):
            return Source(folder / end, folder)
    return None


def modules(directory: Path) -> dict[str, Source]:
    """Return the modules in `directory` and in the packages directly below it, by the name they are imported by."""
    files = [*_listing(directory), *(file for package in _packages(directory) for file in _listing(package))]
    sources = [Source(file, directory) for file in files if file.suffix == ".py"]
    return {source.module: source for source in sources}


def made(directory: Path, by: frozenset[str] = MADE_BY) -> list[Target]:
    """Return what the `modules` bind to a call of one of the classes `by`, whatever the files are called."""
    found = []
    for name, source in modules(directory).items():
        tree = source.tree() if name not in NOT_APPLICATIONS else None
        for node in tree.body if tree else ():
            match node:
                case ast.Assign(targets=[ast.Name(id=bound), *_], value=ast.Call(func=function)):
                    called = ast.unparse(function)
                    if called in by or called.rpartition(".")[2] in by:
                        found.append(Target(name, bound, directory))
    return found


def names(source: Source) -> frozenset[str]:
    """Return the names that a module binds, modules that it imports left out."""
    tree = source.tree()
    return frozenset(binding.name for binding in _bindings(tree.body, source)) if tree else frozenset()


def contents(directory: Path) -> str:
    """Return what `directory` holds, in words."""
    entries = [entry.name + "/" * _is_directory(entry) for entry in _listing(directory) if entry.name[0] != "."]
    shown = ", ".join(entries[:12]) + (f" and {len(entries) - 12} more" if len(entries) > 12 else "")
    return f"holds {shown}" if entries else "is empty"


def _ranks(directory: Path) -> Iterator[list[Source]]:
    """Yield files that may have an application, in groups of one rank: those of PATTERNS, then what lies deeper."""
    for pattern in PATTERNS:
        yield _sources(directory, pattern)
    deep = defaultdict(list)
    for folder in folders(directory):
        depth = len(folder.relative_to(directory).parts)
        for rank, name in enumerate(DEEP):
            file = folder / name
            if depth > 1 and _is_file(file) and not _is_shadowed(file):
                deep[depth, rank].append(Source(file, _import_root(file, directory)))
    yield from (sources for _, sources in sorted(deep.items()))


def folders(directory: Path) -> Iterator[Path]:
    """Yield `directory` and the folders below it that may have source, the highest first."""
    level = [directory]
    for _ in range(DEPTH):
        yield from level
        entries = [entry for folder in level for entry in _listing(folder) if _is_directory(entry)]
        level = [
            entry
            for entry in entries
            if entry.name[0] not in "._" and (entry.name == "src" or entry.name not in NOT_PACKAGES)
            if entry.name != "site-packages" and not _is_file(entry / "pyvenv.cfg")
        ]


def _import_root(file: Path, directory: Path) -> Path:
    """Return the directory that a file, deep in `directory`, is imported from.

    That is above its packages; where these have no `__init__.py`, it is where its own absolute imports begin.
    """
    places = [place for place in file.parents if place.is_relative_to(directory)]
    tree = Source(file, directory).tree()
    imported = _imported_packages(tree) if tree else set()
    for place in places:
        if file.relative_to(place).parts[0] in imported:
            return place
    above = next((place for place in places if not _is_file(place / "__init__.py")), directory)
    if above != file.parent or any(_is_module(above / name) for name in imported):
        return above
    nameable = [place for place in places if all(part.isidentifier() for part in file.parent.relative_to(place).parts)]
    return nameable[-1]


def _is_module(place: Path) -> bool:
    return _is_file(place.with_suffix(".py")) or _is_directory(place)


def _hinted(hint: str, directory: Path) -> Target | None:
    """Return what FLASK_APP or LITESTAR_APP names: `module`, `module:name`, `module:factory()`, `file.py:name`."""
    where, _, name = re.match(r"(.*?)(:(?![\\/])(.*))?$", hint, re.DOTALL).groups("")  # type: ignore[union-attr]
    if where.endswith(".py") or "/" in where:
        place = directory / where.removesuffix(".py")
        files = (place.with_name(f"{place.name}.py"), place / "__init__.py")
        file = next((file for file in files if where and _is_file(file)), None)
        source = Source(file, _above(file)) if file else None
    else:
        source = locate(where, directory) if re.fullmatch(r"\w+(\.\w+)*", where) else None
    if source is None or not _is_file(source.file):
        return None
    if name:
        return Target(source.module, name.strip(), source.root)
    return next((target for target, _ in _judge(source)), None)


def _above(file: Path) -> Path:
    """Return the directory above the packages that a file is in."""
    return next(place for place in file.parents if not _is_file(place / "__init__.py"))


def _project(settings: str, directory: Path) -> Target | None:
    """Return the application of the Django project whose settings module DJANGO_SETTINGS_MODULE names."""
    source = locate(settings, directory) if re.fullmatch(r"\w+(\.\w+)*", settings) else None
    return _django(settings, source.root) if source else None


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
        settings = _settings_module(tree) if tree else None
        target = _django(settings, source.file.parent) if settings else None
        if target:
            yield target, True
    elif tree is None:
        yield Target(source.module, None, source.root), False
    else:
        bindings = {binding.name: binding for binding in _bindings(tree.body, source)}
        wanted = [name for name in (*ATTRIBUTES, *_known_by_use(tree)) if name in bindings]
        candidates = [bindings[name] for name in wanted if not _own_server(tree, name)]
        if candidates:
            best = max(candidates, key=lambda binding: binding.usable)
            yield Target(source.module, best.name, source.root), best.usable


def _known_by_use(tree: ast.Module) -> Iterator[str]:
    """Yield names of applications of which only the use tells: `server = app.server` (Dash), `ui.run_with(name)`."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id="server")], value=ast.Attribute(attr="server")):
                yield "server"
            case ast.Call(func=ast.Attribute(attr="run_with"), args=[ast.Name(id=name), *_]):
                yield name


def _own_server(tree: ast.Module, name: str | None = None) -> str | None:
    """Return the package of OWN_SERVERS that `name` comes from; without a name, one that the module imports.

    An application that it is mounted in comes from somewhere else.
    """
    packages: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                packages |= {alias.asname or alias.name: alias.name for alias in aliases if alias.name in OWN_SERVERS}
            case ast.ImportFrom(module=str(module), names=aliases, level=0) if module.split(".")[0] in OWN_SERVERS:
                packages |= {alias.asname or alias.name: module.split(".")[0] for alias in aliases}
    if name is None:
        return next(iter(packages.values()), None)
    made = packages.get(name)
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value) if any(name in _stored(target) for target in targets):
                pass
            case ast.withitem(context_expr=value, optional_vars=ast.Name(id=bound)) if bound == name:
                pass
            case _:
                continue
        text = ast.unparse(value)
        made = None if "mount_gradio_app" in text else packages.get(re.split(r"\W", text, maxsplit=1)[0])
    return made


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
            case ast.With(items=items):
                yield from (
                    Binding(name) for item in items if item.optional_vars for name in _stored(item.optional_vars)
                )
                yield from _bindings(node.body, source)
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


def _django(settings: str, root: Path) -> Target | None:
    """Return the application of the Django project with this settings module.

    `startproject` makes asgi.py and wsgi.py, and sets WSGI_APPLICATION only: who sets ASGI_APPLICATION serves ASGI,
    all others WSGI. https://docs.djangoproject.com/en/stable/ref/settings/#wsgi-application
    """
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
    roots = {target.path for target in targets}
    deep = [root for root in roots if root not in (directory, directory / "src")]
    listed = " and ".join(f"{target.spec}{f' (PYTHONPATH={target.path})' * bool(deep)}" for target in targets)
    return f"{directory} has several applications, and none is likelier than another: {listed}; set APP_MODULE to one"


def _nothing(directory: Path, read: list[Source]) -> str:
    try:
        next(directory.iterdir(), None)
    except OSError as error:
        return f"no application found: {directory} cannot be read ({error.strerror})"
    return "\n".join(
        (
            f"no application found in {directory}: set APP_MODULE=module:attribute{_example(directory)}",
            *(f"  {words}" for source in read if (words := _without_application(source, directory))),
            f"  looked for {', '.join(ATTRIBUTES[:-1])} or {ATTRIBUTES[-1]}",
            f"  in {', '.join(PATTERNS).replace('*', '<package>')}",
            f"  {directory} {contents(directory)}",
        )
    )


def _without_application(source: Source, directory: Path) -> str:
    """Return what a file that was read has instead of an application; nothing of one that is empty."""
    tree = source.tree()
    body = [node for node in tree.body if not isinstance(node, ast.ImportFrom)] if tree else []
    if not tree or not body:
        return ""
    file = source.file.relative_to(directory)
    if package := _own_server(tree):
        return f"{file} was read: {package} brings a server of its own; {OWN_SERVERS[package]}"
    defined = list(dict.fromkeys(binding.name for binding in _bindings(body, source)))
    more = f" and {len(defined) - 8} more" if len(defined) > 8 else ""
    return f"{file} was read and has none: it defines {', '.join(defined[:8]) or 'nothing'}{more}"


def _example(directory: Path) -> str:
    """Return a first guess from files with other names."""
    if targets := made(directory):
        return f", perhaps APP_MODULE={targets[0].spec}"
    for name, source in modules(directory).items():
        tree = source.tree()
        bound = names(source) if tree and name not in NOT_APPLICATIONS and not _own_server(tree) else ()
        for attribute in ATTRIBUTES:
            if attribute in bound:
                return f", perhaps APP_MODULE={name}:{attribute}"
    return ""
