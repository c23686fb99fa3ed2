"""Two sets of packages in one process, each for its own side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BUILD = Path(__file__).parents[2] / "build"

Run = Callable[..., Any]


class World:
    """A server's directory of packages, and an application's."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.server = directory / "server"
        self.application = directory / "application"
        # What starts the others: it looks at its own set, at once and later.
        self.add(self.server, "front", "1.0", code=FRONT)

    def add(self, where: Path, name: str, version: str, code: str = "", **modules: str) -> None:
        """Install a package with a module `where`, which knows its own version."""
        package = where / name
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(f"version = {version!r}\n{textwrap.dedent(code)}")
        for module, text in modules.items():
            (package / f"{module}.py").write_text(f"version = {version!r}\n{textwrap.dedent(text)}")
        metadata = where / f"{name}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "RECORD").write_text(f"{name}/__init__.py,,\n")

    def both(self, name: str, server: str, application: str, code: str = "", **modules: str) -> None:
        """Install a package on both sides."""
        self.add(self.server, name, server, code, **modules)
        self.add(self.application, name, application, code, **modules)

    def run(self, script: str, before: str = "", install: str = "for_all=('gunicorn',)") -> Any:
        """Return what `script` puts into `result`, in an interpreter where the sets are apart; `before` runs first."""
        code = f"""\
import json, sys, importlib
{textwrap.dedent(before)}
from paddock import packages
server = packages.install({str(self.server)!r}, {install})
result = None
{textwrap.dedent(script)}
print(json.dumps(result))
"""
        path = os.pathsep.join([str(self.application), str(BUILD)])
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


FRONT = """
import importlib
from importlib import import_module

def now(name):
    return __import__(name, globals(), locals(), ["version"]).version

def statement():
    import two
    return two.version

def submodule():
    from two import part
    return part.version

def dotted():
    import two.part
    return two.part.version

def renamed():
    import two.part as there
    return there.version

def by_name(name="two.part"):
    return [importlib.import_module(name).version, import_module(name).version]

def relative():
    return import_module(".part", "two").version
"""

LATE = ("statement", "submodule", "dotted", "renamed", "relative")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("first", ["server", "application"])
def test_each_side_imports_its_own_whoever_is_first(world: World, first: str) -> None:
    world.both("two", "2.0", "1.0", part="")
    ours, theirs = "f = front.statement()", "import two.part; t = two.part.version"
    order = f"{ours}; {theirs}" if first == "server" else f"{theirs}; {ours}"

    assert world.run(f"import front; {order}; result = [f, t, sys.modules['two'].version]") == ["2.0", "1.0", "1.0"]


@pytest.mark.parametrize("how", LATE)
def test_an_import_that_comes_late_is_the_servers(world: World, how: str) -> None:
    world.both("two", "2.0", "1.0", part="")

    seen = world.run(f"import two.part, front; result = [front.{how}(), two.version, sys.modules['two.part'].version]")
    assert seen == ["2.0", "1.0", "1.0"]


def test_a_module_that_is_imported_by_its_name_is_the_servers(world: World) -> None:
    world.both("two", "2.0", "1.0", part="")

    assert world.run("import two.part, front; result = front.by_name()") == ["2.0", "2.0"]
    assert world.run("result = importlib.import_module('two').version") == "1.0"
    assert world.run("import front; result = front.importlib.util.__name__") == "importlib.util"


def test_what_the_servers_packages_import_is_the_servers(world: World) -> None:
    code = "import three\nfrom . import part\ndef late():\n    from three import deep\n    return deep.version"
    world.both("two", "2.0", "1.0", code, part="from three import version as seen")
    world.both("three", "2.1", "1.1", deep="")

    script = """
        two = server.import_module("two")
        import two as theirs
        result = [
            [side.version, side.three.version, side.part.seen, side.late(), side.part.version] for side in (two, theirs)
        ]
    """
    assert world.run(script) == [["2.0", "2.1", "2.1", "2.1", "2.0"], ["1.0", "1.1", "1.1", "1.1", "1.0"]]


def test_what_the_application_has_imported_before_stays_its_own(world: World) -> None:
    world.both("two", "2.0", "1.0", part="")

    script = "import front, two; result = [front.dotted(), two is before, two.version, two.part.version]"
    assert world.run(script, before="import two.part; before = two") == ["2.0", True, "1.0", "1.0"]


def test_what_the_application_has_imported_before_is_not_the_servers_in_the_same_version(world: World) -> None:
    world.both("two", "2.0", "2.0", part="")

    script = "import front; front.dotted(); result = server.modules['two'].__file__"
    assert world.run(script, before="import two").startswith(str(world.server))


def test_the_same_version_is_loaded_once_and_is_the_servers(world: World) -> None:
    world.both("two", "2.0", "2.0", part="")

    script = "import two, front; front.statement(); result = [two.__file__, list(server.modules), server.differences()]"
    assert world.run(script) == [str(world.server / "two/__init__.py"), [], []]


def test_one_that_was_not_installed_from_an_index_may_be_changed(world: World) -> None:
    world.both("two", "2.0", "2.0")
    (world.application / "two-2.0.dist-info/direct_url.json").write_text("{}")

    script = "import two; result = [two.__file__, server.differences()[0].application]"
    assert world.run(script) == [str(world.application / "two/__init__.py"), "2.0 (not from an index)"]


def test_what_the_application_lacks_it_has_from_the_server(world: World) -> None:
    world.add(world.server, "alone", "3.0", code="import two\nseen = two.version")
    world.both("two", "2.0", "1.0")

    assert world.run("import alone, two; result = [alone.version, alone.seen, two.version]") == ["3.0", "2.0", "1.0"]


def test_what_the_server_lacks_it_has_from_the_application_which_imports_its_own(world: World) -> None:
    # As wsproto, which Uvicorn can use and which uses h11.
    world.both("two", "2.0", "1.0", code="def use():\n    import extra\n    return [extra.version, extra.two.version]")
    world.add(world.application, "extra", "5.0", code="import two")
    world.add(world.server, "eager", "1.0", code="import two, extra\nseen = two.use()")
    world.both("apart", "2.0", "1.0", code="import extra, two\nseen = [two.version, extra.two.version]")

    assert world.run("import eager; result = eager.seen") == ["5.0", "1.0"]
    assert world.run("import front; result = server.import_module('apart').seen") == ["2.0", "1.0"]


def test_gunicorn_is_the_servers_for_everyone_and_by_hand_the_applications(world: World) -> None:
    world.both("gunicorn", "27", "20", util="")
    world.add(world.server, "worker", "1", code="import gunicorn.util\nseen = gunicorn.util.version")
    script = "import gunicorn.util, worker; result = [gunicorn.version, gunicorn.util.version, worker.seen]"

    assert world.run(script) == ["27", "27", "27"]
    assert world.run(script, before="import gunicorn.util") == ["27", "27", "27"]
    assert world.run(script, install="left=('gunicorn',)") == ["20", "20", "20"]


def test_an_application_may_have_the_name_of_the_server(world: World) -> None:
    world.add(world.application, "paddock", "of the application")
    (world.server / "paddock").symlink_to(BUILD / "paddock")

    done = subprocess.run(
        [sys.executable, world.server / "paddock", "--help"],
        env=os.environ | {"PYTHONPATH": str(world.application)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: paddock")


def test_directories_that_come_later_are_looked_at(world: World) -> None:
    world.add(world.server, "two", "2.0")
    later = world.directory / "later"
    world.add(later, "two", "1.0")
    (later / "front").mkdir()

    script = f"""
        import front
        before = front.statement()
        sys.path.insert(0, {str(later)!r})
        packages.look()
        import two
        # A folder without code of this name is no package.
        result = [before, front.statement(), two.version, sys.modules["front"] is front]
    """
    assert world.run(script) == ["2.0", "2.0", "1.0", True]


def test_reload_and_pickle_know_the_applications(world: World) -> None:
    world.both("two", "2.0", "1.0", code="class Lost(Exception): pass")

    script = """
        import pickle, front, two
        front.statement()
        there = pickle.loads(pickle.dumps(two.Lost("x")))
        result = [type(there) is two.Lost, importlib.reload(two).version, front.statement()]
    """
    assert world.run(script) == [True, "1.0", "2.0"]


def test_a_failed_import_leaves_everything_as_it_was(world: World) -> None:
    world.both("two", "2.0", "1.0", broken="raise RuntimeError('broken')")

    script = """
        import front, two
        try:
            front.by_name("two.broken")
        except RuntimeError as error:
            said = str(error)
        try:
            front.by_name("two.missing")
        except ModuleNotFoundError as error:
            result = [said, error.name, two is sys.modules["two"], two.version, front.statement()]
    """
    assert world.run(script) == ["broken", "two.missing", True, "1.0", "2.0"]


def test_threads_import_at_the_same_time(world: World) -> None:
    modules = {f"m{i}": "import time; time.sleep(0.001)" for i in range(20)}
    world.both("two", "2.0", "1.0", **modules)

    script = """
        import threading, front
        seen = {"server": set(), "application": set()}
        def ours():
            for i in range(20):
                seen["server"].update(front.by_name(f"two.m{i}"))
        threads = [threading.Thread(target=ours) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        import two
        for i in range(20):
            seen["application"].add(importlib.import_module(f"two.m{i}").version)
        result = {side: sorted(versions) for side, versions in seen.items()}
    """
    assert world.run(script) == {"server": ["2.0"], "application": ["1.0"]}


def test_a_process_that_forks_while_another_thread_imports_can_import(world: World) -> None:
    world.both("two", "2.0", "1.0", slow="import time; time.sleep(0.5)", part="")

    script = """
        import os, threading, time, front, two
        thread = threading.Thread(target=front.by_name, args=["two.slow"])
        thread.start()
        time.sleep(0.1)
        child = os.fork()
        if not child:
            os._exit(0 if [front.dotted(), two.version, sys.modules["two"].version] == ["2.0", "1.0", "1.0"] else 1)
        thread.join()
        result = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    """
    assert world.run(script) == 0


def test_differences(world: World) -> None:
    world.both("two", "2.0", "1.0")
    world.both("same", "3.0", "3.0")
    (world.application / "front").mkdir()
    (world.application / "front/__init__.py").write_text("")

    script = "result = [[d.distribution, d.server, d.application] for d in packages.differences()]"
    assert world.run(script) == [["front", "1.0", None], ["two", "2.0", "1.0"]]


def test_nothing_is_kept_apart_where_nothing_was_installed() -> None:
    from paddock import packages

    packages.look()
    assert packages.differences() == []
