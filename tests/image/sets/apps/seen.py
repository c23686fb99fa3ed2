"""What an application sees of the two sets of packages, from the process that serves it."""

import gc
import importlib
import json
import multiprocessing
import os
import pickle
import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

LIBRARY = "/opt/paddock/lib/"
NAMES = {entry.partition(".")[0] for entry in os.listdir(LIBRARY) if not entry.endswith("-info")} - {"__pycache__"}
"""The packages of the server."""

MODULES = {
    "anyio": "anyio",
    "click": "click",
    "gunicorn": "gunicorn",
    "h11": "h11",
    "httptools": "httptools",
    "idna": "idna",
    "packaging": "packaging",
    "python-dotenv": "dotenv",
    "pyyaml": "yaml",
    "typing-extensions": "typing_extensions",
    "uvicorn": "uvicorn",
    "uvloop": "uvloop",
    "watchfiles": "watchfiles",
    "websockets": "websockets",
}
"""The distributions that both may have, and a module of each."""


def installed():
    """Return the version and the file of each distribution that both may have, as the application imports it."""
    found = {}
    for distribution, module in MODULES.items():
        try:
            found[distribution] = [version(distribution), importlib.import_module(module).__file__]
        except (PackageNotFoundError, ModuleNotFoundError):
            continue
    return found


def report():
    """Return all there is to see, as JSON."""
    own, misplaced = walk()
    return json.dumps({"installed": installed(), "server": own, "misplaced": misplaced})


def walk():
    """Return the names of the server's modules, and what these hold of the application's copies."""
    # What PRELOAD_APP has frozen is not listed otherwise.
    gc.unfreeze()
    loaded = [found for found in gc.get_objects() if issubclass(type(found), ModuleType)]
    own = [module for module in loaded if file_of(module).startswith(LIBRARY)]
    # There is one Gunicorn for both sides.
    copies = {
        module.__name__: module
        for module in loaded
        if module not in own and file_of(module) and top(module.__name__) in NAMES - {"gunicorn"}
    }
    theirs = {id(module) for module in copies.values()}
    for name, module in copies.items():
        theirs |= {id(value) for value in list(vars(module).values()) if is_defined_in(value, name)}
    misplaced = [
        f"{module.__name__}.{name}"
        for module in own
        for name, value in list(vars(module).items())
        if id(value) in theirs
    ]
    return sorted({module.__name__ for module in own}), misplaced


def is_defined_in(value, module):
    """Tell whether a value is a class or a function of a module, and no other's."""
    return isinstance(value, type | type(top)) and value.__module__ == module


def file_of(module):
    return vars(module).get("__file__") or ""


def top(name):
    return name.partition(".")[0]


def pickled():
    """Return an exception of a package that both have after a journey, and how a child process imports."""
    import click

    there_and_back = pickle.loads(pickle.dumps(click.ClickException("lost")))
    seen = {"pickled": type(there_and_back) is click.ClickException}
    for method in ("spawn", "forkserver", "fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            seen[method] = pool.apply(installed)
            seen[f"{method} error"] = pool.apply(click.ClickException, ("found",)).message
    return json.dumps(seen)


def reloaded():
    """Return where a package comes from that is imported once more."""
    import click

    return json.dumps({"file": importlib.reload(click).__file__, "same": sys.modules["click"] is click})


PAGES = {"/": report, "/children": pickled, "/reload": reloaded}
