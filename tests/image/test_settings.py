"""Every setting reaches the live process: seen in its processes, sockets, connections, logs and answers."""

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import wire
from conftest import UNREACHABLE, wait_until

ASGI = "observed.py"
WSGI = "observed_wsgi.py"
BOTH = pytest.mark.parametrize("app", [ASGI, WSGI])
WRITABLE_TMP = {"tmpfs": {"/tmp": "mode=1777"}}
IPV6 = {"sysctls": {"net.ipv6.conf.all.disable_ipv6": "0"}}
HALF_A_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
REQUEST = HALF_A_REQUEST + b"\r\n"


@pytest.fixture
def serve(start):
    """Serve with one worker, unless the variables say otherwise, and wait until it is ready."""

    def run(app, environment, **options):
        return start(app, environment={"WORKERS": "1"} | environment, **options).wait_ready()

    return run


def listening(container):
    """Where the container listens, from the kernel: `0.0.0.0:8000`, `[::]:8000`, `/tmp/app.sock`."""
    script = (
        "import ipaddress as ip\n"
        "for name in 'tcp', 'tcp6':\n"
        "    for row in list(open(f'/proc/net/{name}'))[1:]:\n"
        "        local, state = row.split()[1], row.split()[3]\n"
        "        host, port = local.split(':')\n"
        "        words = [bytes.fromhex(host[i:i + 8])[::-1] for i in range(0, len(host), 8)]\n"
        "        address = ip.ip_address(b''.join(words))\n"
        "        if state == '0A' and not (str(address).startswith('127.0.0.11')):\n"
        "            print(f'[{address}]:{int(port, 16)}' if name == 'tcp6' else f'{address}:{int(port, 16)}')\n"
        "for row in list(open('/proc/net/unix'))[1:]:\n"
        "    if row.split()[3] == '00010000': print(*row.split()[7:])\n"
    )
    return set(container.run("python", "-c", script).split())


def raw(container, data=b"", port=8000):
    """A connection over which `data` was sent."""
    connection = socket.create_connection((container.address, port), timeout=60)
    connection.sendall(data)
    return connection


def received(connection):
    """Everything until the server closes."""
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def log_lines(container, *, stream="stderr"):
    """The lines of one stream."""
    return container.logs(stdout=stream == "stdout", stderr=stream == "stderr").splitlines()


# Workers


def another_worker(container, before):
    """Whether another worker than `before` answers; one that is being replaced may close the connection."""
    with suppress(httpx.TransportError):
        return container.get().json()["pid"] != before


@pytest.mark.parametrize(
    ("environment", "workers"),
    [
        ({"WORKERS": "3"}, 3),
        ({"WORKERS": "", "WEB_CONCURRENCY": "3"}, 3),
        ({"WORKERS": "", "GUNICORN_WORKERS": "3"}, 3),
        ({"WORKERS": "1", "WEB_CONCURRENCY": "3", "GUNICORN_WORKERS": "3"}, 1),
        ({"WORKERS": "", "WEB_CONCURRENCY": "1", "GUNICORN_WORKERS": "3"}, 1),
        ({"WORKERS": " 2 "}, 2),
    ],
)
def test_workers(serve, environment, workers):
    container = serve(ASGI, environment)

    wait_until(lambda: container.workers() >= workers, f"{workers} workers")
    assert container.workers() == workers


def test_threads(serve):
    container = serve(WSGI, {"THREADS": "2"})

    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: container.get("/?seconds=0.5").json(), range(4)))

    assert max(answer["most_in_flight"] for answer in answers) == 2


@pytest.mark.parametrize(
    ("worker_class", "thread"),
    [
        ("", "paddock-wsgi"),
        ("gthread", "paddock-wsgi"),
        ("sync", "paddock-wsgi"),
        ("gunicorn.workers.gthread.ThreadWorker", "ThreadPoolExecutor"),
        ("gunicorn.workers.sync.SyncWorker", "MainThread"),
    ],
)
def test_worker_class(serve, worker_class, thread):
    container = serve(WSGI, {"WORKER_CLASS": worker_class}, allow=("is not the image's",))

    assert container.get().json()["thread"].startswith(thread)


@pytest.mark.parametrize("worker_class", ["uvicorn", "uvicorn.workers.UvicornWorker", "uvicorn_worker.UvicornWorker"])
def test_worker_class_by_the_names_of_other_images(serve, worker_class):
    container = serve(ASGI, {"WORKER_CLASS": worker_class, "UVICORN_HTTP": "h11"})

    assert container.get().json()["parser"] == "paddock.workers.front.on_h11"


def test_timeout(serve):
    container = serve(ASGI, {"TIMEOUT": "4"})
    before = container.get().json()["pid"]
    time.sleep(6)
    assert container.get().json()["pid"] == before, "an idle worker was taken for a dead one"
    container.assert_silent()

    container.allow("")
    with suppress(httpx.TransportError):
        assert container.get("/block?seconds=30").status_code == 500
    container.wait_for_log("silent for TIMEOUT=4 seconds")
    wait_until(lambda: another_worker(container, before), "another worker")


@BOTH
def test_graceful_timeout(serve, app):
    container = serve(app, {"GRACEFUL_TIMEOUT": "2"}, allow=("",))
    with raw(container, b"GET /wait?seconds=3600 HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        # The connection has reached the worker when a later one was answered.
        container.get()
        started = time.monotonic()
        assert container.stop() != 137

    assert time.monotonic() - started > 1


@BOTH
def test_max_requests(serve, app):
    container = serve(app, {"MAX_REQUESTS": "5", "MAX_REQUESTS_JITTER": "0"})
    before = container.get().json()["pid"]

    wait_until(lambda: another_worker(container, before), "another worker")


@pytest.mark.smoke
@pytest.mark.parametrize(("preload", "importer"), [("true", "the arbiter"), ("false", "the worker")])
def test_preload_app(serve, preload, importer):
    answer = serve(ASGI, {"PRELOAD_APP": preload}).get().json()

    assert answer["imported_by"] == {"the arbiter": 1, "the worker": answer["pid"]}[importer]


@pytest.mark.parametrize("directory", ["/dev/shm", "/tmp"])
def test_worker_tmp_dir(serve, directory):
    environment = {} if directory == "/dev/shm" else {"WORKER_TMP_DIR": directory}
    container = serve(ASGI, environment, read_only=True, **WRITABLE_TMP)

    worker = container.get().json()["pid"]
    for process in (1, worker):
        assert f" -> {directory}/wgunicorn-" in container.run("ls", "-l", f"/proc/{process}/fd")
    assert re.search(r"paddock-\d*\.state", container.run("ls", directory))


# Network


@pytest.mark.parametrize(
    ("environment", "listeners"),
    [
        ({}, {"0.0.0.0:8000"}),
        ({"PORT": "9000"}, {"0.0.0.0:9000"}),
        ({"HOST": "127.0.0.1"}, {"127.0.0.1:8000"}),
        ({"HOST": "127.0.0.1", "PORT": "9000"}, {"127.0.0.1:9000"}),
        ({"HOST": "::", "PORT": "9000"}, {"[::]:9000"}),
        ({"HOST": "[::1]"}, {"[::1]:8000"}),
        ({"HOST": "localhost"}, {"127.0.0.1:8000"}),
        ({"BIND": "127.0.0.1:9000", "HOST": "0.0.0.0", "PORT": "8000"}, {"127.0.0.1:9000"}),
        ({"GUNICORN_BIND": "127.0.0.1:9000", "PORT": "8000"}, {"127.0.0.1:9000"}),
        ({"BIND": "[::]:8000"}, {"[::]:8000"}),
        ({"BIND": "unix:/tmp/app.sock"}, {"/tmp/app.sock"}),
        (
            {"BIND": "0.0.0.0:8000, 127.0.0.1:9000,[::1]:9001,unix:/tmp/app.sock"},
            {"0.0.0.0:8000", "127.0.0.1:9000", "[::1]:9001", "/tmp/app.sock"},
        ),
    ],
)
def test_bind(serve, environment, listeners):
    container = serve(ASGI, environment, allow=(UNREACHABLE,), **IPV6)

    assert listening(container) == listeners
    for listener in listeners:
        assert " 200 " in container.run("python", "-c", ASK, listener)


def test_bind_of_wsgi(serve):
    listeners = {"127.0.0.1:9000", "[::1]:9001", "/tmp/app.sock"}
    container = serve(WSGI, {"BIND": "127.0.0.1:9000,[::1]:9001,unix:/tmp/app.sock"}, allow=(UNREACHABLE,), **IPV6)

    assert listening(container) == listeners
    for listener in listeners:
        assert " 200 " in container.run("python", "-c", ASK, listener)


ASK = r"""
import socket, sys
where = sys.argv[1]
if where.startswith("/"):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(where)
else:
    host, _, port = where.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host).strip("[]")
    connection = socket.create_connection((host, int(port)))
connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
print(connection.makefile().readline())
"""


def test_port_zero_is_one_that_is_free(serve):
    container = serve(ASGI, {"PORT": "0"})

    (listener,) = listening(container)
    assert int(listener.rpartition(":")[2]) > 1024


@BOTH
def test_keep_alive(serve, app):
    container = serve(app, {"KEEP_ALIVE": "1"})
    with raw(container, REQUEST) as connection:
        started = time.monotonic()
        assert b"200" in received(connection)

    assert time.monotonic() - started > 0.5


@BOTH
def test_keep_alive_is_longer_than_a_load_balancers_patience_by_default(serve, app):
    container = serve(app, {})
    with raw(container, REQUEST) as connection:
        connection.settimeout(3)
        with pytest.raises(TimeoutError):
            received(connection)
        connection.settimeout(60)
        connection.sendall(REQUEST)
        assert b"200" in connection.recv(65536)


# Behind a proxy

FORWARDED = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}


def believes(container):
    """Whether the application sees what a proxy forwarded, completely or not at all."""
    answer = container.get(headers=FORWARDED).json()
    seen = (answer["client"], answer["scheme"])
    assert seen == ("203.0.113.7", "https") or (seen[0] != "203.0.113.7" and seen[1] == "http"), seen
    return answer["scheme"] == "https"


@pytest.mark.parametrize(
    ("environment", "believed"),
    [
        ({}, False),
        ({"FORWARDED_ALLOW_IPS": "*"}, True),
        ({"FORWARDED_ALLOW_IPS": "10.1.2.3,172.16.0.0/12"}, True),
        ({"FORWARDED_ALLOW_IPS": "10.1.2.3"}, False),
        ({"FORWARDED_ALLOW_IPS": "172.16.0.0/12", "BIND": "[::]:8000"}, True),
    ],
)
@BOTH
def test_forwarded_allow_ips(serve, app, environment, believed):
    assert believes(serve(app, environment, **IPV6)) is believed


def test_uvicorn_proxy_headers(serve):
    assert not believes(serve(ASGI, {"FORWARDED_ALLOW_IPS": "*", "UVICORN_PROXY_HEADERS": "false"}))


@BOTH
def test_root_path(serve, app):
    container = serve(app, {"ROOT_PATH": "/api", "READY_PATH": "/ready"})

    assert container.get("/ready").text == container.get("/api/ready").text == "ready"
    stripped, whole = container.get("/items").json(), container.get("/api/items").json()
    assert stripped["root_path"] == whole["root_path"] == "/api"
    assert stripped["path_info"] == whole["path_info"] == ("/items" if app == WSGI else "/api/items")


@BOTH
def test_no_root_path(serve, app):
    answer = serve(app, {}).get("/api/items").json()

    assert (answer["root_path"], answer["path_info"]) == ("", "/api/items")


ANNOUNCED = b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 8000\r\n"
FOR_ITSELF = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
"""Version 2 of a connection that the proxy makes for itself: https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt"""


@pytest.mark.parametrize(("value", "header", "client"), [("v1", ANNOUNCED, "203.0.113.9"), ("v2", FOR_ITSELF, "172.")])
@BOTH
def test_proxy_protocol(serve, app, value, header, client):
    """It holds for the whole connection."""
    container = serve(app, {"PROXY_PROTOCOL": value, "PROXY_ALLOW_IPS": "172.16.0.0/12", "BIND": "[::]:8000"}, **IPV6)
    with raw(container, header + REQUEST + HALF_A_REQUEST + b"Connection: close\r\n\r\n") as connection:
        assert received(connection).count(b'"client": "' + client.encode()) == 2


@BOTH
def test_proxy_allow_ips(serve, app):
    environment = {"PROXY_PROTOCOL": "v1", "PROXY_ALLOW_IPS": "192.0.2.1"}
    container = serve(app, environment)
    with raw(container, ANNOUNCED + REQUEST) as connection:
        assert received(connection).startswith(b"HTTP/1.1 403")
    assert container.get().status_code == 200


FROM_ANYWHERE = {"PROXY_PROTOCOL": "auto", "PROXY_ALLOW_IPS": "*"}


@BOTH
def test_a_proxy_header_that_is_malformed(serve, app):
    container = serve(app, FROM_ANYWHERE)

    for header in (
        b"PROXY TCP4 nobody\r\n",
        b"PROXY " + b"x" * 200,
        FOR_ITSELF[:12] + b"\x21\x11\xff\xff",
        FOR_ITSELF[:12] * 2,
    ):
        with raw(container, header + REQUEST) as connection:
            assert wire.received(connection) == b""
    said = r"\[INFO\].* Refused 172[^ ]+: a PROXY "
    wait_until(lambda: len(re.findall(said, container.logs())) == 4, "four refusals in the log")
    with raw(container, ANNOUNCED + REQUEST) as connection:
        assert b"203.0.113.9" in connection.recv(65536)


@BOTH
def test_a_proxy_header_that_is_never_complete(serve, app):
    """Its client has the time of a request's head; others are served meanwhile, by the one worker that there is."""
    container = serve(app, FROM_ANYWHERE | {"REQUEST_HEAD_TIMEOUT": "3600"})
    with ExitStack() as stack:
        for number in range(100):
            beginning = (b"", b"PROXY TCP4", FOR_ITSELF[:12])[number % 3]
            stack.enter_context(raw(container, beginning))
        with raw(container, ANNOUNCED + REQUEST) as connection:
            assert b"203.0.113.9" in connection.recv(65536)
        assert container.get().status_code == 200

    container = serve(app, FROM_ANYWHERE | {"REQUEST_HEAD_TIMEOUT": "1"})
    with raw(container) as silent, raw(container, ANNOUNCED[:-1]) as half:
        assert wire.received(silent) == wire.received(half) == b""
    container.wait_for_log("Refused .* within 1 s, REQUEST_HEAD_TIMEOUT")
    assert container.logs().count("Refused") == 1


@BOTH
def test_a_proxy_header_byte_by_byte(serve, app):
    container = serve(app, FROM_ANYWHERE)
    with raw(container) as connection:
        for number in range(len(ANNOUNCED + REQUEST)):
            connection.sendall((ANNOUNCED + REQUEST)[number : number + 1])
            time.sleep(0.002)
        assert b"203.0.113.9" in connection.recv(65536)


# Logging


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("ERROR", ["error"]),
    ],
)
def test_log_level(start, level, shown):
    container = start(ASGI, environment={"LOG_LEVEL": level}, allow=("",)).wait_healthy()
    container.get("/log")

    log = container.wait_for_log("an error message") and container.logs(stdout=False)
    assert re.findall(r"\[([A-Z]+)\] \[\d+\] shop\.orders: an? (\w+) message", log) == [(w.upper(), w) for w in shown]
    assert ("[INFO]" in log) == ("info" in shown)


def test_log_format_text(serve):
    container = serve(ASGI, {}, allow=(" message", "no such order", "Traceback", "a Python warning"))
    container.get("/log")
    container.wait_for_log("an error message")

    line = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d \[[A-Z]+\] \[\d+\] [\w.]+: .+")
    log = container.logs(stdout=False)
    assert all(line.fullmatch(start) for start in log.splitlines() if start.startswith("2"))
    assert "LookupError: no such order" in log
    assert re.search(r"\[WARNING\] .*a Python warning", log)


def test_log_format_json(start):
    container = start(ASGI, environment={"LOG_FORMAT": "json"}, allow=("",)).wait_healthy()
    container.get("/log")
    container.wait_for_log("an error message")

    lines = [json.loads(line) for line in log_lines(container)]
    assert {"time", "level", "logger", "pid", "message"} <= set.intersection(*(set(line) for line in lines))
    by_message = {line["message"]: line for line in lines}
    assert by_message["Ready"]["logger"] == "gunicorn"
    assert by_message["an info message"]["order"] == 7
    assert "LookupError: no such order" in by_message["an error message"]["exception"]
    assert any("a Python warning" in message for message in by_message)
    wait_until(lambda: any("GET /log" in line for line in log_lines(container, stream="stdout")), "the access log")
    access = [line for line in log_lines(container, stream="stdout") if "/log" in line]
    assert "GET /log HTTP/1.1" in json.loads(access[0])["message"]


@pytest.mark.parametrize(
    "environment",
    [{"ACCESS_LOG": "none"}, {"GUNICORN_ACCESSLOG": "None"}, {"ACCESS_LOG": "/tmp/access.log"}],
)
@BOTH
def test_access_log_elsewhere(serve, app, environment):
    container = serve(app, environment)
    container.get("/somewhere")
    container.stop()

    assert "GET /" not in container.logs()
    if "/tmp/access.log" in environment.values():
        assert b"GET /somewhere HTTP/1.1" in b"".join(container.raw.get_archive("/tmp/access.log")[0])


@BOTH
def test_access_log_by_default(serve, app):
    container = serve(app, {})
    container.get("/somewhere?a=1", headers={"User-Agent": "tests", "Referer": "http://there"})

    line = container.wait_for_log(r".*/somewhere.*")
    expected = (
        r'172\.\S+ - - \[\S+ \S+\] "GET /somewhere\?a=1 HTTP/1\.1" 200 \d+ "http://there" "tests" 0\.\d{6} [0-9a-f]{32}'
    )
    assert re.fullmatch(expected, line), line
    assert line in log_lines(container, stream="stdout")


@BOTH
def test_access_log_format(serve, app):
    form = "%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(B)s|%({x-id}i)s|%({content-type}o)s|%(D)s|%(M)s|%(p)s|100%%"
    container = serve(app, {"ACCESS_LOG_FORMAT": form})
    answer = container.get("/somewhere?a=1", headers={"X-Id": "abc"})

    line = container.wait_for_log(r".*/somewhere.*").split("|")
    pid = answer.json()["pid"]
    assert line[:8] == [
        "GET",
        "/somewhere",
        "a=1",
        "HTTP/1.1",
        "200",
        str(len(answer.content)),
        "abc",
        "application/json",
    ]
    assert line[8].isdigit()
    assert line[9].isdigit()
    assert line[10:] == [f"<{pid}>", "100%"]


def test_error_log_in_a_file(start):
    container = start(ASGI, environment={"ERROR_LOG": "/tmp/error.log"}).wait_healthy()

    assert container.logs(stdout=False) == ""
    assert "gunicorn: Ready" in container.run("cat", "/tmp/error.log")


def test_error_log_nowhere(start):
    container = start(ASGI, environment={"ERROR_LOG": "none"}).wait_healthy()

    assert container.logs(stdout=False) == ""


# Uvicorn's own


def test_uvicorn_sends_its_date_and_no_name(serve):
    headers = serve(ASGI, {}).get().headers

    assert "date" in headers
    assert "server" not in headers


def test_uvicorn_headers(serve):
    environment = {
        "UVICORN_SERVER_HEADER": "yes",
        "UVICORN_DATE_HEADER": "off",
        "UVICORN_HEADERS": '{"X-Frame-Options": "DENY", "X-Served-By": "paddock"}',
    }
    headers = serve(ASGI, environment).get().headers

    assert headers["server"] == "uvicorn"
    assert "date" not in headers
    assert (headers["x-frame-options"], headers["x-served-by"]) == ("DENY", "paddock")


@pytest.mark.parametrize(("lifespan", "runs"), [("auto", True), ("on", True), ("off", False)])
def test_uvicorn_lifespan(serve, lifespan, runs):
    container = serve(ASGI, {"UVICORN_LIFESPAN": lifespan})

    assert ("lifespan.startup" in container.logs()) is runs


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("environment", "loop", "parser"),
    [
        ({}, "uvloop", "httptools.parser.parser"),
        ({"UVICORN_LOOP": "asyncio", "UVICORN_HTTP": "h11"}, "asyncio.unix_events", "paddock.workers.front.on_h11"),
        ({"UVICORN_LOOP": "uvloop", "UVICORN_HTTP": "httptools"}, "uvloop", "httptools.parser.parser"),
    ],
)
def test_uvicorn_loop_and_http(serve, environment, loop, parser):
    answer = serve(ASGI, environment).get().json()

    assert (answer["loop"], answer["parser"]) == (loop, parser)


def test_uvicorn_limit_concurrency(serve):
    settings = {"UVICORN_LIMIT_CONCURRENCY": "1", "READY_PATH": "/ready"}
    container = serve(ASGI, settings, allow=("UVICORN_LIMIT_CONCURRENCY allows",))
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(raw(container, b""))
        assert container.get().status_code == 200
        stack.enter_context(raw(container, b"GET /wait?seconds=15 HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        wait_until(lambda: container.get().status_code == 503, "no room")
        assert container.get("/ready").status_code == 200
        assert container.run("paddock", "health").startswith("healthy: ")
    wait_until(lambda: container.get().status_code == 200, "room again")


def test_uvicorn_h11_max_incomplete_event_size(serve):
    environment = {"UVICORN_HTTP": "h11", "UVICORN_H11_MAX_INCOMPLETE_EVENT_SIZE": "1000"}
    container = serve(ASGI, environment, allow=("Invalid HTTP request received",))

    with raw(container, HALF_A_REQUEST + b"X-Long: " + b"a" * 2000) as connection:
        assert received(connection).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(("reset", "context"), [("false", "of the import"), ("true", "empty")])
def test_uvicorn_reset_contextvars(serve, reset, context):
    assert serve(ASGI, {"UVICORN_RESET_CONTEXTVARS": reset}).get().json()["context"] == context


def web_socket(container, **options):
    return connect(f"ws://{container.address}:8000/", proxy=None, **options)


@pytest.mark.parametrize("implementation", ["httptools", "h11"])
def test_max_requests_counts_websockets(serve, implementation):
    environment = {"WORKERS": "1", "MAX_REQUESTS": "3", "MAX_REQUESTS_JITTER": "0", "UVICORN_HTTP": implementation}
    container = serve(ASGI, environment)
    for _ in range(3):
        with web_socket(container):
            pass

    container.wait_for_log(r"Worker \d+ is replaced: it served its MAX_REQUESTS")


@pytest.mark.smoke
@pytest.mark.parametrize("implementation", ["auto", "websockets", "websockets-sansio"])
def test_uvicorn_ws(serve, implementation):
    container = serve(ASGI, {"UVICORN_WS": implementation}, allow=("deprecated",))

    with web_socket(container) as connection:
        connection.send("hello")
        assert connection.recv() == "hello"


def test_uvicorn_ws_none(serve):
    container = serve(ASGI, {"UVICORN_WS": "none"}, allow=("Unsupported upgrade request", "WebSocket"))

    with pytest.raises(InvalidStatus):
        web_socket(container)


def test_uvicorn_ws_max_size(serve):
    container = serve(ASGI, {"UVICORN_WS_MAX_SIZE": "100"})

    with web_socket(container, compression=None) as connection:
        connection.send("a" * 100)
        assert len(connection.recv()) == 100
        connection.send("a" * 101)
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv()
    assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize(("deflate", "extensions"), [("true", 1), ("false", 0)])
def test_uvicorn_ws_per_message_deflate(serve, deflate, extensions):
    container = serve(ASGI, {"UVICORN_WS_PER_MESSAGE_DEFLATE": deflate})

    with web_socket(container) as connection:
        assert len(connection.protocol.extensions) == extensions


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PING = b"\x89"
CLOSE_INTERNAL_ERROR = b"\x03\xf3"  # 1011


def test_uvicorn_ws_ping_interval_and_timeout(serve):
    container = serve(ASGI, {"UVICORN_WS_PING_INTERVAL": "0.5", "UVICORN_WS_PING_TIMEOUT": "0.5"}, allow=("keepalive",))

    with raw(container, UPGRADE) as connection:
        started = time.monotonic()
        frames = received(connection).partition(b"\r\n\r\n")[2]
    assert frames.startswith(PING)
    assert CLOSE_INTERNAL_ERROR in frames
    # Before the first ping of the default.
    assert time.monotonic() - started < 20


def test_uvicorn_ws_ping_interval_none(serve):
    container = serve(ASGI, {"UVICORN_WS_PING_INTERVAL": "none"})

    with raw(container, UPGRADE) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 101")
        connection.settimeout(2)
        with pytest.raises(TimeoutError):
            connection.recv(1)


# Any other setting of Gunicorn's


def test_any_setting_of_gunicorn(serve):
    environment = {
        "GUNICORN_RAW_ENV": "COLOUR=red,SHAPE=round",
        "GUNICORN_BACKLOG": "77",
        "GUNICORN_PYTHONPATH": "/opt,/srv",
        "GUNICORN_PIDFILE": "/tmp/app.pid",
        "GUNICORN_CONTROL_SOCKET": "/tmp/control.sock",
    }
    container = serve(ASGI, environment)
    answer = container.get().json()

    assert (answer["environ"]["COLOUR"], answer["environ"]["SHAPE"]) == ("red", "round")
    assert [listener["backlog"] for listener in answer["listeners"]] == [77]
    assert {"/opt", "/srv"} <= set(answer["path"])
    assert container.run("cat", "/tmp/app.pid").strip() == "1"
    assert "/tmp/control.sock" in listening(container)


def test_gunicorn_umask(serve):
    container = serve(ASGI, {"GUNICORN_UMASK": "0117", "BIND": "unix:/tmp/app.sock"})

    assert container.run("stat", "-c", "%a", "/tmp/app.sock").strip() == "660"


def test_gunicorn_reuse_port(serve):
    container = serve(ASGI, {"GUNICORN_REUSE_PORT": "true"}).wait_healthy()

    assert [listener["reuse_port"] for listener in container.get().json()["listeners"]] == [True]


def test_the_control_socket_is_off_by_default(serve):
    assert listening(serve(ASGI, {})) == {"0.0.0.0:8000"}


def test_gunicorn_chdir(serve, mount):
    container = serve(None, {"GUNICORN_CHDIR": "/srv"}, volumes=mount("/srv/app.py", ANSWERS_CWD))

    assert container.get().text == "/srv"


ANSWERS_CWD = """
import os

def app(environ, start_response):
    start_response("200 OK", [])
    return [os.getcwd().encode()]
"""


@pytest.mark.parametrize(
    ("variable", "value", "path"),
    [("GUNICORN_LIMIT_REQUEST_LINE", "60", "/" + "a" * 60), ("GUNICORN_LIMIT_REQUEST_FIELDS", "2", "/")],
)
def test_gunicorn_limits(serve, variable, value, path):
    container = serve(WSGI, {variable: value}, allow=("Invalid HTTP request received",))

    with raw(container, f"GET {path} HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n".encode()) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 4")


STATSD = """
import socket

receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 8125))
receiver.setblocking(False)

def received():
    lines = []
    try:
        while True:
            lines.append(receiver.recv(65536))
    except BlockingIOError:
        return b"\\n".join(lines)
"""

STATSD_KINDS = {
    "asgi": """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": received()})
""",
    "wsgi": """
def app(environ, start_response):
    start_response("200 OK", [])
    return [received()]
""",
}


@pytest.mark.parametrize("kind", STATSD_KINDS)
def test_gunicorn_statsd_host(start, mount, kind):
    settings = {"STATSD_HOST": "127.0.0.1:8125", "STATSD_PREFIX": "shop", "DOGSTATSD_TAGS": "env:test"}
    environment = {"WORKERS": "1"} | {f"GUNICORN_{key}": value for key, value in settings.items()}
    volumes = mount("/app/main.py", STATSD + STATSD_KINDS[kind])
    # Nobody receives anything until the application is imported, and what is sent next is lost, too.
    container = start(volumes=volumes, environment=environment, allow=("statsd", "Traceback")).wait_ready()

    def measured():
        lines = [line for line in container.get().text.splitlines() if ".request" in line]
        return lines if len(lines) == 3 else []

    duration, requests, status = wait_until(measured, "what is sent of a request")
    assert re.fullmatch(r"shop\.gunicorn\.request\.duration:[0-9.e-]+\|ms\|#env:test", duration)
    assert requests == "shop.gunicorn.requests:1|c|@1.0|#env:test"
    assert status == "shop.gunicorn.request.status.200:1|c|@1.0|#env:test"


def test_gunicorn_secure_scheme_headers(serve):
    environment = {"GUNICORN_SECURE_SCHEME_HEADERS": '{"X-TLS": "yes"}', "FORWARDED_ALLOW_IPS": "*"}

    assert serve(WSGI, environment).get(headers={"X-TLS": "yes"}).json()["scheme"] == "https"


def test_no_header_field_says_where_the_application_is(serve, attempt):
    container = serve(WSGI, {"FORWARDED_ALLOW_IPS": "*"})

    assert container.get("/api/items", headers={"SCRIPT_NAME": "/api"}).json()["root_path"] == ""
    refused = attempt(WSGI, environment={"GUNICORN_FORWARDER_HEADERS": "SCRIPT_NAME", "APP_TYPE": "wsgi"})
    assert refused.status == 78
    assert "GUNICORN_FORWARDER_HEADERS='SCRIPT_NAME'" in refused.err
    assert "set ROOT_PATH" in refused.err


@pytest.mark.parametrize("variable", ["ROOT_PATH", "SCRIPT_NAME"])
@pytest.mark.parametrize("path", ["/api/items", "/items"])
@BOTH
def test_the_environment_says_where_the_application_is(serve, app, variable, path):
    answer = serve(app, {variable: "/api"}).wait_healthy().get(path).json()

    assert (answer["root_path"], answer["path_info"]) == ("/api", "/api/items" if app == ASGI else "/items")


def test_gunicorn_logconfig_dict(start):
    config = {
        "version": 1,
        "formatters": {"mine": {"format": "MINE %(message)s"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "mine"}},
        "root": {"level": "INFO", "handlers": ["console"]},
        "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["console"], "propagate": False}},
    }
    environment = {"GUNICORN_LOGCONFIG_DICT": json.dumps(config), "ACCESS_LOG": "none"}
    container = start(ASGI, environment=environment).wait_healthy()

    assert "MINE Ready" in container.logs()


# Values from files


def test_values_from_files(serve, mount):
    environment = {
        "WORKERS": "",
        "WORKERS_FILE": "/run/secrets/workers",
        "GUNICORN_RAW_ENV_FILE": "/run/secrets/raw",
        "UVICORN_HEADERS_FILE": "/run/secrets/headers",
    }
    volumes = (
        mount("/run/secrets/workers", "3\n")
        | mount("/run/secrets/raw", "COLOUR=red\n")
        | mount("/run/secrets/headers", '{"X-A": "b"}\n')
    )
    container = serve(ASGI, environment, volumes=volumes)
    answer = container.get()

    wait_until(lambda: container.workers() == 3, "three workers")
    assert answer.headers["x-a"] == "b"
    assert answer.json()["environ"]["COLOUR"] == "red"


def test_secrets_of_the_application(serve, mount):
    environment = {
        "SECRETS_ENV": "DB_PASSWORD, API_KEY,UNSET",
        "DB_PASSWORD_FILE": "/run/secrets/db",
        "API_KEY": "direct",
        "OTHER_FILE": "/run/secrets/db",
        "SSL_CERT_FILE": "/run/secrets/db",
    }
    container = serve(ASGI, environment, volumes=mount("/run/secrets/db", "hunter2\n"))

    seen = container.get().json()["environ"]
    assert (seen["DB_PASSWORD"], seen["API_KEY"]) == ("hunter2", "direct")
    assert not {"OTHER", "SSL_CERT", "UNSET"} & set(seen)
    assert seen["SSL_CERT_FILE"] == "/run/secrets/db"
    assert "hunter2" not in container.logs()
