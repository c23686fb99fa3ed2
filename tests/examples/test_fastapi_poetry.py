"""The FastAPI example that Poetry installs, as its README says that it is used."""

import pytest

from examples.conftest import LOCKED_UP

IMAGE = "paddock-example:fastapi-poetry"


@pytest.fixture
def championship(start):
    """The example with two workers, as locked up as it can be."""
    return start(image=IMAGE, environment={"WORKERS": "2"}, **LOCKED_UP).wait_healthy()


def test_every_route_answers_and_it_stops_cleanly(championship):
    season = {"races": [["ann", "bob"], ["bob", "ann"], ["bob"]]}

    assert championship.get("/health").json() == {"status": "ok"}
    assert list(championship.get("/scales").json()) == ["formula-1", "motogp"]
    assert championship.get("/scales/motogp").json()[:3] == [25, 20, 16]
    assert championship.get("/scales/chess").status_code == 404
    assert championship.post("/standings", json=season).json() == [
        {"place": 1, "driver": "bob", "points": 68, "wins": 2},
        {"place": 2, "driver": "ann", "points": 43, "wins": 1},
    ]
    assert championship.post("/standings", json={"races": [["ann", "ann"]]}).status_code == 422
    assert championship.post("/standings", json=season | {"scale": "chess"}).status_code == 404
    assert championship.get("/docs").status_code == 200
    assert "/standings" in championship.get("/openapi.json").json()["paths"]

    assert championship.stop() == 0


def test_the_image_holds_what_poetry_locked_for_production_and_no_more(championship):
    packages = championship.run("python", "-c", LIST_PACKAGES).split()

    assert {"fastapi", "pydantic", "starlette"} <= set(packages)
    assert not {"black", "pip", "poetry", "pytest", "uvicorn"} & set(packages)
    assert championship.run("sh", "-c", "command -v poetry uv pip black || true") == ""
    assert championship.run("find", "/app", "/opt", "-writable", "!", "-type", "l") == ""


LIST_PACKAGES = """
from importlib.metadata import distributions
from sysconfig import get_path
print(*(each.name for each in distributions(path=[get_path("purelib")])))
"""


def test_the_packages_are_compiled(championship):
    """The server cannot write bytecode, and would compile them again for each worker."""
    assert championship.run("python", "-c", LIST_UNCOMPILED) == "\n"


LIST_UNCOMPILED = """
import os, sys, app.main
specs = [module.__spec__ for module in sys.modules.values() if "/opt/venv" in str(getattr(module, "__file__", ""))]
assert "fastapi" in [spec.name for spec in specs]
print(*(spec.name for spec in specs if spec.cached and not os.path.exists(spec.cached)))
"""
