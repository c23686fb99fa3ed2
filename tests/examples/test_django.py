"""The Django example: one project, migrated by a command of its own, served over WSGI and over ASGI.

tests/docs/test_migrations.py follows its compose.yaml.
"""

import re
from contextlib import contextmanager

import pytest

from conftest import Removal, http_client, starting
from examples.conftest import LOCKED_UP

IMAGE = "paddock-example:django"
MIGRATE = ["python", "manage.py", "migrate"]
WEB = {"HEALTHCHECK_PATH": "/health", "SECRET_KEY": "open sesame", "WORKERS": "1"}
KINDS = {
    "WSGI": ({}, "timing.wsgi:application: WSGI, served by 1 worker of class gthread\n"),
    "ASGI": (
        {"APP_MODULE": "timing.asgi:application"},
        "timing.asgi:application: ASGI 3, served by 1 worker of class uvicorn\n",
    ),
}


@contextmanager
def fresh_volume(engine):
    """A volume where the database shall be, for as long as the context lasts."""
    volume = engine.volumes.create()
    try:
        yield {volume.name: {"bind": "/data", "mode": "rw"}}
    finally:
        volume.remove()


@pytest.fixture(
    scope="module", params=[pytest.param(kind, marks=pytest.mark.xdist_group(f"django-{kind}")) for kind in KINDS]
)
def kind(request):
    """WSGI or ASGI."""
    return request.param


@pytest.fixture(scope="module")
def timing(engine, slim, kind):
    """The example on a migrated database, as locked up as it can be."""
    with fresh_volume(engine) as data, starting(engine, slim, Removal(at_once=1)) as start:
        options = {
            "image": IMAGE,
            "environment": WEB | KINDS[kind][0],
            "volumes": data,
            "tmpfs": {"/tmp": ""},
            **LOCKED_UP,
        }
        assert start(command=MIGRATE, **options).wait_exit() == 0
        yield start(**options).wait_healthy()


@pytest.fixture
def browser(timing):
    """A client that keeps cookies and follows redirects, as browsers do."""
    address = f"http://{timing.address}:8000"
    with http_client(base_url=address, headers={"Host": "localhost"}) as client:
        client.follow_redirects = True
        yield client


def submit(browser, path, **fields):
    """Fill in the form at `path` and send it."""
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get(path).text)[1]
    return browser.post(path, data={**fields, "csrfmiddlewaretoken": token})


def test_every_route_answers(timing, browser, kind):
    assert timing.run("paddock", "check") == KINDS[kind][1]
    assert browser.get("/health").json()["interface"] == kind

    assert "None yet." in browser.get("/").text
    assert "<li>Ayrton: 84.081 s</li>" in submit(browser, "/", driver="Ayrton", seconds="84.081").text
    assert browser.get("/laps").json() == {"laps": [{"driver": "Ayrton", "seconds": "84.081"}]}

    create = ["python", "manage.py", "createsuperuser", "--no-input", "--username=admin", "--email=admin@example.org"]
    assert timing.raw.exec_run(create, environment={"DJANGO_SUPERUSER_PASSWORD": "brickyard"}).exit_code == 0
    submit(browser, "/admin/login/?next=/admin/", username="admin", password="brickyard")
    added = submit(browser, "/admin/laps/lap/add/", driver="Alain", seconds="84.5")
    assert "was added successfully" in added.text
    assert [lap["driver"] for lap in browser.get("/laps").json()["laps"]] == ["Ayrton", "Alain"]


def test_static_files_are_served_under_names_that_browsers_keep(timing, browser):
    (style,) = re.findall(r'href="(/static/laps/board\.[0-9a-f]{12}\.css)"', browser.get("/").text)
    answer = browser.get(style)

    assert "color: darkgreen" in answer.text
    assert answer.headers["content-type"] == 'text/css; charset="utf-8"'
    assert answer.headers["content-encoding"] == "gzip", "compressed by the build"
    assert answer.headers["cache-control"] == "max-age=315360000, public, immutable"
    assert browser.get("/static/laps/board.css").headers["cache-control"] == "max-age=60, public"
    assert browser.get(style, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    plain = {"Accept-Encoding": "identity"}
    assert browser.get(style, headers={**plain, "Range": "bytes=0-3"}).text == "body"
    assert browser.head(style, headers=plain).headers["content-length"] == str(len(answer.text))

    # The admin's, which is larger than one chunk.
    script = timing.run("sh", "-c", "cd /app/staticfiles && ls admin/js/vendor/jquery/jquery.????????????.js").strip()
    assert browser.get(f"/static/{script}", headers=plain).text == timing.run("cat", f"/app/staticfiles/{script}")


def test_what_is_refused(timing, browser):
    timing.allow(r"\] django\.(request|security)", "Traceback", "exceptions?[./]")

    assert browser.get("/nope").status_code == 404
    assert submit(browser, "/", driver="Alain", seconds="fast").status_code == 400
    assert browser.post("/laps", headers={"X-CSRFToken": browser.cookies["csrftoken"]}).status_code == 405
    browser.cookies.clear()
    assert browser.post("/", data={"driver": "Ayrton", "seconds": "84"}).status_code == 403
    assert browser.get("/", headers={"Host": "elsewhere.example"}).status_code == 400


def test_it_stops_cleanly(timing):
    """The last one: it ends the container of them all."""
    assert timing.stop() == 0
    assert timing.logs().count("Worker exiting") == 1


def test_the_web_container_does_not_migrate_and_the_one_off_command_does(engine, slim):
    with fresh_volume(engine) as data, starting(engine, slim, Removal(at_once=1)) as start:
        options = {"image": IMAGE, "environment": WEB, "volumes": data}
        timing = start(**options).wait_healthy()
        timing.allow("")

        assert timing.get(headers={"Host": "localhost"}).status_code == 500
        timing.wait_for_log("no such table: laps_lap")
        assert start(command=[*MIGRATE, "--check"], **options).wait_exit() == 1

        migrated = start(command=MIGRATE, **options).outcome()
        assert (migrated.status, migrated.err) == (0, "")
        assert "Applying laps.0001_initial... OK" in migrated.out
        assert timing.get(headers={"Host": "localhost"}).status_code == 200


def test_without_a_key_it_does_not_start(finish):
    outcome = finish(image=IMAGE)

    assert (outcome.status, "paddock: SECRET_KEY: is not set" in outcome.err) == (78, True)


def test_neither_the_key_of_the_build_nor_debug_is_in_the_image(finish):
    script = "from django.conf import settings; print(settings.SECRET_KEY, settings.DEBUG)"
    outcome = finish(image=IMAGE, command=["python", "manage.py", "shell", "-v0", "-c", script], environment=WEB)

    assert outcome.out == "open sesame False\n"
    assert "SECRET_KEY=" not in finish(image=IMAGE, command=["env"]).out
