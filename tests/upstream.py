"""What the package uses of others' packages, and what these have: both read from source, and nothing is run.

So it is the same on every Python, and for modules whose own requirements are not installed.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType
from typing import NamedTuple

OWN = "paddock"

Function = ast.FunctionDef | ast.AsyncFunctionDef

Mixed = Mapping[str, Iterable[str]]
"""The package's classes that are mixed into upstream's when the program runs, and those."""

Named = Mapping[str, Iterable[str]]
"""What variables and attributes of a name hold, wherever the package has such: objects of which upstream classes."""


class Module:
    """A module as its source says it: what names stand for, and what is defined."""

    def __init__(self, name: str, file: Path) -> None:
        self.name = name
        self.text = file.read_text()
        self.tree = ast.parse(self.text)
        self.is_package = file.name == "__init__.py"
        self.names: dict[str, str] = {}
        """What imports and other names for the same stand for."""
        self.defined: dict[str, ast.stmt] = {}
        for node in ast.walk(self.tree):
            self._learn_import(node)
        self._learn(self.tree.body)

    def _learn_import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                package = alias.name.partition(".")[0]
                self.names.setdefault(alias.asname or package, alias.name if alias.asname else package)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                self.names.setdefault(alias.asname or alias.name, f"{self.origin(node)}.{alias.name}")

    def origin(self, node: ast.ImportFrom) -> str:
        """Return where an import takes its names from."""
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        parts = parts[: len(parts) - node.level + self.is_package]
        return ".".join(parts + ([node.module] if node.module else []))

    def _learn(self, body: Iterable[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef | Function):
                self.defined.setdefault(node.name, node)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                alias = dotted(node.value) if node.value else None
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    for name in ast.walk(target):
                        if isinstance(name, ast.Name) and name.id not in self.names:
                            if alias and alias != name.id and isinstance(target, ast.Name):
                                self.names[name.id] = f"{self.name}.{alias}"
                            else:
                                self.defined.setdefault(name.id, node)
            else:
                for part in ("body", "orelse", "finalbody"):
                    self._learn(getattr(node, part, ()))


@cache
def module(name: str) -> Module | None:
    """Return a module that has source; None where there is none of that name."""
    if name.partition(".")[0] in sys.stdlib_module_names:
        return None
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    return Module(name, Path(spec.origin)) if spec and spec.origin and spec.origin.endswith(".py") else None


def dotted(node: ast.AST | None) -> str | None:
    """Return `a.b.c` of an expression that is no more than that."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return None


class Place(NamedTuple):
    """Where something is defined: a module, and the path in it, which is empty for the module itself."""

    module: str
    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ".".join((self.module, *self.path))


@cache
def find(name: str) -> Place | None:
    """Return where what is called `module.name…` somewhere is defined; None if it is in no source that there is."""
    parts = name.split(".")
    for size in range(len(parts), 0, -1):
        if found := module(".".join(parts[:size])):
            rest = parts[size:]
            if not rest or rest[0] in found.defined:
                return Place(found.name, tuple(rest))
            if rest[0] in found.names and (target := found.names[rest[0]]) != ".".join(parts[: size + 1]):
                return find(".".join([target, *rest[1:]]))
            return None
    return None


@cache
def class_at(name: str) -> tuple[Place, ast.ClassDef] | None:
    """Return the class of that name, and where it is defined."""
    place = find(name)
    if place and len(place.path) == 1:
        node = module(place.module).defined[place.path[0]]
        if isinstance(node, ast.ClassDef):
            return place, node
    return None


@cache
def lineage(name: str) -> tuple[str, ...]:
    """Return a class and its bases, as far as there is source, in the order of looking something up."""
    found = class_at(name)
    if not found:
        return ()
    place, node = found
    classes = [str(place)]
    for base in node.bases:
        if text := dotted(base):
            classes += lineage(f"{place.module}.{text}")
    # The last of equal ones, as in Python.
    return tuple(reversed(list(dict.fromkeys(reversed(classes)))))


@cache
def members(name: str) -> dict[str, ast.AST]:
    """Return what a class itself defines, and what its methods set on `self`."""
    found: dict[str, ast.AST] = {}
    _, body = class_at(name)
    for node in body.body:
        if isinstance(node, ast.ClassDef | Function):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                found |= {part.id: node for part in ast.walk(target) if isinstance(part, ast.Name)}
    for node in ast.walk(body):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and dotted(node.value) == "self":
            found.setdefault(node.attr, node)
    return found


def owner(classes: Iterable[str], member: str) -> str | None:
    """Return the first of `classes` that defines `member`."""
    return next((name for name in classes if member in members(name)), None)


def is_own(name: str) -> bool:
    """Tell whether a name is in the package."""
    return name.partition(".")[0] == OWN


def upstream_of(name: str, mixed: Mixed) -> list[tuple[str, ...]]:
    """Return the lineages of the upstream classes that a class derives from, or that it is `mixed` into."""
    bases = list(mixed.get(name, ()))
    for ours in filter(is_own, lineage(name)):
        place, node = class_at(ours)
        bases += [str(found) for base in node.bases if (found := find(f"{place.module}.{dotted(base)}"))]
    return [classes for base in dict.fromkeys(bases) if not is_own(base) and (classes := lineage(base))]


# What there is upstream


class Definition(NamedTuple):
    """Where something is defined, and how."""

    source: Module
    node: ast.AST


def definition(name: str) -> Definition | None:
    """Return what `module`, `module.name` or `module.Class.member` is upstream; None when it has gone."""
    before, _, member = name.rpartition(".")
    if before and class_at(before):
        of = owner(lineage(before), member)
        return Definition(module(class_at(of)[0].module), members(of)[member]) if of else None
    place = find(name)
    if not place or len(place.path) > 1:
        return None
    source: Module = module(place.module)
    return Definition(source, source.defined[place.path[0]] if place.path else source.tree)


def signature(node: ast.AST) -> str:
    """Return how something is called, or what it is; annotations are no part of it."""
    if isinstance(node, ast.Module):
        return "module"
    if isinstance(node, ast.ClassDef):
        return "class"
    if not isinstance(node, Function):
        return "value"
    arguments = ast.parse(ast.unparse(node)).body[0].args
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    kind = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    decorators = "".join(f"@{ast.unparse(decorator)} " for decorator in node.decorator_list)
    return f"{decorators}{kind}({ast.unparse(arguments)})"


def fingerprint(found: Definition) -> str:
    """Return a hash of the source of a definition."""
    text = ast.get_source_segment(found.source.text, found.node) or ""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# What the package uses


class Uses:
    """What the package uses of upstream, and where."""

    def __init__(self, named: Named = MappingProxyType({}), mixed: Mixed = MappingProxyType({})) -> None:
        """Read the whole package; see `Named` and `Mixed`."""
        self.found: dict[str, list[str]] = defaultdict(list)
        """By the whole name of what is used."""
        self.replaced: dict[str, str] = {}
        """What is overridden without a call of what it overrides, and where."""
        self.mentions: dict[str, list[str]] = defaultdict(list)
        """Where names are imported, members of any class defined, and attributes of any object used."""
        self.receivers: set[str] = set()
        """The names of what attributes are used of."""
        self.private: dict[str, str] = {}
        """Private attributes of objects that are not the package's, and where."""
        self.named = named
        root = Path(find_spec(OWN).origin).parent
        files = sorted(root.rglob("*.py"))
        names = [".".join((OWN, *f.relative_to(root).with_suffix("").parts)).removesuffix(".__init__") for f in files]
        modules = [found for name in names if (found := module(name))]
        classes = [
            f"{source.name}.{name}"
            for source in modules
            for name, node in source.defined.items()
            if isinstance(node, ast.ClassDef)
        ]
        self.own = {member for name in classes for member in members(name)}
        for name in classes:
            for member in members(name):
                self.mentions[member].append(f"{name}.{member}")
        for source in modules:
            self._names(source)
        for name in classes:
            for theirs in upstream_of(name, mixed):
                self._class(name, theirs)
        self.found = {name: list(dict.fromkeys(places)) for name, places in self.found.items()}

    def _use(self, name: str, where: str, modules: bool = False) -> None:
        """Take note of a name that is defined upstream; of `modules` only where nothing is taken from them."""
        place = find(name)
        if not place or is_own(place.module) or not (place.path or (modules and "." in place.module)):
            return
        if len(place.path) == 2 and (of := owner(lineage(".".join((place.module, place.path[0]))), place.path[1])):
            self.found[f"{of}.{place.path[1]}"].append(where)
        elif len(place.path) < 2:
            self.found[str(place)].append(where)

    def _names(self, source: Module) -> None:
        """Take note of what is imported, and of what is taken from imported modules."""
        for node in ast.walk(source.tree):
            where = f"{source.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._use(alias.name, where, modules=True)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self._use(f"{source.origin(node)}.{alias.name}", where)
                    self.mentions[alias.name].append(where)
            elif isinstance(node, ast.Attribute):
                name = dotted(node) or ""
                if target := source.names.get(name.partition(".")[0]):
                    self._use(f"{target}.{name.partition('.')[2]}", where)
                self._attribute(node.value, node.attr, where, is_object=not target)
            elif isinstance(node, ast.Call) and dotted(node.func) in ("getattr", "hasattr", "setattr"):
                of, member, *_ = node.args
                if isinstance(member, ast.Constant):
                    self._attribute(of, member.value, where)

    def _attribute(self, of: ast.AST, member: str, where: str, is_object: bool = True) -> None:
        """Take note of an attribute of an object, whose name says what it is, or of what was imported."""
        name = (dotted(of) or "").rpartition(".")[2]
        self.mentions[member].append(where)
        self.receivers.add(name)
        for classes in map(lineage, self.named.get(name, ()) if is_object else ()):
            if defining := owner(classes, member):
                self.found[f"{defining}.{member}"].append(where)
        if is_private(member) and not is_self(of) and member not in self.own:
            self.private.setdefault(member, where)

    def _class(self, name: str, upstream: tuple[str, ...]) -> None:
        """Take note of what a class overrides of its `upstream` bases, and of what it uses of itself."""
        for ours in filter(is_own, lineage(name)):
            place, body = class_at(ours)
            for member, node in members(ours).items():
                if of := owner(upstream, member):
                    self.found[f"{of}.{member}"].append(f"{place}.{member}")
                    functions = isinstance(node, Function) and isinstance(members(of)[member], Function)
                    if functions and not calls_on(body, member):
                        self.replaced[f"{of}.{member}"] = f"{place}.{member}"
            for node in ast.walk(body):
                is_its_own = isinstance(node, ast.Attribute) and (is_self(node.value) or is_super(node.value))
                if is_its_own and (of := owner(upstream, node.attr)):
                    self.found[f"{of}.{node.attr}"].append(f"{place.module}:{node.lineno}")


def is_self(node: ast.AST) -> bool:
    """Tell whether an expression is what methods call their object, or its class."""
    return dotted(node) in ("self", "cls")


def is_super(node: ast.AST) -> bool:
    """Tell whether an expression is `super()`."""
    return isinstance(node, ast.Call) and dotted(node.func) == "super"


def calls_on(body: ast.ClassDef, member: str) -> bool:
    """Tell whether a class uses `member` of what it derives from: by `super()`, or by the name of a class."""
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == member
        and (is_super(node.value) or (dotted(node.value) or "").rpartition(".")[2][:1].isupper())
        for node in ast.walk(body)
    )


# The list


class Entry(NamedTuple):
    """What the list says of a name."""

    signature: str
    fingerprint: str = ""


class Listed:
    """The list of upstream names, read from its file."""

    def __init__(self, text: str) -> None:
        """Read TOML; what its tables are stands there."""
        tables = tomllib.loads(text)
        self.documented: dict[str, str] = tables["documented"]
        self.private: dict[str, str] = tables["private"]
        self.named: Named = tables["named"]
        self.mixed: Mixed = tables["mixed"]
        self.copies: dict[str, tuple[str, str]] = tables["copies"]
        self.entries = {
            f"{of}.{member}": Entry(*([given] if isinstance(given, str) else given))
            for of, names in tables["names"].items()
            for member, given in names.items()
        }

    def documents(self, name: str) -> bool:
        """Tell whether a name, or its whole package, is documented; of a package what is private never is."""
        package, _, member = name.partition(".")[0], *name.rpartition(".")[1:]
        return name in self.documented or (package in self.documented and not is_private(member))


def is_private(member: str) -> bool:
    """Tell whether a name says that it is not for others."""
    return member.startswith("_") and not member.endswith("__")


def line(name: str, body: bool) -> str:
    """Return the line of the list for what is upstream now."""
    of, _, member = name.rpartition(".")
    found: Definition = definition(name)
    shown = [signature(found.node)] + ([fingerprint(found)] if body else [])
    return f'[names."{of}"] {member} = {json.dumps(shown if body else shown[0])}'


def changes(listed: Listed, uses: Uses) -> list[str]:
    """Return what upstream has changed, with what there is to do."""
    problems = []
    for name, entry in listed.entries.items():
        found, places = definition(name), at(uses.found.get(name) or uses.mentions.get(name.rpartition(".")[2], []))
        if found is None:
            problems.append(
                f"{name} has gone. What mentions its name: {places}.\n"
                "  An override of it is not called any more. Find what took its place, then mend ours and the list."
            )
        elif entry.signature != (now := signature(found.node)):
            problems.append(
                f"{name} was {entry.signature} and is {now}. It is used in {places}.\n"
                f"  See that this is right with it, then put into the list: {line(name, bool(entry.fingerprint))}"
            )
        elif entry.fingerprint and entry.fingerprint != fingerprint(found):
            problems.append(other_body(name, found, uses.replaced.get(name) or places, line(name, True)))
    for ours, (name, before) in listed.copies.items():
        found = definition(name)
        if found is None:
            problems.append(f"{name} has gone, which {ours} was written from.\n  Find what took its place upstream.")
        elif before != (now := fingerprint(found)):
            problems.append(other_body(name, found, ours, f"[copies] {json.dumps(ours)} = {json.dumps([name, now])}"))
    problems += [
        f"{name} has gone, although it is documented. Read what is new upstream, then mend ours and the list."
        for name in listed.documented
        if "." in name and name.partition(".")[0] not in sys.stdlib_module_names and not definition(name)
    ]
    return problems + [
        f"{of} has no {member} any more, which is used in {uses.private.get(member, 'nothing')}.\n"
        "  Find what took its place, then mend ours and the list."
        for member, of in listed.private.items()
        if not has_private(of, member)
    ]


def has_private(of: str, member: str) -> bool:
    """Tell whether something private is there, as far as that can be told: not of what is not installed."""
    if of.partition(".")[0] in sys.stdlib_module_names:
        return hasattr(resolve_name(of), member)
    found = definition(of)
    return found is None or member in found.source.text


def other_body(name: str, found: Definition, ours: str, row: str) -> str:
    """Return what there is to do where upstream's body has changed."""
    return (
        f"{name} has another body, and ours was written from the old one: {ours}.\n"
        f"  Read {found.source.name}, line {getattr(found.node, 'lineno', 1)}, carry over what matters, "
        f"then put into the list: {row}"
    )


def unlisted(listed: Listed, uses: Uses) -> list[str]:
    """Return what the package uses although it is neither documented nor listed, with what there is to do."""
    names = (name for name in sorted(uses.found) if not listed.documents(name) and name not in listed.entries)
    problems = [
        f"{name} is not in the list. It is used in {at(uses.found[name])}.\n"
        f"  Use what is documented, rename what overrides it by accident, or add: {line(name, name in uses.replaced)}"
        for name in names
    ]
    return problems + [
        f"{name} is private, and used in {where}.\n  Use what is public, or add it to [private]."
        for name, where in sorted(uses.private.items())
        if name not in listed.private and not any(known.endswith(f".{name}") for known in listed.documented)
    ]


def unused(listed: Listed, uses: Uses) -> list[str]:
    """Return what is listed although nothing uses it."""
    entries = [name for name in listed.entries if name not in uses.found and definition(name)]
    private = [name for name in listed.private if name not in uses.private]
    named = [name for name in listed.named if name not in uses.receivers]
    used = {*uses.found, *(name.partition(".")[0] for name in uses.found), *uses.private}
    documented = [name for name in listed.documented if not {name, name.rpartition(".")[2]} & used]
    ours = [name for name in (*listed.copies, *listed.mixed) if not definition(name)]
    found = entries + private + named + documented + ours
    return [f"{name}: nothing in the package is or uses that. Take it out of the list." for name in found]


def unprinted(listed: Listed, uses: Uses) -> list[str]:
    """Return what is overridden without a call of upstream's, and has no hash of what it was written from."""
    return [
        f"{name} is replaced by {where}, which does not call it.\n  Add its hash: {line(name, True)}"
        for name, where in uses.replaced.items()
        if not listed.documents(name) and name in listed.entries and not listed.entries[name].fingerprint
    ]


def at(places: list[str]) -> str:
    """Return some places as text."""
    return ", ".join(places[:5]) + (f" and {len(places) - 5} more" if len(places) > 5 else "")
