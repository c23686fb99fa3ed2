"""Request ids: taken or made, in the answer, the access log, and what the application logs meanwhile."""

import json
import re
import socket

import pytest

from conftest import wait_until

ASGI = "logged_asgi.py"
WSGI = "logged_wsgi.py"
BOTH = pytest.mark.parametrize("app", [ASGI, WSGI])
MADE = re.compile("[0-9a-f]{32}")


@pytest.fixture
def serve(start):
    """Serve with one worker that logs in JSON, and wait until it is ready."""

    def run(app, allow=(), **environment):
        environment = {"WORKERS": "1", "LOG_FORMAT": "json"} | environment
        return start(app, environment=environment, allow=allow).wait_healthy()

    return run


def records(container, message, number=1):
    """Wait for so many lines whose message holds a text, and return them as objects."""

    def found():
        lines = [json.loads(line) for line in container.logs().splitlines() if line.startswith("{")]
        held = [line for line in lines if message in line["message"]]
        return held if len(held) >= number else []

    return wait_until(found, message)


@pytest.mark.smoke
@BOTH
def test_sane_id_is_taken(serve, app):
    container = serve(app)
    answer = container.get("/x", headers={"X-Request-ID": "from-the_proxy:1.2/3+4=5~6@7"})

    assert answer.json() == ["from-the_proxy:1.2/3+4=5~6@7"]
    assert answer.headers.get_list("X-Request-ID") == answer.json()
    assert [line["request_id"] for line in records(container, "GET /x")] == answer.json()
    # The health check's requests have ids, too.
    wait_until(lambda: answer.json()[0] in {line["request_id"] for line in records(container, "served")}, "the id")


@pytest.mark.parametrize("given", [None, "a b", 'a"b', "x" * 129])
@BOTH
def test_id_is_made(serve, app, given):
    container = serve(app)
    answers = [container.get("/x", headers={"X-Request-ID": given} if given else {}) for _ in range(3)]

    made = [answer.headers["X-Request-ID"] for answer in answers]
    assert [answer.json() for answer in answers] == [[each] for each in made]
    assert len(set(made)) == 3
    assert all(map(MADE.fullmatch, made))
    assert [line["request_id"] for line in records(container, "GET /x", 3)] == made


def test_threads_of_an_event_loop_know_the_id(serve):
    container = serve(ASGI)
    made = container.get("/x").headers["X-Request-ID"]

    wait_until(lambda: made in {line["request_id"] for line in records(container, "from a thread")}, "the id")


@BOTH
def test_an_error_has_the_id_in_its_answer_and_its_traceback(serve, app):
    container = serve(app, allow=("",))
    answer = container.get("/crash")

    assert answer.status_code == 500
    line = wait_until(lambda: [line for line in records(container, "") if "exception" in line], "a traceback")[0]
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert MADE.fullmatch(line["request_id"])


@BOTH
def test_the_application_has_the_last_word(serve, app):
    assert serve(app).get("/own-id").headers.get_list("X-Request-ID") == ["the-application-says"]


@BOTH
def test_another_header(serve, app):
    container = serve(app, REQUEST_ID_HEADER="X-Correlation-ID", LOG_FORMAT="text")
    answer = container.get("/x", headers={"X-Correlation-ID": "abc"})

    assert answer.headers["X-Correlation-ID"] == "abc"
    assert "X-Request-ID" not in answer.headers
    container.wait_for_log(r'"GET /x HTTP/1\.1" .* abc\n')


@BOTH
def test_none(serve, app):
    container = serve(app, REQUEST_ID_HEADER="none")
    answer = container.get("/x", headers={"X-Request-ID": "a b"})

    assert answer.json() == ["a b"]
    assert "X-Request-ID" not in answer.headers
    assert "request_id" not in records(container, "served")[0]


@pytest.mark.parametrize("http", ["httptools", "h11"])
@BOTH
def test_what_was_no_request_has_a_client_and_an_id(serve, app, http):
    container = serve(app, allow=("Invalid HTTP request received",), UVICORN_HTTP=http)
    with socket.create_connection((container.address, 8000), timeout=60) as connection:
        here = connection.getsockname()[0]
        connection.sendall(b"NONSENSE\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400")

    (line,) = records(container, "- 400")
    assert line["client"] == here
    assert MADE.fullmatch(line["request_id"])


@pytest.mark.parametrize("line", ["default", "%(U)s"])
@BOTH
def test_the_clients_trace_is_in_the_log(serve, app, line):
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    container = serve(app, ACCESS_LOG_FORMAT=line)
    container.get("/plain")
    container.get("/traced", headers={"traceparent": f"00-{trace}-{span}-01"})

    (without,), (traced,) = records(container, "/plain"), records(container, "/traced")
    assert not {"trace_id", "span_id"} & without.keys()
    assert (traced["trace_id"], traced["span_id"]) == (trace, span)
    wait_until(lambda: trace in {line.get("trace_id") for line in records(container, "served")}, "the trace")


def test_opentelemetrys_trace_is_in_the_log(start, image_of_kinds):
    environment = {"WORKERS": "1", "LOG_FORMAT": "json", "APP_MODULE": "apps.opentelemetry:traced"}
    container = start(image=image_of_kinds, environment=environment, allow=("in a span",)).wait_ready()
    seen = container.get().json()

    (line,) = records(container, "in a span")
    assert (line["trace_id"], line["span_id"]) == (seen["trace_id"], seen["span_id"])
    assert MADE.fullmatch(line["trace_id"])
