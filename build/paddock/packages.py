"""The two sets of packages in one process: the server's modules import the server's, all others the application's.

Where both sets have a package, `sys.modules` holds the application's, and this module the server's. A module that is
loaded from the server's directory gets builtins of its own, of which `__import__` knows both:
https://docs.python.org/3/reference/executionmodel.html#builtins-and-restricted-execution
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import os
import re
import sys
from _thread import RLock, get_ident
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from types import ModuleType
from typing import Any, cast


@dataclass(frozen=True)
class Difference:
    """A distribution of which there are two copies; `application` is None where nothing tells the version."""

    distribution: str
    server: str
    application: str | None


class Packages:
    """The server's packages in the directory `library`, beside those that `sys.path` leads to without it.

    Those that `for_all` names are the server's for the application, too, and `left` names those that are not: the
    application's where it has them.
    """

    def __init__(self, library: str, for_all: Iterable[str] = (), left: Iterable[str] = ()) -> None:
        self.library = library
        self.apart: dict[str, Difference] = {}
        """What there are two copies of, by the name of the package."""
        self.shared = set(for_all)
        """What is the server's for everyone."""
        self.modules: dict[str, ModuleType] = {}
        """The server's modules below the names in `apart`."""
        self.names = _packages(library) - set(left)
        self._distributions: dict[str, tuple[str, str]] = {}
        self._seen: set[str] = set()
        self._lock = RLock()
        self._inside: int | None = None
        self._theirs: dict[str, ModuleType] = {}
        self._builtins = {**vars(builtins), "__import__": self._import}
        self._importlib = _Importlib(self.import_module)

    def install(self) -> None:
        """Compare the two sets, and let the server's modules, from the next on, import their own."""
        for name in self.shared:
            self._forget(name)
        for name in self.names - self.shared:
            self._compare(name, _found(name))
        self._seen.update(sys.path)
        sys.path.append(self.library)
        sys.path_hooks.insert(0, self._finder_of)
        for path in [path for path in sys.path_importer_cache if self._is_own(path)]:
            del sys.path_importer_cache[path]
        # Behind the hooks of those who watch imports, as agents do that measure.
        sys.meta_path.insert(sys.meta_path.index(PathFinder), self)
        os.register_at_fork(
            before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._lock.release
        )

    def look(self) -> None:
        """Compare with what has come to the front of `sys.path`, where the application's modules may be."""
        new = [path for path in sys.path if path not in self._seen and path != self.library]
        self._seen.update(new)
        for name in self.names - self.shared - self.apart.keys() if new else ():
            self._compare(name, PathFinder.find_spec(name, new))

    def differences(self) -> list[Difference]:
        """Return the distributions of which there are two copies, by name."""
        return sorted(set(self.apart.values()), key=lambda difference: difference.distribution)

    def import_module(self, name: str, package: str | None = None) -> ModuleType:
        """Import a module as the server sees it; the arguments are those of `importlib.import_module`."""
        absolute = importlib.util.resolve_name(name, package)
        if absolute.partition(".")[0] not in self.apart or self._is_inside():
            return importlib.import_module(absolute)
        if absolute not in self.modules:
            with self._view():
                importlib.import_module(absolute)
        return self.modules[absolute]

    # What the import system asks

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Find a top-level package of the server's, where it is not the application's turn.

        https://docs.python.org/3/library/importlib.html#importlib.abc.MetaPathFinder.find_spec
        """
        if path is None and (name in self.shared or (name in self.apart and self._is_inside())):
            return PathFinder.find_spec(name, [self.library])
        return None

    def _finder_of(self, path: str) -> FileFinder:
        """Return what finds modules in a directory of the server's: https://docs.python.org/3/library/sys.html#sys.path_hooks"""
        if not self._is_own(path):
            raise ImportError(path)
        own = self._builtins

        class Loader(SourceFileLoader):
            def exec_module(self, module: ModuleType) -> None:
                # Before it runs: a function keeps the builtins that its module has when it is made.
                vars(module)["__builtins__"] = own
                super().exec_module(module)

        return FileFinder(path, (ExtensionFileLoader, EXTENSION_SUFFIXES), (Loader, SOURCE_SUFFIXES))

    def _import(
        self,
        name: str,
        globals: dict[str, Any] | None = None,
        locals: dict[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What `import` means in the server's modules: https://docs.python.org/3/library/functions.html#import__"""
        arguments = (name, globals, locals, fromlist, level)
        absolute = _absolute(name, globals, level) if level else name
        top = absolute.partition(".")[0]
        if self._is_inside():
            if absolute in sys.modules or top in self.names or top in sys.stdlib_module_names:
                return self._seen_by_server(builtins.__import__(*arguments))
            with self._view(of_server=False):
                return builtins.__import__(*arguments)
        if top not in self.apart:
            return self._seen_by_server(builtins.__import__(*arguments))
        module = self.modules.get(absolute)
        if module is None or any(not hasattr(module, attribute) for attribute in fromlist or ()):
            with self._view():
                return builtins.__import__(*arguments)
        return module if fromlist else self.modules[top]

    def _seen_by_server(self, module: ModuleType) -> ModuleType:
        return self._importlib if module is importlib else module

    # Two copies

    @contextmanager
    def _view(self, of_server: bool = True) -> Iterator[None]:
        """Let `sys.modules` hold the server's copies, or again the application's, while something is imported.

        What is loaded already is found without that, so it is rare once there are threads.
        """
        with self._lock:
            if self._is_inside() is of_server:
                yield
                return
            self._turn()
            try:
                yield
            finally:
                self._turn()

    def _turn(self) -> None:
        present = {name: sys.modules[name] for name in list(sys.modules) if name.partition(".")[0] in self.apart}
        for name in present:
            del sys.modules[name]
        if self._inside is None:
            self._theirs = present
            sys.modules.update(self.modules)
            self._inside = get_ident()
        else:
            self.modules = present
            sys.modules.update(self._theirs)
            self._inside = None

    def _is_inside(self) -> bool:
        return self._inside is not None and self._inside == get_ident()

    def _compare(self, name: str, theirs: ModuleSpec | None) -> None:
        """Part a package if the application has it, and as something else than the server does."""
        imported = name in sys.modules and not self._is_own(_file(name))
        origin = _file(name) if imported else (theirs.origin or "") if theirs and theirs.has_location else None
        if origin is None or self._is_own(origin):
            return
        distribution, version = self._distribution(name)
        installed = _installed(distribution, origin)
        if installed == version and not imported:
            self.shared.add(name)
        else:
            self.apart[name] = Difference(distribution, version, installed)
            self._part(name)

    def _part(self, name: str) -> None:
        """Take what the server has loaded of a package out of the application's sight."""
        for module in _below(name):
            if self._is_own(_file(module)):
                self.modules[module] = sys.modules.pop(module)

    def _forget(self, name: str) -> None:
        """Drop what the application has imported of a package that is the server's for everyone."""
        for module in _below(name):
            if not self._is_own(_file(module)):
                del sys.modules[module]

    def _distribution(self, package: str) -> tuple[str, str]:
        """Return the name and version of the server's distribution that a package is from."""
        if not self._distributions:
            for entry in os.listdir(self.library):
                if entry.endswith(".dist-info"):
                    for name in _contents(os.path.join(self.library, entry)):
                        self._distributions[name] = _name_and_version(entry)
        return self._distributions.get(package, (package, ""))

    def _is_own(self, path: str) -> bool:
        return path == self.library or path.startswith(self.library + os.sep)


class _Importlib(ModuleType):
    """`importlib` as the server sees it."""

    def __init__(self, import_module: Callable[..., ModuleType]) -> None:
        super().__init__("importlib")
        self.import_module = import_module

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib, name)


_current: Packages | None = None


def install(library: str, for_all: Iterable[str] = (), left: Iterable[str] = ()) -> Packages:
    """Keep the two sets of packages apart from now on; see `Packages`."""
    global _current
    _current = Packages(library, for_all, left)
    _current.install()
    return _current


def look() -> None:
    """Compare with what has come to the front of `sys.path` since."""
    if _current:
        _current.look()


def differences() -> list[Difference]:
    """Return the distributions of which there are two copies, by name."""
    return _current.differences() if _current else []


def _packages(library: str) -> set[str]:
    """Return the names of the packages and modules in a directory."""
    names = {entry.removesuffix(".py") for entry in os.listdir(library)}
    return {name for name in names if name.isidentifier() and name != "__pycache__"}


def _contents(metadata: str) -> set[str]:
    """Return the packages and modules of an installed distribution.

    https://packaging.python.org/en/latest/specifications/recording-installed-packages/#the-record-file
    """
    try:
        with open(os.path.join(metadata, "RECORD"), encoding="utf-8") as record:
            return {line.partition(",")[0].partition("/")[0].removesuffix(".py") for line in record}
    except FileNotFoundError:
        return set()


def _name_and_version(metadata: str) -> tuple[str, str]:
    """Return `typing_extensions-4.16.0.dist-info` as the normalized name and the version.

    https://packaging.python.org/en/latest/specifications/recording-installed-packages/#the-dist-info-directory
    """
    name, _, version = metadata.rpartition(".")[0].partition("-")
    return re.sub(r"[-_.]+", "-", name).lower(), version.partition("-")[0]


def _installed(distribution: str, origin: str) -> str | None:
    """Return the version of the distribution that the package in the file `origin` is from, if it is told.

    Not of one that was installed from elsewhere than an index: it may say any version, and be changed.
    https://packaging.python.org/en/latest/specifications/direct-url/
    """
    directory = os.path.dirname(origin)
    if os.path.basename(origin).startswith("__init__."):
        directory = os.path.dirname(directory)
    for entry in os.listdir(directory) if os.path.isdir(directory) else ():
        if entry.endswith((".dist-info", ".egg-info")) and _name_and_version(entry)[0] == distribution:
            direct = os.path.exists(os.path.join(directory, entry, "direct_url.json"))
            version = _name_and_version(entry)[1]
            return f"{version} (not from an index)" if direct else version
    return None


def _found(name: str) -> ModuleSpec | None:
    """Return what an import would find; not what is loaded already."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if find and (spec := find(name, None)):
            return cast(ModuleSpec, spec)
    return None


def _file(module: str) -> str:
    return getattr(sys.modules[module], "__file__", None) or ""


def _below(name: str) -> list[str]:
    return [module for module in sys.modules if module == name or module.startswith(f"{name}.")]


def _absolute(name: str, globals: dict[str, Any] | None, level: int) -> str:
    """Return what a relative import in a module with these globals names."""
    parent = globals["__spec__"].parent if globals else ""
    for _ in range(level - 1):
        parent = parent.rpartition(".")[0]
    return f"{parent}.{name}" if name else parent
