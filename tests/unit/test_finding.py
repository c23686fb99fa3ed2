"""What is taken for the application when nobody names it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from paddock.application.finding import Target, contents, directory_of, find, locate, modules
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


# Frameworks that name it in another way


@pytest.mark.parametrize(
    ("file", "source", "spec"),
    [
        ("app.py", "from dash import Dash\napp = Dash(__name__)\nserver = app.server\n", "app:app"),
        ("app.py", "dashboard = make()\nserver = dashboard.server\n", "app:server"),
        ("main.py", "from nicegui import ui\nsite = FastAPI()\nui.run_with(site)\n", "main:site"),
        ("main.py", "from nicegui import app as pages, ui\napp = FastAPI()\nui.run_with(app)\n", "main:app"),
        ("main.py", "import gradio as gr\napp = FastAPI()\napp = gr.mount_gradio_app(app, demo, '/')\n", "main:app"),
        ("main.py", "import gradio as gr\napp = FastAPI()\nwith gr.Blocks() as demo:\n    pass\n", "main:app"),
    ],
)
def test_applications_that_only_their_use_tells(tmp_path: Path, file: str, source: str, spec: str) -> None:
    assert find(write(tmp_path, {file: source})).spec == spec


@pytest.mark.parametrize("source", ["server = uvicorn.Server(config)\n", "def server(): ...\n"])
def test_a_server_is_no_application(tmp_path: Path, source: str) -> None:
    with pytest.raises(StartError):
        find(write(tmp_path, {"main.py": source}))


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("import gradio as gr\nwith gr.Blocks() as demo:\n    pass\ndemo.launch()\n", "gradio.mount_gradio_app("),
        ("import gradio as gr\napp = gr.Interface(f)\napp.launch()\n", "gradio.mount_gradio_app("),
        ("import gradio as gr\nwith gr.Blocks() as app:\n    pass\n", "gradio.mount_gradio_app("),
        ("from gradio import Blocks\napp = Blocks()\n", "gradio.mount_gradio_app("),
        ("from nicegui import app, ui\nui.run()\n", "ui.run_with(app)"),
    ],
)
def test_what_brings_a_server_of_its_own_is_refused_in_words(tmp_path: Path, source: str, advice: str) -> None:
    with pytest.raises(StartError) as raised:
        find(write(tmp_path, {"app.py": source}))

    (line,) = [line for line in str(raised.value).splitlines() if line.startswith("  app.py was read")]
    assert "brings a server of its own" in line
    assert advice in line
    assert "perhaps APP_MODULE" not in str(raised.value)


def test_a_file_without_an_application_is_named_with_what_it_defines(tmp_path: Path) -> None:
    names = "".join(f"n{number} = 1\n" for number in range(9))
    write(tmp_path, {"main.py": "from x import y\ndef serve(): ...\nclass Site: ...\nport = 1\n", "app.py": names})
    write(tmp_path, {"src/main.py": "print()\n", "app/__init__.py": ""})

    with pytest.raises(StartError) as raised:
        find(tmp_path)
    lines = str(raised.value).splitlines()
    assert lines[1:4] == [
        "  main.py was read and has none: it defines serve, Site, port",
        "  src/main.py was read and has none: it defines nothing",
        f"  looked for {lines[3].partition('looked for ')[2]}",
    ]


# Deeper than the patterns


@pytest.mark.parametrize(
    ("files", "spec", "root"),
    [
        (
            {"src/py/shop/asgi.py": "def create_app(): ...\n", "src/py/shop/__init__.py": ""},
            "shop.asgi:create_app",
            "src/py",
        ),
        ({"src/py/shop/server/asgi.py": "import shop\n" + APP}, "shop.server.asgi:app", "src/py"),
        ({"backend/shop/main.py": "from shop.api import x\n" + APP}, "shop.main:app", "backend"),
        ({"backend/shop/main.py": APP, "backend/shop/__init__.py": ""}, "shop.main:app", "backend"),
        ({"backend/api/main.py": "import views\n" + APP, "backend/api/views.py": ""}, "main:app", "backend/api"),
        ({"services/api/main.py": APP}, "services.api.main:app", "."),
        ({"my-service/api/main.py": APP}, "api.main:app", "my-service"),
        ({"a/b/c/d/app.py": APP}, "a.b.c.d.app:app", "."),
        (
            {"web/site/manage.py": SETTINGS.format("shop.settings"), "web/site/shop/wsgi.py": ""},
            "shop.wsgi:application",
            "web/site",
        ),
    ],
)
def test_packages_below_two_levels(tmp_path: Path, files: dict[str, str], spec: str, root: str) -> None:
    target = find(write(tmp_path, files))

    assert (target.spec, target.path) == (spec, tmp_path / root)


@pytest.mark.parametrize(
    "file",
    [
        "a/tests/main.py",
        "a/.b/main.py",
        "a/node_modules/x/main.py",
        "a/lib/site-packages/x/main.py",
        "a/env2/b/main.py",
    ],
)
def test_what_is_deep_and_not_the_applications(tmp_path: Path, file: str) -> None:
    write(tmp_path, {file: APP, "a/env2/pyvenv.cfg": ""})
    with pytest.raises(StartError, match="no application found"):
        find(tmp_path)


def test_two_deep_ones_are_named_with_their_path(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path, {f"{name}/py/shop/main.py": APP, f"{name}/py/shop/__init__.py": ""})
    with pytest.raises(StartError) as raised:
        find(tmp_path)
    assert f"shop.main:app (PYTHONPATH={tmp_path}/one/py) and shop.main:app (PYTHONPATH={tmp_path}/two/py)" in str(
        raised.value
    )


@pytest.mark.parametrize(
    ("files", "module", "root"),
    [
        ({"lib/shop/models.py": ""}, "shop.models", "lib"),
        ({"src/py/shop/__init__.py": ""}, "shop", "src/py"),
        ({"src/py/shop/data.txt": ""}, "shop", "src/py"),
        ({"shop/__init__.py": "", "shop/redis.py": ""}, "redis", None),
        ({"tests/shop.py": ""}, "shop", None),
    ],
)
def test_locate(tmp_path: Path, files: dict[str, str], module: str, root: str | None) -> None:
    found = locate(module, write(tmp_path, files))

    assert (found.root if found else None) == (tmp_path / root if root else None)


# Hints


@pytest.mark.parametrize(
    ("hint", "spec", "root"),
    [
        ("shop", "shop:create_app", "."),
        ("shop:make", "shop:make", "."),
        ("shop:create_app('dev', debug=True)", "shop:create_app('dev', debug=True)", "."),
        ("shop.web:site", "shop.web:site", "."),
        ("shop/web.py:site", "shop.web:site", "."),
        ("shop/web.py", "shop.web:app", "."),
        ("hello.py", "hello:app", "."),
        ("./hello.py:create_app()", "hello:create_app()", "."),
        ("lib/deep.py", "deep:app", "lib"),
        ("deep:app", "deep:app", "lib"),
    ],
)
@pytest.mark.parametrize("variable", ["FLASK_APP", "LITESTAR_APP"])
def test_frameworks_variables_name_it(tmp_path: Path, variable: str, hint: str, spec: str, root: str) -> None:
    factory = "def create_app(mode='', debug=False): ...\n"
    write(
        tmp_path, {"shop/__init__.py": factory, "shop/web.py": APP, "hello.py": APP, "lib/deep.py": APP, "main.py": APP}
    )

    target = find(tmp_path, {variable: hint})
    assert (target.spec, target.path) == (spec, tmp_path / root)


@pytest.mark.parametrize("hint", ["", "gone", "gone.py", "gone:app", "/etc/passwd", ":app", "a b", "..", "C:\\app.py"])
def test_a_hint_that_leads_nowhere_is_none(tmp_path: Path, hint: str) -> None:
    assert find(write(tmp_path, {"main.py": APP}), {"FLASK_APP": hint}).spec == "main:app"


@pytest.mark.parametrize(
    ("files", "spec", "root"),
    [
        (
            {"conf/__init__.py": "", "conf/settings.py": "", "conf/wsgi.py": "", "other/wsgi.py": APP},
            "conf.wsgi:application",
            ".",
        ),
        (
            {"web/conf/settings.py": 'ASGI_APPLICATION = "conf.asgi.application"', "web/conf/asgi.py": ""},
            "conf.asgi:application",
            "web",
        ),
        (
            {"conf/settings.py": "", "conf/wsgi.py": "", "manage.py": SETTINGS.format("other.settings")},
            "conf.wsgi:application",
            ".",
        ),
        ({"conf/settings.py": "", "conf/wsgi.py": "", "main.py": APP}, "main:app", "."),
        ({"main.py": APP}, "main:app", "."),
    ],
)
def test_django_settings_module_is_a_hint(tmp_path: Path, files: dict[str, str], spec: str, root: str) -> None:
    target = find(write(tmp_path, files), {"DJANGO_SETTINGS_MODULE": "conf.settings"})

    assert (target.spec, target.path) == (spec, tmp_path / root)
