"""What RELOAD watches, what counts as a change, and the process that watches."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import watchfiles

from conftest import wait_until
from paddock.arbiter import watcher as reload
from paddock.arbiter.watcher import Watcher, changes, leaving_it_to_the_arbiter, named
from paddock.start.sources import Sources

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files below the directory of the test."""

    def run(*names: str, text: str = "") -> None:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    return run


def found(directory: Path, **options: Any) -> set[str]:
    """Return the files that matter, as seen from `directory`."""
    return {str(Path(path).relative_to(directory)) for path in Sources((str(directory),), **options).scan().files}


# --- What matters ---


def test_python_below_the_directory(tmp_path: Path, write: Write) -> None:
    write("main.py", "shop/__init__.py", "shop/deep/er/x.py", "README.md", "shop/page.html", "main.pyc", "py")

    assert found(tmp_path) == {"main.py", "shop/__init__.py", "shop/deep/er/x.py"}


@pytest.mark.parametrize(
    "name",
    [".git/hooks/x.py", ".venv/lib/x.py", "__pycache__/x.py", "web/node_modules/x/x.py", "env/lib/x.py", ".#main.py"],
)
def test_what_never_matters(tmp_path: Path, write: Write, name: str) -> None:
    write("main.py", "env/pyvenv.cfg", name)

    assert found(tmp_path) == {"main.py"}
    assert not any("node_modules" in path or ".git" in path for path in Sources((str(tmp_path),)).scan().directories)


def test_a_directory_that_is_named_matters_whatever_it_is_called(tmp_path: Path, write: Write) -> None:
    write(".hidden/main.py", ".hidden/pyvenv.cfg", ".hidden/.deeper/x.py")

    assert found(tmp_path / ".hidden") == {"main.py"}


@pytest.mark.parametrize(
    ("patterns", "files"),
    [
        (["*.html"], {"a.html", "templates/b.html", "templates/mail/c.html"}),
        (["templates/*.html"], {"templates/b.html", "templates/mail/c.html"}),
        (["templates/*"], {"templates/b.html", "templates/b.txt", "templates/mail/c.html"}),
        (["./a.html"], {"a.html"}),
        ([".env"], {".env"}),
        ([".env*"], {".env", ".env.local"}),
        (["*"], {"a.html", "templates/b.html", "templates/b.txt", "templates/mail/c.html"}),
        (["nothing", "[ab].html"], {"a.html", "templates/b.html"}),
    ],
)
def test_includes(tmp_path: Path, write: Write, patterns: list[str], files: set[str]) -> None:
    write("main.py", "a.html", "templates/b.html", "templates/b.txt", "templates/mail/c.html", ".env", ".env.local")

    assert found(tmp_path, includes=tuple(patterns)) == {"main.py", *files}


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("tests", {"main.py", "shop/a.py", "shop/a_pb2.py"}),
        ("tests/", {"main.py", "shop/a.py", "shop/a_pb2.py"}),
        ("tests/*", {"main.py", "shop/a.py", "shop/a_pb2.py"}),
        ("shop/tests", {"main.py", "shop/a.py", "shop/a_pb2.py", "tests/b.py"}),
        ("*_pb2.py", {"main.py", "shop/a.py", "tests/b.py", "shop/tests/c.py"}),
        ("a.py", {"main.py", "shop/a_pb2.py", "tests/b.py", "shop/tests/c.py"}),
    ],
)
def test_excludes(tmp_path: Path, write: Write, pattern: str, left: set[str]) -> None:
    write("main.py", "shop/a.py", "shop/a_pb2.py", "tests/b.py", "shop/tests/c.py")

    assert found(tmp_path, excludes=(pattern,)) == left


def test_absolute_patterns(tmp_path: Path, write: Write) -> None:
    write("main.py", "tests/b.py", "shop/tests/c.py")

    assert found(tmp_path, excludes=(str(tmp_path / "tests"),)) == {"main.py", "shop/tests/c.py"}


def test_what_cannot_be_read_is_not_there(tmp_path: Path, write: Write) -> None:
    write("main.py")
    (tmp_path / "broken.py").symlink_to("nowhere.py")
    (tmp_path / "round").symlink_to(tmp_path)

    assert found(tmp_path) == {"main.py"}
    assert Sources((str(tmp_path / "nowhere"),)).scan().files == {}


def test_sources_of_a_configuration() -> None:
    empty = SimpleNamespace(chdir="/app", reload_dirs=None, reload_includes=None, reload_excludes=None)
    full = SimpleNamespace(chdir="/app", reload_dirs=["/src"], reload_includes=["*.html"], reload_excludes=["tests"])

    assert Sources.of(empty) == Sources(("/app",))
    assert Sources.of(full) == Sources(("/src",), ("*.html",), ("tests",))


# --- What is a change ---


def test_changes_between_two_scans(tmp_path: Path, write: Write) -> None:
    sources = Sources((str(tmp_path),))
    write("same.py", "longer.py", "later.py", "gone.py")
    before = sources.scan()
    write("longer.py", text="x")
    os.utime(tmp_path / "later.py", ns=(1, 1))
    (tmp_path / "gone.py").unlink()
    write("new.py", "same.txt")

    changed = sources.scan().changed_since(before)
    assert changed == [str(tmp_path / name) for name in ("gone.py", "later.py", "longer.py", "new.py")]
    assert sources.scan().changed_since(sources.scan()) == []


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert named([f"{tmp_path}/shop/a.py"]) == "shop/a.py\n"
    assert named([f"{tmp_path}/{name}.py" for name in "abc"]) == "a.py, b.py, c.py\n"
    assert named([f"{tmp_path}/{name}.py" for name in "abcdefg"]) == "a.py, b.py, c.py and 4 more\n"
    assert named(["/src/a.py", f"{tmp_path}/two\nlines.py"]) == "/src/a.py, two\\nlines.py\n"
    assert len(named(["/" + "x" * 10_000])) < 2000


# --- Watching ---


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Watcher]:
    """A process that watches the directory of the test; the parameter says whether by polling."""
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", getattr(request, "param", "false"))
    watcher = Watcher(Sources((str(tmp_path),)))
    watcher.start()
    yield watcher
    watcher.stop()
    os.waitpid(watcher.pid, 0)
    os.close(watcher.pipe)


@pytest.mark.parametrize("watched", ["false", "true"], indirect=True, ids=["events", "polling"])
def test_changes_are_told(watched: Watcher, tmp_path: Path, write: Write) -> None:
    assert watched.changed() == ""
    write("a.py")
    assert wait_until(watched.changed, "a new file") == str(tmp_path / "a.py")
    # In directories that were not there.
    write("new/er/b.py")
    assert wait_until(watched.changed, "a new file in a new directory") == str(tmp_path / "new/er/b.py")
    write("new/er/b.py", text="x")
    assert wait_until(watched.changed, "a changed file in a new directory") == str(tmp_path / "new/er/b.py")
    shutil.rmtree(tmp_path / "new")
    assert wait_until(watched.changed, "a deleted file") == str(tmp_path / "new/er/b.py")
    write("new/er/b.py")
    assert wait_until(watched.changed, "a directory that is there again") == str(tmp_path / "new/er/b.py")
    # As editors do it.
    write("a.py~", text="saved")
    (tmp_path / "a.py~").rename(tmp_path / "a.py")
    assert wait_until(watched.changed, "a file in the place of another") == str(tmp_path / "a.py")


def test_the_end_of_the_process_is_noticed(watched: Watcher) -> None:
    os.kill(watched.pid, signal.SIGKILL)

    with pytest.raises(EOFError):
        wait_until(watched.changed, "the end")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_signals_of_a_terminal_do_not_end_it(watched: Watcher, tmp_path: Path, write: Write, number: int) -> None:
    os.kill(watched.pid, number)
    write("a.py")

    assert wait_until(watched.changed, "a new file") == str(tmp_path / "a.py")


@pytest.mark.parametrize("error", [OSError("OS file watch limit reached"), RuntimeError("too many instances")])
def test_without_events_it_looks_all_the_same(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def watch(*paths: str, **options: object) -> Iterator[object]:
        write("a.py")
        raise error

    monkeypatch.setattr(watchfiles, "watch", watch)
    monkeypatch.setattr(reload, "LOOK_AGAIN", 0.01)

    sources = Sources((str(tmp_path),))
    assert next(changes(sources, sources.scan(), lambda: True)) == [str(tmp_path / "a.py")]


def test_it_ends_when_the_arbiter_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "LOOK_AGAIN", 0.01)
    answers = iter([True, True, False, False])

    sources = Sources((str(tmp_path),))
    assert list(changes(sources, sources.scan(), lambda: next(answers))) == []


# --- Workers ---


@pytest.mark.parametrize("on", [True, False])
def test_workers_do_not_watch_and_leave_no_bytecode(monkeypatch: pytest.MonkeyPatch, on: bool) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    seen: list[Any] = []
    settings = {"reload": on}
    cfg = SimpleNamespace(reload=on, set=settings.__setitem__)
    worker = SimpleNamespace(cfg=cfg)

    leaving_it_to_the_arbiter(lambda *arguments: seen.append(arguments))("the arbiter", worker)

    assert settings == {"reload": False}
    assert sys.dont_write_bytecode is on
    assert seen == [("the arbiter", worker)]
