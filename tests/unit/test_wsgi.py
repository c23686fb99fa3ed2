"""The front with WSGI applications: what PEP 3333 says, whichever parser reads and whichever way an answer goes."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from paddock.http.record import Observers
from served import Served, serving

WAYS = {"short": {}, "coroutine": {"by_coroutine": True}, "h11": {"http": "h11"}}


@pytest.fixture(params=WAYS)
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[..., Served]]:
    """Serve an application until the test ends."""
    contexts = []

    def start(application: Any, **options: Any) -> Served:
        context = serving(application, **WAYS[request.param], **options)
        contexts.append(context)
        return context.__enter__()

    yield start
    for context in contexts:
        context.__exit__(None, None, None)


def head_of(answer: bytes) -> list[bytes]:
    """Return the lines of an answer's head, the names of its fields in lower case."""
    first, *fields = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return [first, *(field.lower() for field in fields)]


def body_of(answer: bytes) -> bytes:
    """Return an answer's body, without its chunks."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        return body
    pieces, at = [], 0
    while at < len(body):
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        pieces.append(body[end + 2 : end + 2 + size])
        at = end + size + 4
    return b"".join(pieces)


def answering(*parts: bytes, status: str = "200 OK", headers: Any = ()) -> Any:
    """Return an application that answers with a list."""

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, list(headers))
        return list(parts)

    return application


def test_wsgiref_finds_nothing_wrong(serve: Any) -> None:
    def application(environ: Any, start_response: Any) -> Any:
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(size)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body or b"nothing"]

    served = serve(validator(application))

    assert body_of(served.get()) == b"nothing"
    post = b"POST /a%20b?c=d HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"
    assert body_of(served.exchange(post)) == b"abc"


def test_environ(serve: Any) -> None:
    seen: dict[str, Any] = {}

    def application(environ: Any, start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [])
        return []

    served = serve(application)
    served.get(b"/a%C3%A9b?x=%41", b"X-Thing: caf\xe9", b"X-Thing: two", b"X_Thing: three", b"Content-Type: text/x")

    assert seen["REQUEST_METHOD"] == "GET"
    assert seen["PATH_INFO"] == "/a\xc3\xa9b"
    assert seen["QUERY_STRING"] == "x=%41"
    assert seen["RAW_URI"] == seen["REQUEST_URI"] == "/a%C3%A9b?x=%41"
    assert seen["SCRIPT_NAME"] == ""
    assert seen["HTTP_X_THING"] == "caf\xe9,two"
    assert seen["CONTENT_TYPE"] == "text/x"
    assert "HTTP_CONTENT_TYPE" not in seen
    assert seen["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert (seen["REMOTE_ADDR"], seen["SERVER_NAME"]) == ("127.0.0.1", "127.0.0.1")
    assert seen["SERVER_PORT"] == str(served.port)
    assert seen["REMOTE_PORT"].isdigit()
    assert seen["wsgi.multithread"] is True
    assert seen["wsgi.url_scheme"] == "http"
    assert seen["wsgi.input_terminated"] is True


def test_one_thread_is_not_many(serve: Any) -> None:
    seen = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(environ["wsgi.multithread"])
        start_response("200 OK", [])
        return []

    serve(application, threads=1).get()

    assert seen == [False]


@pytest.mark.parametrize(
    ("parts", "headers", "body"),
    [
        ([b"hello"], [], b"hello"),
        ([], [], b""),
        ([b""], [], b""),
        ([b"a", b"", b"b"], [], b"ab"),
        ([b"hello"], [("Content-Length", "5")], b"hello"),
        ([b"he", b"llo"], [("Content-Length", "5")], b"hello"),
        ([b"hello"], [("Content-Length", "2")], b"he"),
        ([b"hello", b"more"], [("Content-Length", "2")], b"he"),
        ([], [("Content-Length", "0")], b""),
    ],
)
def test_lists(serve: Any, parts: list[bytes], headers: Any, body: bytes) -> None:
    answer = serve(answering(*parts, headers=headers)).get()

    assert head_of(answer)[0] == b"HTTP/1.1 200 OK"
    assert body_of(answer) == body


def test_names_are_sent_as_they_are(serve: Any) -> None:
    answer = serve(answering(b"x", headers=[("X-CamelCase", "Yes"), ("Date", "today"), ("Keep-Alive", "x")])).get()

    assert b"\r\nX-CamelCase: Yes\r\n" in answer
    # These are the server's to send.
    assert b"today" not in answer
    assert b"keep-alive:" not in head_of(answer)


def test_a_list_of_one_has_a_length(serve: Any) -> None:
    assert b"content-length: 5" in head_of(serve(answering(b"hello")).get())


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("headers", [[], [("Content-Length", "5")]])
def test_answers_without_a_body(serve: Any, status: str, headers: Any) -> None:
    answer = serve(answering(b"hello", status=status, headers=headers)).get()

    assert answer.startswith(b"HTTP/1.1 " + status[:3].encode())
    assert not body_of(answer)
    assert not any(line.lower().startswith(b"transfer-encoding") for line in head_of(answer))


def test_head_has_no_body(serve: Any) -> None:
    served = serve(answering(b"hello", headers=[("Content-Length", "5")]))
    answer = served.exchange(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert b"content-length: 5" in head_of(answer)
    assert not body_of(answer)


def test_a_reason_of_the_applications_own() -> None:
    with serving(answering(b"", status="299 Quite all right")) as served:
        assert served.get().startswith(b"HTTP/1.1 299 Quite all right\r\n")


@pytest.mark.parametrize("first_late", [False, True])
def test_generators_are_streamed(serve: Any, first_late: bool) -> None:
    go_on = threading.Event()

    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        if not first_late:
            yield b"first"
        go_on.wait(60)
        yield b"second"

    served = serve(application)
    with served.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        if not first_late:
            received = b""
            while b"first" not in received:
                received += client.recv(65536)
        go_on.set()
        rest = b"".join(iter(lambda: client.recv(65536), b""))
    assert b"second" in rest


def test_write(serve: Any) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"one,")
        write(b"")
        write(b"two,")
        return [b"three"]

    assert body_of(serve(application).get()) == b"one,two,three"


def test_exc_info_before_the_head_replaces_it(serve: Any) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-First", "yes")])
        try:
            raise LookupError
        except LookupError as error:
            start_response("503 Busy", [("X-Second", "yes")], (type(error), error, error.__traceback__))
        return [b"sorry"]

    answer = serve(application).get()

    assert answer.startswith(b"HTTP/1.1 503")
    assert b"x-second: yes" in head_of(answer)
    assert b"x-first: yes" not in head_of(answer)


def test_exc_info_behind_the_head_raises(serve: Any) -> None:
    raised = []

    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"begun"
        try:
            raise LookupError("late")
        except LookupError as error:
            try:
                start_response("500 Failed", [], (type(error), error, error.__traceback__))
            except LookupError as again:
                raised.append(again)
                raise

    answer = serve(application).get()

    assert b"begun" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert len(raised) == 1


def test_twice_is_an_error(serve: Any) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    assert serve(application).get().startswith(b"HTTP/1.1 500")


@pytest.mark.parametrize(
    ("status", "headers", "parts"),
    [
        ("OK", [], [b"x"]),
        ("200 O\r\nK", [], [b"x"]),
        ("999 Beyond", [], [b"x"]),
        (200, [], [b"x"]),
        ("200 OK", [("X-Bad\r\n", "x")], [b"x"]),
        ("200 OK", [("X-Bad", "x\r\nX-Smuggled: y")], [b"x"]),
        ("200 OK", [("X-Bad", b"x")], [b"x"]),
        ("200 OK", [("X-Bad", "\u20ac")], [b"x"]),
        ("200 OK", [("Content-Length", "five")], [b"x"]),
        ("200 OK", [], ["text"]),
    ],
)
def test_what_is_no_answer_is_a_500(serve: Any, status: Any, headers: Any, parts: Any) -> None:
    answer = serve(answering(*parts, status=status, headers=headers)).get()

    assert answer.startswith(b"HTTP/1.1 500")
    assert body_of(answer) == b"Internal Server Error"
    assert b"Smuggled" not in answer


@pytest.mark.parametrize(
    "application",
    [
        lambda environ, start_response: [b"no head"],
        lambda environ, start_response: [],
        lambda environ, start_response: None,
        lambda environ, start_response: 1 / 0,
    ],
)
def test_failures_are_a_500(serve: Any, application: Any) -> None:
    answer = serve(application).get()

    assert answer.startswith(b"HTTP/1.1 500")
    assert b"connection: close" in head_of(answer)


def test_system_exit_is_a_500_and_the_thread_lives(serve: Any) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/exit":
            raise SystemExit(3)
        start_response("200 OK", [])
        return [b"alive"]

    served = serve(application, threads=1)

    assert served.get(b"/exit").startswith(b"HTTP/1.1 500")
    assert body_of(served.get()) == b"alive"


def test_an_answer_that_is_too_short_ends_its_connection(serve: Any) -> None:
    served = serve(answering(b"hel", headers=[("Content-Length", "5")]))
    with served.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))

    assert body_of(answer) == b"hel"


class Items:
    """An answer that notes what becomes of it."""

    def __init__(self, parts: list[Any]) -> None:
        self.parts = iter(parts)
        self.closed: list[int] = []
        self.iterated_in = 0

    def __iter__(self) -> Items:
        return self

    def __next__(self) -> bytes:
        self.iterated_in = threading.get_ident()
        part = next(self.parts)
        if isinstance(part, Exception):
            raise part
        return bytes(part)

    def close(self) -> None:
        self.closed.append(threading.get_ident())


@pytest.mark.parametrize("parts", [[b"a", b"b"], [], [b"a", ValueError("late")], [ValueError("early")]])
def test_close_is_called_once_and_in_the_thread(serve: Any, parts: list[Any]) -> None:
    items = Items(parts)

    def application(environ: Any, start_response: Any) -> Items:
        start_response("200 OK", [])
        return items

    serve(application).get()

    wait_for(lambda: items.closed)
    assert items.closed == [items.iterated_in]


def test_the_answer_leaves_before_close(serve: Any) -> None:
    go_on = threading.Event()

    class Slow(Items):
        def close(self) -> None:
            go_on.wait(60)
            super().close()

    items = Slow([b"here"])

    def application(environ: Any, start_response: Any) -> Items:
        start_response("200 OK", [])
        return items

    assert body_of(serve(application).get()) == b"here"
    assert not items.closed
    go_on.set()
    wait_for(lambda: items.closed)


class Crowd:
    """Counts how many threads are in it at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = self.most = self.left = 0

    def __enter__(self) -> None:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            self.left += 1


def test_a_client_that_leaves_ends_the_answer(serve: Any) -> None:
    items = Items([b"x" * 100_000] * 10_000)

    def application(environ: Any, start_response: Any) -> Items:
        start_response("200 OK", [])
        return items

    served = serve(application)
    with served.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(10)

    wait_for(lambda: items.closed)
    assert next(items.parts, None) is not None


def test_a_client_that_does_not_read_costs_no_thread(serve: Any) -> None:
    served = serve(answering(b"x" * 20_000_000), threads=1)
    clients = [served.connect() for _ in range(4)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert served.get(b"/").startswith(b"HTTP/1.1 200")
    for client in clients:
        client.close()


def streamed(environ: Any, start_response: Any) -> Any:
    """Answer with 15 MB in several parts, in the way that the path says."""
    write = start_response("200 OK", [])
    parts = [b"x" * 500_000] * 30
    if environ["PATH_INFO"] == "/write":
        for part in parts:
            write(part)
        return []
    return parts if environ["PATH_INFO"] == "/list" else iter(parts)


@pytest.mark.parametrize("path", [b"/list", b"/generator", b"/write"])
def test_clients_that_do_not_read_leave_the_threads_to_others(serve: Any, path: bytes) -> None:
    served = serve(streamed, threads=2)
    clients = [served.connect() for _ in range(5)]
    for client in clients:
        client.sendall(b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path)
    pool = served.worker.pool
    wait_for(lambda: pool.away == 5)

    assert len(body_of(served.get(b"/other"))) == 15_000_000
    for client in clients:
        assert body_of(b"".join(iter(lambda client=client: client.recv(1 << 20), b""))) == b"x" * 15_000_000
        client.close()
    wait_for(lambda: not (pool.busy or pool.away))
    assert pool.threads <= 2


def test_uploads_that_trickle_leave_the_threads_to_others(serve: Any) -> None:
    served = serve(reading(lambda body: bytes(body.read())), threads=2)
    clients = [served.connect() for _ in range(5)]
    for client in clients:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY[:-1])
    pool = served.worker.pool
    wait_for(lambda: pool.away == 5)

    assert served.get().startswith(b"HTTP/1.1 200")
    for client in clients:
        client.sendall(BODY[-1:])
    for client in clients:
        assert receive_until(client, b"True").endswith(b"%d True" % len(BODY))
        client.close()
    wait_for(lambda: not (pool.busy or pool.away))
    assert pool.threads <= 2


def test_no_more_threads_than_there_are_places_are_in_the_application(serve: Any) -> None:
    """Also when all that waited for their clients go on at the same time."""
    crowd = Crowd()

    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(20):
            with crowd:
                time.sleep(0.001)
            yield b"x" * 1_000_000

    served = serve(application, threads=3)
    clients = [served.connect() for _ in range(12)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    wait_for(lambda: served.worker.pool.away == 12)
    assert crowd.left < 12 * 20

    readers = [threading.Thread(target=lambda c=c: list(iter(lambda: c.recv(1 << 16), b""))) for c in clients]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
    assert (crowd.left, crowd.most) == (12 * 20, 3)
    for client in clients:
        client.close()


def test_a_single_thread_is_alone_in_the_application(serve: Any) -> None:
    """It has said so, with `wsgi.multithread`."""
    inside, alone = [0], []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        inside[0] += 1
        environ["wsgi.input"].read()
        alone.append(inside[0] == 1 and not environ["wsgi.multithread"])
        inside[0] -= 1
        start_response("200 OK", [])
        return [b"ok"]

    served = serve(application, threads=1)
    with served.connect() as slow, served.connect() as other:
        slow.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY[:-1])
        wait_for(lambda: inside[0])
        other.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.2)
        slow.sendall(BODY[-1:])
        receive_until(slow, b"ok")
        receive_until(other, b"ok")
    assert alone == [True, True]


def test_a_thread_waits_for_its_client_beyond_the_buffer(serve: Any) -> None:
    made = []

    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for number in range(1000):
            made.append(number)
            yield b"x" * 100_000

    served = serve(application)
    with served.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        before = -1
        while before != len(made):
            before = len(made)
            time.sleep(0.5)
        assert 0 < before < 900
        assert body_of(b"".join(iter(lambda: client.recv(1 << 20), b""))) == b"x" * 100_000_000
    assert len(made) == 1000


BODY = bytes(range(256)) * 20_000
"""5 MB: more than is received before a thread is taken."""


def reading(how: Callable[[Any], bytes]) -> Any:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        body = how(environ["wsgi.input"])
        start_response("200 OK", [])
        return [b"%d %s" % (len(body), str(body == BODY[: len(body)]).encode())]

    return application


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [0, 1, 100_000, len(BODY)])
@pytest.mark.parametrize(
    "how",
    [
        lambda body: body.read(),
        lambda body: b"".join(iter(lambda: body.read(10_000), b"")),
        lambda body: b"".join(body),
        lambda body: b"".join(body.readlines()),
        lambda body: b"".join(iter(lambda: body.readline(500), b"")),
        lambda body: body.read(len(BODY) * 2) + body.read() + body.read(1),
    ],
)
def test_bodies(serve: Any, how: Any, size: int, chunked: bool) -> None:
    body = BODY[:size]
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    if chunked:
        pieces = [body[start : start + 70_000] for start in range(0, size, 70_000)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        request = head + b"Transfer-Encoding: chunked\r\n\r\n" + framed
    else:
        request = head + b"Content-Length: %d\r\n\r\n" % size + body

    assert body_of(serve(reading(how)).exchange(request)) == b"%d True" % size


def test_what_comes_behind_a_body_is_no_header(serve: Any) -> None:
    """It would be the client's word for what a proxy in front says of it."""

    def application(environ: Any, start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [environ.get("HTTP_X_FORWARDED_USER", "nobody").encode()]

    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = serve(application).exchange(head + b"3\r\nabc\r\n0\r\nX-Forwarded-User: admin\r\n\r\n")

    assert body_of(answer) == b"nobody"


def test_a_body_that_nobody_reads(serve: Any) -> None:
    served = serve(answering(b"done"))

    post = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n123456789"
    assert body_of(served.exchange(post)) == b"done"


def test_slow_bodies_cost_no_thread(serve: Any) -> None:
    served = serve(reading(lambda body: bytes(body.read())), threads=1)
    clients = [served.connect() for _ in range(4)]
    for client in clients:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + BODY[:1])

    assert served.get().startswith(b"HTTP/1.1 200")
    for client in clients:
        client.sendall(BODY[1:100])
    for client in clients:
        assert receive_until(client, b"100 True").startswith(b"HTTP/1.1 200")
        client.close()


def test_a_body_that_breaks_off_is_an_error(serve: Any) -> None:
    errors = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            errors.append(error)
            raise
        return []

    served = serve(application)
    with served.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n" + BODY[:2_000_000])
        time.sleep(0.5)

    wait_for(lambda: errors)


def test_continue_is_said_when_the_application_reads(serve: Any) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        body = b""
        if environ["PATH_INFO"] == "/read":
            body = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [b"read " + body]

    served = serve(application)
    with served.connect() as client:
        client.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"abc")
        assert b"read abc" in receive_until(client, b"read abc")
    with served.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert receive_until(client, b"read ").startswith(b"HTTP/1.1 200")


def receive_until(client: socket.socket, end: bytes) -> bytes:
    received = b""
    while end not in received and (data := client.recv(65536)):
        received += data
    return received


def test_files(serve: Any, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(BODY)

    def application(environ: Any, start_response: Any) -> Any:
        opened = file.open("rb")
        opened.read(10)
        headers = [("Content-Length", "20")] if environ["PATH_INFO"] == "/some" else []
        start_response("200 OK", headers)
        return environ["wsgi.file_wrapper"](opened)

    served = serve(application)

    assert body_of(served.get()) == BODY[10:]
    assert body_of(served.get(b"/some")) == BODY[10:30]
    assert not body_of(served.exchange(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))


def test_a_client_that_leaves_a_file_is_no_error(serve: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "file"
    with file.open("wb") as opened:
        opened.truncate(100_000_000)
    ended: list[Any] = []

    class Observer:
        def ended(self, record: Any) -> None:
            ended.append(record)

    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "100000000")])
        return environ["wsgi.file_wrapper"](file.open("rb"))

    served = serve(application, observers=Observers([Observer()]))
    with served.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(65536)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    wait_for(lambda: ended)
    served.get(b"/other")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_what_is_like_a_file(serve: Any) -> None:
    import io

    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"not a real one"), 4)

    assert body_of(serve(application).get()) == b"not a real one"


def test_http_1_0_gets_no_chunks(serve: Any) -> None:
    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        yield b"two"

    answer = serve(application).exchange(b"GET / HTTP/1.0\r\n\r\n")

    assert answer.endswith(b"\r\n\r\nonetwo")


def test_pipelined_requests_are_answered_in_order(serve: Any) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        time.sleep(0.01 if environ["PATH_INFO"] in ("/1", "/3") else 0)
        start_response("200 OK", [("Content-Length", "2")])
        return [environ["PATH_INFO"].encode()]

    served = serve(application)
    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(9))
    answers = served.exchange(requests + b"GET /9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert [body[:2] for body in answers.split(b"\r\n\r\n")[1:]] == [b"/%d" % number for number in range(10)]


def test_every_thread_is_used_and_none_is_lost(serve: Any) -> None:
    crowd = Crowd()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        with crowd:
            time.sleep(0.05)
        start_response("200 OK", [])
        return [b"ok"]

    served = serve(application, threads=3)
    for _ in range(3):
        clients = [served.connect() for _ in range(12)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for client in clients:
            assert b"".join(iter(lambda client=client: client.recv(65536), b"")).startswith(b"HTTP/1.1 200")
            client.close()
    assert crowd.most == 3


def test_only_the_application_can_be_stuck(serve: Any) -> None:
    seen: list[tuple[str, bool]] = []

    def note(place: str) -> None:
        seen.append((place, any(served.worker.watchdog.stuck())))

    def watch(waiters: Any) -> None:
        wait_for(lambda: waiters)
        note("body")
        go_on.set()

    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        note("application")
        body = environ["wsgi.input"]
        watching = threading.Thread(target=watch, args=(body.raw.changed._waiters,))
        watching.start()
        body.read()
        watching.join()
        note("application")
        start_response("200 OK", [])
        yield b"x"
        note("streaming")

    go_on = threading.Event()
    served = serve(application)
    with served.connect() as client:
        expected = b"Content-Length: 1\r\nExpect: 100-continue\r\n"
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + expected + b"\r\n")
        go_on.wait(60)
        client.sendall(b"y")
        receive_until(client, b"0\r\n\r\n")

    assert seen == [("application", True), ("body", False), ("application", True), ("streaming", False)]
    wait_for(lambda: not served.worker.watchdog.requests)


def test_gunicorns_hooks_for_requests(serve: Any) -> None:
    seen: list[Any] = []

    noted: dict[Any, int] = {}

    def before(worker: Any, request: Any) -> None:
        noted[request] = len(seen)
        seen.append(("before", request.method, request.uri, request.path, request.query, request.version))

    def behind(worker: Any, request: Any, environ: Any, answer: Any) -> None:
        del noted[request]
        seen.append(("behind", request.uri, environ["PATH_INFO"], answer.status, answer.sent))

    served = serve(answering(b"he", b"llo", status="201 Made"), pre_request=before, post_request=behind)

    assert body_of(served.get(b"/a?b")) == b"hello"
    wait_for(lambda: len(seen) == 2)
    assert not noted
    assert seen == [("before", "GET", "/a?b", "/a", "b", (1, 1)), ("behind", "/a?b", "/a", "201 Made", 5)]


def test_the_log_can_show_what_the_application_notes(serve: Any) -> None:
    records: list[Any] = []

    class Observer:
        def ended(self, record: Any) -> None:
            records.append(record.environ().get("shop.user"))

    def application(environ: Any, start_response: Any) -> list[bytes]:
        environ["shop.user"] = "alice"
        start_response("200 OK", [])
        return []

    serve(application, observers=Observers([Observer()])).get()

    wait_for(lambda: records)
    assert records == ["alice"]


def test_early_hints(serve: Any) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload")])
        start_response("200 OK", [])
        return [b"body"]

    served = serve(application)

    hints, _, answer = served.get().partition(b"\r\n\r\n")
    assert hints == b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload"
    assert body_of(answer) == b"body"
    assert served.exchange(b"GET / HTTP/1.0\r\n\r\n").count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("header_map", "status", "seen"), [("drop", 200, ""), ("refuse", 400, None), ("dangerous", 200, "x")]
)
def test_names_with_underscores(serve: Any, header_map: str, status: int, seen: str | None) -> None:
    found = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        found.append(environ.get("HTTP_X_FORWARDED_USER", ""))
        start_response("200 OK", [])
        return []

    answer = serve(application, header_map=header_map).get(b"/", b"X_Forwarded_User: x")

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert found == ([] if seen is None else [seen])


def test_hundreds_of_threads(serve: Any) -> None:
    barrier = threading.Barrier(300)

    def application(environ: Any, start_response: Any) -> list[bytes]:
        barrier.wait(60)
        start_response("200 OK", [])
        return [b"together"]

    served = serve(application, threads=300)
    clients = [served.connect() for _ in range(300)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for client in clients:
        assert b"together" in receive_until(client, b"together")
        client.close()


def test_observers_know_what_was_sent(serve: Any) -> None:
    records: list[Any] = []

    class Observer:
        def ended(self, record: Any) -> None:
            records.append((record.method, record.status, record.sent, record.received))

    served = serve(reading(lambda body: bytes(body.read())), observers=Observers([Observer()]))
    served.exchange(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\n" + BODY[:4])

    wait_for(lambda: records)
    assert records == [("POST", 200, 6, 4)]


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_threads_that_the_system_does_not_let_start(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As within a container's limit for processes: requests wait for a thread, and are served by what there is."""
    served = serve(answering(b"served"))
    start, refused = threading.Thread.start, []

    def refusing(thread: threading.Thread) -> None:
        if thread.name.startswith("paddock-wsgi") and len(refused) < 5:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refusing)

    assert [body_of(served.get()) for _ in range(3)] == [b"served"] * 3
    assert set(refused) == {"paddock-wsgi-1"}
    assert "No thread can be started beside the 0 there are: can't start new thread" in caplog.messages
