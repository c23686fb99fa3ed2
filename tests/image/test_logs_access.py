"""The access log: one line for each request, whatever becomes of it, and what the settings make of it."""

import json
import re
import socket
from pathlib import Path

import pytest
from websockets.sync.client import connect

from conftest import APPS, wait_until

ASGI = "logged_asgi.py"
WSGI = "logged_wsgi.py"
BOTH = pytest.mark.parametrize("app", [ASGI, WSGI])
FORM = '%(m)s %(U)s "%(r)s" %(s)s %(B)s'


@pytest.fixture
def serve(start):
    """Serve with one worker, and wait until it is ready."""

    def run(app, allow=(), **environment):
        container = start(app, environment={"WORKERS": "1"} | environment, allow=allow)
        container.wait_for_log(r"Ready\b")
        return container

    return run


def access(container):
    """The lines of the access log: all of stdout but what the application prints."""
    return [line for line in container.logs(stderr=False).splitlines() if line != "slow begins"]


def wait_for_lines(container, number):
    """Wait until the access log has so many lines, and return them."""
    return wait_until(lambda: (found := access(container))[: number if len(found) >= number else 0], f"{number} lines")


def send(container, data):
    """Send bytes over a connection of their own, and return what comes."""
    with socket.create_connection((container.address, 8000), timeout=60) as connection:
        connection.sendall(data)
        got = b""
        while part := connection.recv(65536):
            got += part
        return got


@pytest.mark.parametrize("settings", [{}, {"ROOT_PATH": "/api"}])
@pytest.mark.parametrize("http", [{"app": ASGI}, {"app": ASGI, "UVICORN_HTTP": "h11"}, {"app": WSGI}])
def test_path_is_what_the_client_asked_for(serve, http, settings):
    container = serve(ACCESS_LOG_FORMAT=FORM, **http, **settings)
    for path in ("/items/caf%C3%A9?a=%20b", "/api/items", "/"):
        container.get(path)

    assert wait_for_lines(container, 3) == [
        'GET /items/café "GET /items/caf%C3%A9?a=%20b HTTP/1.1" 200 36',
        'GET /api/items "GET /api/items HTTP/1.1" 200 36',
        'GET / "GET / HTTP/1.1" 200 36',
    ]


@pytest.mark.smoke
@pytest.mark.parametrize("http", [{"app": ASGI}, {"app": ASGI, "UVICORN_HTTP": "h11"}, {"app": WSGI}])
def test_every_end_has_one_line(serve, http):
    container = serve(ACCESS_LOG_FORMAT="%(m)s %(s)s", allow=("",), **http)
    container.get("/")
    assert container.get("/crash").status_code == 500
    assert send(container, b"NONSENSE\r\n\r\n").startswith(b"HTTP/1.1 400")
    container.request("HEAD", "/")
    if http["app"] == ASGI:
        with socket.create_connection((container.address, 8000), timeout=60) as connection:
            connection.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            container.wait_for_log("slow begins")
        ends = ["GET 200", "GET 500", "- 400", "HEAD 200", "GET 499"]
    else:
        assert container.get("/late-crash").status_code == 500
        ends = ["GET 200", "GET 500", "- 400", "HEAD 200", "GET 500"]
    assert wait_for_lines(container, len(ends)) == ends
    container.stop()
    assert access(container) == ends


def test_websocket_has_a_line_when_it_is_closed(serve):
    container = serve(ASGI, ACCESS_LOG_FORMAT="%(m)s %(U)s %(s)s %(B)s")
    with connect(f"ws://{container.address}:8000/socket") as socket_:
        assert socket_.response.headers["X-Request-ID"]
        assert socket_.recv() == "hello"

    assert wait_for_lines(container, 1) == ["GET /socket 101 5"]


def test_sendfile_is_counted(serve):
    container = serve(WSGI, ACCESS_LOG_FORMAT="%(B)s")
    answer = container.get("/file")

    assert wait_for_lines(container, 1) == [str(len(answer.content))]
    assert len(answer.content) == (Path(APPS) / WSGI).stat().st_size


@BOTH
def test_presets(serve, app):
    for preset, line in {
        "common": r'172\S+ - - \[\S+ \S+\] "GET /x HTTP/1\.1" 200 36',
        "combined": r'172\S+ - - \[\S+ \S+\] "GET /x HTTP/1\.1" 200 36 "-" "python-httpx/\S+"',
    }.items():
        container = serve(app, ACCESS_LOG_FORMAT=preset)
        container.get("/x")
        assert re.fullmatch(line, wait_for_lines(container, 1)[0])


@pytest.mark.parametrize("setting", [{"LOG_FORMAT": "json"}, {"ACCESS_LOG_FORMAT": "json"}])
@BOTH
def test_json(serve, app, setting):
    container = serve(app, **setting)
    container.get("/a%22b?x=1", headers={"X-Request-ID": "an-id", "Referer": "/from", "User-Agent": 'a "b"'})

    found = json.loads(wait_for_lines(container, 1)[0])
    assert found.pop("duration") > 0
    assert found.pop("client").startswith("172.")
    assert found.pop("time")
    assert found.pop("pid")
    assert found == {
        "level": "info",
        "logger": "gunicorn.access",
        "message": "GET /a%22b?x=1 HTTP/1.1 200",
        "method": "GET",
        "path": '/a"b',
        "query": "x=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 9,
        "referer": "/from",
        "user_agent": 'a "b"',
        "request_id": "an-id",
    }


@BOTH
def test_format_of_ones_own_in_json(serve, app):
    container = serve(app, LOG_FORMAT="json", ACCESS_LOG_FORMAT='%(m)s "%(U)s"')
    container.get("/x")

    assert json.loads(wait_for_lines(container, 1)[0])["message"] == 'GET "/x"'


@pytest.mark.parametrize("log_format", ["text", "json"])
@BOTH
def test_nothing_that_is_sent_forges_a_line(serve, app, log_format):
    container = serve(app, LOG_FORMAT=log_format)
    head = (
        b"GET /%0a%0dforged%22%20%00%ed%a0%80%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b'User-Agent: "\t\\ \xed\xa0\x80\xff \xe2\x80\xa8\r\nReferer: " 200 {"a": \r\nX-Request-ID: a" b\r\n\r\n'
    )
    assert send(container, head).startswith(b"HTTP/1.1 200")

    (line,) = wait_for_lines(container, 1)
    assert line.isprintable()
    if log_format == "json":
        assert json.loads(line)["path"].startswith('/\n\rforged" \0')
    else:
        assert '"' not in re.sub(r'"(?:[^"\\]|\\.)*"', "", line)


@BOTH
def test_exclude(serve, app):
    container = serve(app, ACCESS_LOG_EXCLUDE="/static/*, /ping", ACCESS_LOG_FORMAT="%(U)s")
    for path in ("/static/a.css", "/ping", "/pingpong", "/shown"):
        container.get(path)

    assert wait_for_lines(container, 2) == ["/pingpong", "/shown"]


FORGED = """
from urllib.request import Request, urlopen
headers = {"User-Agent": "paddock-health", "X-Paddock-Health": "token"}
urlopen(Request("http://127.0.0.1:8000/forged", headers=headers)).read()
"""
"""From where the health check comes too, as from a proxy beside the server."""


@BOTH
@pytest.mark.parametrize("prefix", [None, "/sub"])
def test_health_check_is_left_out_unless_it_is_wanted(serve, app, prefix):
    under = {"SCRIPT_NAME": prefix} if prefix else {}
    for shown in ("false", "true"):
        container = serve(app, ACCESS_LOG_HEALTH=shown, ACCESS_LOG_FORMAT="%(U)s %(a)s", **under)
        container.run("paddock", "health")
        container.run("python", "-c", FORGED)
        health = ["/ paddock-health"] if shown == "true" else []
        assert wait_for_lines(container, len(health) + 1) == [*health, "/forged paddock-health"]


@BOTH
def test_user_logger_class_writes_its_own(serve, project, start, app):
    source = (APPS / app).read_text()
    logger = (
        "from paddock.logs.logger import Logger\n"
        "class Mine(Logger):\n"
        "    def atoms(self, *given):\n"
        "        return super().atoms(*given) | {'mine': 'my own'}\n"
    )
    container = start(
        volumes=project({"main.py": source, "mine.py": logger}),
        environment={
            "WORKERS": "1",
            "GUNICORN_LOGGER_CLASS": "mine.Mine",
            "ACCESS_LOG_FORMAT": "%(mine)s %(U)s %(s)s %(a)s",
        },
    ).wait_ready()
    container.get("/x", headers={"User-Agent": "tests"})

    assert wait_for_lines(container, 1) == ["my own /x 200 tests"]


@BOTH
def test_filters_of_the_application_hold(start, project, app):
    added = "import logging\nlogging.getLogger('gunicorn.access').addFilter(lambda r: '/quiet' not in r.getMessage())\n"
    container = start(
        volumes=project({"main.py": (APPS / app).read_text() + added}),
        environment={"WORKERS": "1", "ACCESS_LOG_FORMAT": "%(U)s"},
    ).wait_ready()
    for path in ("/quiet", "/loud"):
        container.get(path)

    assert wait_for_lines(container, 1) == ["/loud"]


@BOTH
def test_lines_of_several_workers_are_whole(serve, app):
    container = serve(app, WORKERS="3", ACCESS_LOG_FORMAT="%(U)s " + "x" * 900)
    for number in range(60):
        container.get(f"/{number}")

    lines = wait_for_lines(container, 60)
    assert sorted(lines) == sorted(f"/{number} " + "x" * 900 for number in range(60))
