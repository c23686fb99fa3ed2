from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from paddock import requirements
from paddock.errors import Problem
from paddock.requirements import conflicts

PADDOCK = ("gunicorn>=27.0,<28", "uvicorn[standard]>=0.54,<0.60")
UVICORN = (
    "click>=7.0",
    "h11>=0.8",
    "typing-extensions>=4.0; python_version < '3.0'",
    "httptools>=0.8.0; extra == 'standard'",
    "websockets>=13.0; extra == 'standard'",
    "pyyaml>=5.1; extra == 'standard'",
)


def install(directory: Path, name: str, version: str, *requires: str) -> None:
    """Lay down the metadata of a distribution; its code is never looked at."""
    info = directory / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}"]
    (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {line}" for line in requires), ""]))


@pytest.fixture
def server(tmp_path: Path) -> Path:
    directory = tmp_path / "server"
    install(directory, "paddock", "0", *PADDOCK)
    install(directory, "gunicorn", "27.0.1", "gevent>=24; extra == 'gevent'")
    install(directory, "uvicorn", "0.54.0", *UVICORN)
    install(directory, "click", "8.5.1")
    install(directory, "h11", "0.16.0")
    install(directory, "typing-extensions", "4.16.0")
    install(directory, "httptools", "0.9.0")
    install(directory, "websockets", "17.4")
    return directory


@pytest.fixture
def app(tmp_path: Path) -> Path:
    directory = tmp_path / "app"
    directory.mkdir()
    return directory


def found(server: Path, *paths: Path | str) -> list[tuple[str, str]]:
    return [(problem.name, problem.message) for problem in conflicts(server, [*map(str, paths), str(server)])]


def test_nothing_installed(server: Path, app: Path) -> None:
    assert found(server, app) == []


def test_other_distributions_take_the_fast_path(server: Path, app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(requirements, "_Check")
    install(app, "fastapi", "0.200.0", "starlette>=1")
    (app / "uvicorn").mkdir()
    assert found(server, app, "/no/such/directory", "/no/such.zip", Path(__file__)) == []


@pytest.mark.parametrize("uvicorn", ["0.54.0", "0.54.1", "0.59.9", "0.55.0rc1", "0.54.0+local"])
def test_pins_that_work(server: Path, app: Path, uvicorn: str) -> None:
    install(app, "uvicorn", uvicorn, *UVICORN)
    install(app, "click", "8.0")
    assert found(server, app) == []


def test_a_server_package_out_of_range(server: Path, app: Path) -> None:
    install(app, "uvicorn", "0.34.0", "h11>=99")
    assert found(server, app) == [
        (
            "uvicorn 0.34.0",
            f"installed by the application in {app}; Paddock's server needs uvicorn>=0.54,<0.60: "
            "pin one of those or remove the pin",
        )
    ]


def test_a_dependency_of_an_extra_out_of_range(server: Path, app: Path) -> None:
    install(app, "websockets", "10.4")
    assert found(server, app) == [
        (
            "websockets 10.4",
            f"installed by the application in {app}; uvicorn 0.54.0 of Paddock's server needs websockets>=13.0: "
            "pin one of those or remove the pin",
        )
    ]


def test_all_problems_at_once(server: Path, app: Path) -> None:
    install(app, "gunicorn", "20.1.0")
    install(app, "h11", "0.7")
    install(app, "websockets", "10.4")
    assert [name for name, _ in found(server, app)] == ["gunicorn 20.1.0", "h11 0.7", "websockets 10.4"]


def test_a_pin_that_needs_more_than_the_server_has(server: Path, app: Path) -> None:
    install(app, "uvicorn", "0.55.0", "click>=7.0", "h11>=0.20")
    assert found(server, app) == [
        (
            "h11 0.16.0",
            f"part of Paddock's server; uvicorn 0.55.0, installed by the application in {app}, needs h11>=0.20: "
            "add that to the application's requirements, or remove its pin of uvicorn",
        )
    ]


def test_a_pin_whose_extra_needs_more_than_the_server_has(server: Path, app: Path) -> None:
    install(app, "uvicorn", "0.55.0", "websockets>=20; extra == 'standard'", "new-thing>=1; extra == 'standard'")
    assert [name for name, _ in found(server, app)] == ["websockets 17.4"]


def test_a_pin_with_its_own_dependencies(server: Path, app: Path) -> None:
    install(app, "uvicorn", "0.55.0", "h11>=0.20")
    install(app, "h11", "0.20.0")
    assert found(server, app) == []


def test_an_application_that_disagrees_with_itself(server: Path, app: Path) -> None:
    install(app, "uvicorn", "0.55.0", "h11>=0.20")
    install(app, "h11", "0.19.0")
    assert found(server, app) == [
        (
            "h11 0.19.0",
            f"installed by the application in {app}; uvicorn 0.55.0, installed by the application too, needs "
            "h11>=0.20: pin one of those or remove the pin",
        )
    ]


def test_a_dependency_that_is_nowhere(server: Path, app: Path) -> None:
    install(app, "uvicorn", "0.55.0", "brand-new>=1")
    assert found(server, app) == [
        (
            "brand-new",
            "not installed; uvicorn 0.55.0, installed by the application too, needs brand-new>=1: "
            "add that to the application's requirements",
        )
    ]


def test_markers_that_do_not_hold_count_for_nothing(server: Path, app: Path) -> None:
    install(app, "typing-extensions", "3.7")
    assert found(server, app) == []


def test_markers_that_hold_count(server: Path, app: Path) -> None:
    install(app, "uvicorn", "0.55.0", "h11>=0.20; python_version >= '3.11'", "click>=99; sys_platform == 'win32'")
    assert [name for name, _ in found(server, app)] == ["h11 0.16.0"]


def test_the_first_of_several_directories_wins(server: Path, app: Path, tmp_path: Path) -> None:
    install(app, "h11", "0.16.0")
    install(tmp_path / "second", "h11", "0.1")
    assert found(server, app, tmp_path / "second") == []
    assert [name for name, _ in found(server, tmp_path / "second", app)] == ["h11 0.1"]


def test_what_comes_after_the_server_never_wins(server: Path, app: Path) -> None:
    install(app, "h11", "0.1")
    assert conflicts(server, [str(server), str(app)]) == []


def test_the_working_directory(server: Path, app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(app, "h11", "0.1")
    monkeypatch.chdir(app)
    assert [name for name, _ in found(server, "")] == ["h11 0.1"]


def test_an_application_called_paddock(server: Path, app: Path) -> None:
    install(app, "paddock", "7.0", "h11>=99")
    assert found(server, app) == []


@pytest.mark.parametrize("name", ["Typing.Extensions", "typing_extensions", "TYPING-EXTENSIONS"])
def test_names_are_compared_normalized(server: Path, app: Path, name: str) -> None:
    install(app, "uvicorn", "0.55.0", "typing.extensions>=5")
    install(app, name, "5.0")
    assert found(server, app) == []


def test_an_egg_info_directory(server: Path, app: Path) -> None:
    info = app / "h11.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: h11\nVersion: 0.1\n")
    assert [name for name, _ in found(server, app)] == ["h11 0.1"]


def test_what_cannot_be_read_is_passed_over(server: Path, app: Path) -> None:
    (app / "h11-0.1.dist-info").mkdir()
    (app / "click-1.dist-info").mkdir()
    (app / "click-1.dist-info" / "METADATA").write_text("nothing of use")
    install(app, "httptools", "0.9.0", ">>> no requirement", "h11 >=0.1; no_such_marker == '1'")
    assert found(server, app) == []


def test_a_version_that_is_none_does_not_fit(server: Path, app: Path) -> None:
    install(app, "websockets", "not a version")
    assert [name for name, _ in found(server, app)] == ["websockets not a version"]


def test_rings_end(server: Path, app: Path) -> None:
    install(app, "h11", "0.16.0", "click")
    install(app, "click", "8.0", "h11", "uvicorn[standard]")
    assert found(server, app) == []


def test_a_problem_is_one_for_the_list(server: Path, app: Path) -> None:
    install(app, "h11", "0.1")
    [problem] = conflicts(server, [str(app)])
    assert isinstance(problem, Problem)
    assert str(problem).startswith("h11 0.1: installed by the application in ")


def test_the_packages_of_this_very_environment_fit(tmp_path: Path) -> None:
    install(tmp_path, "paddock", "0", f"uvicorn[standard]=={version('uvicorn')}", f"gunicorn=={version('gunicorn')}")
    install(tmp_path, "uvicorn", "0")
    assert conflicts(tmp_path, [*sys.path, str(tmp_path)]) == []
