"""What is taken for the application when nobody names it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from paddock.discovery import Target, contents, directory_of, find, modules
from paddock.errors import StartError

APP = "app = object()\n"
SETTINGS = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{}")\n'


def write(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


@pytest.mark.parametrize(
    ("file", "spec"),
    [
        ("main.py", "main:app"),
        ("app.py", "app:app"),
        ("app/main.py", "app.main:app"),
        ("app/__init__.py", "app:app"),
        ("asgi.py", "asgi:app"),
        ("wsgi.py", "wsgi:app"),
        ("shop/asgi.py", "shop.asgi:app"),
        ("shop/wsgi.py", "shop.wsgi:app"),
        ("shop/main.py", "shop.main:app"),
        ("flaskr/__init__.py", "flaskr:app"),
    ],
)
def test_layouts_in_the_working_directory(tmp_path: Path, file: str, spec: str) -> None:
    target = find(write(tmp_path, {file: APP}))
    assert (target.spec, target.path) == (spec, tmp_path)


@pytest.mark.parametrize(
    ("file", "spec"),
    [
        ("src/main.py", "main:app"),
        ("src/app.py", "app:app"),
        ("src/shop/main.py", "shop.main:app"),
        ("src/shop/app.py", "shop.app:app"),
        ("src/shop/__init__.py", "shop:app"),
        ("src/shop/asgi.py", "shop.asgi:app"),
        ("src/shop/wsgi.py", "shop.wsgi:app"),
    ],
)
def test_layouts_in_src(tmp_path: Path, file: str, spec: str) -> None:
    target = find(write(tmp_path, {file: APP}))
    assert (target.spec, target.path) == (spec, tmp_path / "src")


@pytest.mark.parametrize(
    "files",
    [
        {"src/__init__.py": "", "src/main.py": APP},
        {"src/main.py": "from src.routes import api\n" + APP},
        {"src/main.py": "import src.routes\n" + APP},
    ],
)
def test_src_may_be_a_package_itself(tmp_path: Path, files: dict[str, str]) -> None:
    assert find(write(tmp_path, files)) == Target("src.main", "app", tmp_path)


def test_the_first_file_in_the_order_wins(tmp_path: Path) -> None:
    write(tmp_path, {"wsgi.py": APP, "app/__init__.py": APP, "app/main.py": APP})
    assert find(tmp_path).spec == "app.main:app"


def test_a_file_without_an_application_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": "def main(): ...\n", "app/__init__.py": "", "wsgi.py": APP})
    assert find(tmp_path).spec == "wsgi:app"


def test_a_module_behind_a_package_of_its_name_cannot_be_imported(tmp_path: Path) -> None:
    write(tmp_path, {"app.py": "app = 1\n", "app/__init__.py": "def create_app(): ...\n"})
    assert find(tmp_path).spec == "app:create_app"


@pytest.mark.parametrize(
    "source",
    [
        "api = application = app = make()",
        "app: object = make()",
        "app, other = make()",
        "def app(environ, start_response): ...",
        "async def app(scope, receive, send): ...",
        "class app: ...",
        "from shop.server import app",
        "from shop.server import server as app",
        "from .server import app",
        "if debug:\n    app = make()\nelse:\n    app = make(debug)",
        "try:\n    import fast\nexcept ImportError:\n    app = slow()",
        "with patched():\n    app = make()",
        "match env:\n    case 'prod':\n        app = make()",
    ],
)
def test_ways_to_bind_the_name(tmp_path: Path, source: str) -> None:
    assert find(write(tmp_path, {"main.py": source, "wsgi.py": "app = 1"})).spec == "main:app"


@pytest.mark.parametrize(
    "source",
    [
        "app: object",
        "import app",
        "from shop import app",
        "def main():\n    app = make()",
        "class Main:\n    app = make()",
        "if TYPE_CHECKING:\n    from shop.server import app",
        "if __name__ == '__main__':\n    app = make()",
        "print(app)",
        "",
    ],
)
def test_what_does_not_bind_it(tmp_path: Path, source: str) -> None:
    write(tmp_path, {"main.py": source, "shop/app.py": "", "wsgi.py": APP})
    assert find(tmp_path).spec == "wsgi:app"


@pytest.mark.parametrize(
    ("source", "attribute"),
    [
        ("api = 1\napplication = 1", "application"),
        ("def get_app(): ...\ndef make_app(): ...\ndef create_app(debug=False, *, x=1): ...", "create_app"),
        ("def create_app(config): ...\ndef make_app(): ...", "make_app"),
        ("def create_app(): ...\napi = create_app()", "api"),
    ],
)
def test_the_likeliest_name_that_can_be_used(tmp_path: Path, source: str, attribute: str) -> None:
    assert find(write(tmp_path, {"main.py": source})).attribute == attribute


@pytest.mark.parametrize("broken", ["def create_app(config): ...", "async def create_app(): ...", "app = (\n", "\0"])
def test_what_cannot_work_is_taken_only_when_there_is_nothing_better(tmp_path: Path, broken: str) -> None:
    write(tmp_path, {"main.py": broken})
    assert find(tmp_path).module == "main"
    write(tmp_path, {"wsgi.py": APP})
    assert find(tmp_path).spec == "wsgi:app"


def test_the_spec_of_a_file_that_cannot_be_parsed_is_its_module(tmp_path: Path) -> None:
    assert find(write(tmp_path, {"app/main.py": "app = ("})).spec == "app.main"


def test_reading_does_not_repeat_the_warnings_of_the_import(tmp_path: Path) -> None:
    assert find(write(tmp_path, {"main.py": 'app = "\\d"\n'})).spec == "main:app"


def test_nothing_is_imported_or_written(tmp_path: Path) -> None:
    write(tmp_path, {"found_by_reading/main.py": "app = 1\nraise SystemExit\n"})
    assert find(tmp_path).module == "found_by_reading.main"
    assert "found_by_reading" not in sys.modules
    assert [path.name for path in tmp_path.rglob("*")] == ["found_by_reading", "main.py"]


@pytest.mark.parametrize(
    ("files", "spec"),
    [
        ({"manage.py": SETTINGS.format("shop.settings")}, "shop.wsgi:application"),
        ({"manage.py": 'os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"'}, "shop.wsgi:application"),
        ({"manage.py": SETTINGS.format("shop.settings.prod")}, "shop.wsgi:application"),
        (
            {
                "manage.py": SETTINGS.format("shop.settings"),
                "shop/settings.py": 'ASGI_APPLICATION = "shop.asgi.application"',
            },
            "shop.asgi:application",
        ),
        (
            {
                "manage.py": SETTINGS.format("shop.settings.prod"),
                "shop/settings/__init__.py": "",
                "shop/settings/prod.py": "from .base import *",
                "shop/settings/base.py": 'ASGI_APPLICATION = "shop.routing.websockets"',
                "shop/routing.py": "",
            },
            "shop.routing:websockets",
        ),
        (
            {
                "manage.py": SETTINGS.format("shop.settings"),
                "shop/settings.py": 'WSGI_APPLICATION = "gone.application"',
            },
            "shop.wsgi:application",
        ),
        ({"manage.py": "settings = read()"}, "shop.asgi:application"),
    ],
)
def test_django(tmp_path: Path, files: dict[str, str], spec: str) -> None:
    server = "application = get()\n"
    target = find(write(tmp_path, {"shop/asgi.py": server, "shop/wsgi.py": server, **files}))
    assert (target.spec, target.path) == (spec, tmp_path)


def test_django_with_asgi_alone(tmp_path: Path) -> None:
    write(tmp_path, {"manage.py": SETTINGS.format("shop.settings"), "shop/asgi.py": ""})
    assert find(tmp_path).spec == "shop.asgi:application"


def test_django_in_src(tmp_path: Path) -> None:
    write(tmp_path, {"src/manage.py": SETTINGS.format("shop.settings"), "src/shop/wsgi.py": "", "src/shop/asgi.py": ""})
    assert find(tmp_path) == Target("shop.wsgi", "application", tmp_path / "src")


def test_settings_that_import_each_other_end(tmp_path: Path) -> None:
    star = "from .{} import *"
    write(
        tmp_path, {"manage.py": SETTINGS.format("shop.a"), "shop/a.py": star.format("b"), "shop/b.py": star.format("a")}
    )
    assert find(write(tmp_path, {"shop/wsgi.py": ""})).spec == "shop.wsgi:application"


def test_two_packages_of_one_rank(tmp_path: Path) -> None:
    write(tmp_path, {"src/shop/main.py": APP, "src/admin/main.py": APP})
    with pytest.raises(StartError, match=r"admin\.main:app and shop\.main:app; set APP_MODULE"):
        find(tmp_path)


def test_the_tests_are_no_second_application(tmp_path: Path) -> None:
    write(tmp_path, {"shop/main.py": APP, "tests/main.py": APP, ".hidden/main.py": APP, "my-venv/main.py": APP})
    assert find(tmp_path).spec == "shop.main:app"


def test_nothing_found(tmp_path: Path) -> None:
    write(tmp_path, {"server.py": APP, "conftest.py": APP, "static/logo.svg": "", ".git/config": ""})
    with pytest.raises(StartError) as raised:
        find(tmp_path)
    text = str(raised.value)
    assert f"no application found in {tmp_path}: set APP_MODULE=module:attribute" in text
    assert "perhaps APP_MODULE=server:app" in text
    assert "looked for app, application, api, create_app, make_app or get_app" in text
    assert "main.py, app.py, app/main.py" in text
    assert "<package>/asgi.py" in text
    assert f"{tmp_path} holds conftest.py, server.py, static/" in text


def test_an_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="is empty"):
        find(tmp_path)


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cannot be read \\(No such file"):
        find(tmp_path / "gone")


def test_contents_of_a_large_directory(tmp_path: Path) -> None:
    write(tmp_path, {f"f{number:02}": "" for number in range(15)})
    assert contents(tmp_path).endswith("f11 and 3 more")


def test_modules(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": "", "shop/__init__.py": "", "shop/views.py": "", "notes.txt": ""})
    assert set(modules(tmp_path)) == {"main", "shop", "shop.views"}


@pytest.mark.parametrize(
    ("file", "spec", "expected"),
    [
        ("shop/main.py", "shop.main:app", "."),
        ("src/shop/main.py", "shop.main:app", "src"),
        ("src/shop.py", "shop", "src"),
        ("src/shop.py", "src.shop:app", "."),
        ("other.py", "elsewhere:app", "."),
    ],
)
def test_directory_of_a_named_application(tmp_path: Path, file: str, spec: str, expected: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(APP)

    assert directory_of(spec, tmp_path) == tmp_path / expected
