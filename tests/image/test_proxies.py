"""Behind nginx, HAProxy and Caddy as docs/proxies.md configures them: what the application sees, and what passes."""

import asyncio
import json
import re
import socket
import time
import zlib
from contextlib import closing, suppress
from http.client import HTTPResponse
from ipaddress import ip_address, ip_network
from random import Random
from uuid import uuid4

import httpx
import pytest
import trustme
from docker.types import Mount
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from conftest import PATIENCE, Removal, http_client, starting, wait_until
from proxies import FILES, HOST, PROGRAMS, Proxy, cell, exchange

ASGI = "proxied_asgi.py"
WSGI = "proxied_wsgi.py"
APPS = pytest.mark.parametrize(
    "app",
    # One process of xdist has each application's servers.
    [pytest.param(app, id=kind, marks=pytest.mark.xdist_group(app)) for app, kind in ((ASGI, "asgi"), (WSGI, "wsgi"))],
)
EACH = pytest.mark.parametrize("name", PROGRAMS)
WAYS = pytest.mark.parametrize("way", ["ipv4", "ipv6", "unix"])


@pytest.fixture(scope="module")
def network(engine):
    """A network with IPv4 and IPv6."""
    network = engine.networks.create(f"paddock-test-{uuid4()}", enable_ipv6=True)
    network.reload()
    yield network
    network.remove()


@pytest.fixture(scope="module")
def clients(network):
    """The addresses of the test itself on the network, IPv4 and IPv6."""
    return sorted((pool["Gateway"] for pool in network.attrs["IPAM"]["Config"]), key=lambda address: ":" in address)


@pytest.fixture(scope="module")
def proxies(network):
    """Every address on the network but the test's, as FORWARDED_ALLOW_IPS has them."""
    return ",".join(
        str(part)
        for pool in network.attrs["IPAM"]["Config"]
        for part in ip_network(pool["Subnet"]).address_exclude(ip_network(pool["Gateway"]))
    )


@pytest.fixture(scope="module")
def volume(engine, removal):
    """What the application and a proxy share, for a Unix socket."""
    volume = engine.volumes.create(
        driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "uid=10001,mode=0755"},
    )
    yield volume
    # Containers that have ended hold it, too.
    removal.finish()
    volume.remove()


@pytest.fixture(scope="module")
def authority():
    """Who signs the proxies' certificate."""
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority, tmp_path_factory):
    """The proxies' certificate and key."""
    directory = tmp_path_factory.mktemp("tls")
    directory.chmod(0o755)
    issued = authority.issue_cert(HOST)
    certificate, key = (b"".join(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes())
    for name, content in {"tls.crt": certificate, "tls.key": key, "tls.pem": certificate + key}.items():
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o644)
    return directory


@pytest.fixture(scope="module")
def serve(engine, slim, network, proxies, volume, tls):
    """Serve an application at every address of its container and at a Unix socket, once for each configuration."""
    serving = {}

    def run(app, memory=None, **environment):
        key = (app, memory, *environment.items())
        if key not in serving:
            environment = {"BIND": "[::]:8000", "FORWARDED_ALLOW_IPS": proxies, "WORKERS": "1", **environment}
            environment["BIND"] += f",unix:/run/app/{len(serving)}.sock"
            serving[key] = start(
                app,
                environment=environment,
                mem_limit=memory,
                network=network.name,
                mounts=[mounted(volume)],
                volumes={str(tls): {"bind": "/tls", "mode": "ro"}},
            ).wait_ready()
        return serving[key]

    with starting(engine, slim, Removal(at_once=1)) as start:
        yield run


@pytest.fixture
def behind(start, tools, network, volume, authority, tls, tmp_path):
    """Start a proxy in front of an application, as the page has it but for what a test exchanges or adds."""

    def run(name, container, way="ipv4", more="", send="", memory=None, server=""):
        program = PROGRAMS[name]
        if way == "unix":
            upstream = exchange(cell("Unix socket", program), "/run/app/app.sock", socket_of(container))
            upstream = f"{upstream} {send}"
        else:
            address = container.address if way == "ipv4" else f"[{container.ipv6}]"
            upstream = f"{program.upstream.replace('app:8000', f'{address}:8000')} {send}"
        text = exchange(FILES[program.file], program.upstream, upstream)
        if server:
            text, replaced = re.subn(r"^    server \{\n.*?^    \}\n", lambda _: server, text, flags=re.M | re.S)
            assert replaced == 1
        text = exchange(text, program.before, f"{program.more}    {more}\n{program.before}")
        configuration = tmp_path / str(uuid4())
        configuration.write_text(text)
        files = {str(path): f"/etc/{name}/{path.name}" for path in tls.iterdir()}
        files[str(configuration)] = f"/{program.file}"
        proxy = start(
            image=f"{tools}:{name}",
            command=list(program.command),
            user=program.user,
            environment={"HOME": "/tmp"},
            mem_limit=memory,
            network=network.name,
            mounts=[mounted(volume)],
            volumes={path: {"bind": place, "mode": "ro"} for path, place in files.items()},
            allow=("",),
        )
        proxy = Proxy(proxy, authority)
        wait_until(lambda: answers(proxy), f"{name} to answer")
        return proxy

    return run


def socket_of(container):
    """Where an application listens on the volume."""
    [bind] = [value for value in container.raw.attrs["Config"]["Env"] if value.startswith("BIND=")]
    return bind.rpartition(",unix:")[2]


def mounted(volume):
    return Mount("/run/app", volume.name)


def answers(proxy):
    assert proxy.container.running, proxy.container.logs()
    with suppress(httpx.TransportError), proxy.client() as client:
        return client.get("/").status_code < 500


SPOOFED = {
    "X-Forwarded-For": "203.0.113.66",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/evil",
    "X-Real-Ip": "203.0.113.66",
    "Forwarded": "for=203.0.113.66;host=evil.example",
    "X_Forwarded_For": "203.0.113.66",
    "SCRIPT_NAME": "/items",
    "PATH_INFO": "/evil",
    "REMOTE_USER": "admin",
}
"""What a client may say of itself."""

NO_TLS = {"X-Forwarded-Proto": "http", "X-Forwarded-Ssl": "off", "X-Forwarded-Protocol": "http"}
TLS = {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "on", "X-Forwarded-Protocol": "ssl"}


def seen(client, scheme="https", host=HOST, root_path="", route="/items/7"):
    """What the application sees of a request."""
    return {
        "client": client,
        "scheme": scheme,
        "host": host,
        "root_path": root_path,
        "path": root_path + route,
        "route": route,
        "url": f"{scheme}://{host}{root_path}{route}",
        "user": None,
    }


# --- Who the client is ---


@EACH
@APPS
@WAYS
def test_the_application_sees_the_client(serve, behind, clients, name, app, way):
    proxy = behind(name, serve(app), way)

    for client, ipv6 in zip(clients, [False, True], strict=True):
        assert proxy.ask("/items/7", ipv6=ipv6) == seen(client)
        assert proxy.ask("/items/7", SPOOFED | NO_TLS, ipv6=ipv6) == seen(client)
        # Caddy redirects to https.
        if name != "caddy":
            assert proxy.ask("/items/7", SPOOFED | TLS, scheme="http", ipv6=ipv6) == seen(client, "http")


@APPS
def test_nothing_is_believed_from_an_address_that_is_not_allowed(serve, clients, app):
    container = serve(app)

    for client, address in zip(clients, [container.address, f"[{container.ipv6}]"], strict=True):
        with http_client() as direct:
            answer = direct.get(f"http://{address}:8000/items/7", headers=SPOOFED | TLS)
        assert answer.json() == seen(client, "http", f"{address}:8000")


@APPS
def test_a_unix_socket_is_believed_where_a_proxy_is_not(serve, behind, clients, app):
    container = serve(app, BIND="0.0.0.0:8000", FORWARDED_ALLOW_IPS="192.0.2.1")
    proxy = behind("haproxy", container)
    at_socket = behind("haproxy", container, way="unix")

    assert proxy.ask("/items/7", SPOOFED) == seen(proxy.container.address, "http")
    assert at_socket.ask("/items/7", SPOOFED) == seen(clients[0])


@APPS
def test_whoever_connects_is_believed_and_no_more(serve, behind, clients, app):
    """With `*`, what the client itself says still counts for nothing."""
    proxy = behind("nginx", serve(app, BIND="0.0.0.0:8000", FORWARDED_ALLOW_IPS="*"))

    assert proxy.ask("/items/7", SPOOFED | NO_TLS) == seen(clients[0])


# --- Where the application is published ---


@EACH
@APPS
@pytest.mark.parametrize("strips", [True, False], ids=["strips", "whole"])
def test_root_path(serve, behind, clients, name, app, strips):
    strip = cell("strip `/api`", PROGRAMS[name]) if strips else ""
    proxy = behind(name, serve(app, ROOT_PATH="/api"), more=strip)

    assert proxy.ask("/api/items/7") == seen(clients[0], root_path="/api")
    assert proxy.ask("/api/") == seen(clients[0], root_path="/api", route="/")
    assert proxy.ask("/api/apian") == seen(clients[0], root_path="/api", route="/apian")


@APPS
def test_nginx_has_other_paths_too(serve, behind, clients, app):
    proxy = behind("nginx", serve(app, ROOT_PATH="/api"), server=FILES["etc/nginx/below.conf"])

    assert proxy.ask("/api/items/7") == seen(clients[0], root_path="/api")
    assert proxy.ask("/api/") == seen(clients[0], root_path="/api", route="/")
    with proxy.client() as client:
        moved = client.get("/api?page=2")
        assert (moved.status_code, moved.headers["location"]) == (308, f"https://{HOST}/api/?page=2")
        assert client.get("/elsewhere").status_code == 404


# --- The PROXY protocol ---


SENDS = pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2"])
CERTIFIED = {"CERTFILE": "/tls/tls.crt", "KEYFILE": "/tls/tls.key"}
TO_TLS = "ssl verify none"


@pytest.fixture(scope="module")
def announced(serve, proxies):
    """Serve an application that reads the PROXY protocol of the proxies."""

    def run(app, **environment):
        return serve(app, **{"PROXY_PROTOCOL": "auto", "PROXY_ALLOW_IPS": proxies, **environment})

    return run


@APPS
@SENDS
def test_proxy_protocol(announced, behind, clients, app, send):
    """For every request of a connection, of which HAProxy announces the client once."""
    proxy = behind("haproxy", announced(app), send=send)

    for client, ipv6 in zip(clients, [False, True], strict=True):
        with proxy.client(ipv6=ipv6) as connection:
            for _ in range(3):
                assert connection.get("/items/7", headers=SPOOFED).json() == seen(client)


@APPS
@SENDS
def test_proxy_protocol_before_tls(announced, behind, clients, app, send):
    container = announced(app, **CERTIFIED)
    proxy = behind("haproxy", container, send=f"{send} {TO_TLS}")

    for client, ipv6 in zip(clients, [False, True], strict=True):
        with proxy.client(ipv6=ipv6) as connection:
            for number in range(3):
                assert connection.get(f"/items/{number}").json() == seen(client, route=f"/items/{number}")
        container.wait_for_log(rf"(?m)^.*\b{re.escape(client)}\b.*/items/2\b")


@APPS
def test_proxy_protocol_at_a_unix_socket(announced, behind, clients, app):
    proxy = behind("haproxy", announced(app, PROXY_ALLOW_IPS="192.0.2.1"), way="unix", send="send-proxy-v2")

    assert proxy.ask("/items/7", SPOOFED) == seen(clients[0])


@SENDS
@pytest.mark.parametrize("more", ["", TO_TLS], ids=["plain", "tls"])
def test_proxy_protocol_of_a_websocket(announced, behind, clients, send, more):
    proxy = behind("haproxy", announced(ASGI, **(CERTIFIED if more else {})), send=f"{send} {more}")

    async def until_the_client_closes(websocket):
        assert json.loads(await websocket.recv()) == seen(clients[0], "wss")

    converse(proxy, until_the_client_closes)


@APPS
def test_what_the_balancers_clients_write_is_not_believed(announced, behind, clients, app):
    """HAProxy here, which is not in FORWARDED_ALLOW_IPS, stands for one that leaves HTTP alone."""
    proxy = behind("haproxy", announced(app, FORWARDED_ALLOW_IPS="192.0.2.1"), send="send-proxy-v2")

    assert proxy.ask("/items/7", SPOOFED) == seen(clients[0], "http")


def test_gunicorns_own_worker_class_reads_it(announced, behind, clients):
    container = announced(ASGI, WORKER_CLASS="asgi").allow("WORKER_CLASS=asgi is not the image's")
    proxy = behind("haproxy", container, send="send-proxy-v2")

    for client, ipv6 in zip(clients, [False, True], strict=True):
        answer = proxy.ask("/items/7", SPOOFED, ipv6=ipv6)
        # It has HAProxy's spelling: 0:0:0:0:0:ffff:ac12:1
        address = ip_address(answer["client"])
        assert answer | {"client": str(getattr(address, "ipv4_mapped", None) or address)} == seen(client)


# --- What lasts ---


@EACH
@APPS
def test_events_arrive_as_they_are_sent(serve, behind, name, app):
    proxy = behind(name, serve(app))

    with proxy.client() as client, client.stream("GET", f"/events?stream={name}") as events:
        lines = (line for line in events.iter_lines() if line)
        for number in range(3):
            assert next(lines) == f"data: {number}"
            proxy.ask(f"/next?stream={name}")
        assert list(lines) == []


def converse(proxy, conversation):
    """Have a conversation over a WebSocket; not by websockets' threads, which hang in ssl once in a while."""

    async def connected():
        async with connect(f"wss://{HOST}/items/7", host=proxy.address(), ssl=proxy.trust, proxy=None) as websocket:
            await conversation(websocket)

    asyncio.run(asyncio.wait_for(connected(), PATIENCE))


@pytest.mark.smoke
@EACH
def test_websocket(serve, behind, clients, name):
    container = serve(ASGI)
    proxy = behind(name, container)

    async def until_the_application_closes(websocket):
        assert json.loads(await websocket.recv()) == seen(clients[0], "wss")
        for text in ("hello", "x" * 1_000_000):
            await websocket.send(text)
            assert await websocket.recv() == text
        await websocket.send("4001")
        with pytest.raises(ConnectionClosed) as closed:
            await websocket.recv()
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as you like")

    async def until_the_client_closes(websocket):
        await websocket.recv()
        await websocket.close(4002)

    converse(proxy, until_the_application_closes)
    converse(proxy, until_the_client_closes)
    container.wait_for_log("the client closed with 4002")


def test_an_idle_websocket_outlives_the_proxys_patience(serve, behind):
    proxy = behind("nginx", serve(ASGI, UVICORN_WS_PING_INTERVAL="0.5"), more="proxy_read_timeout 2s;")

    async def with_a_pause(websocket):
        await websocket.recv()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(websocket.recv(), 5)
        await websocket.send("hello")
        assert await websocket.recv() == "hello"

    converse(proxy, with_a_pause)


# --- What is no request ---

HIDDEN = f"GET /admin HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n".encode()


def ask_to_upgrade(proxy, to, framing, body, pause):
    """Send a body with a request that asks for another protocol; return the answer's status and text."""
    head = f"POST /uploads/ HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: {to}\r\n"
    # Without these HAProxy takes it for no WebSocket's handshake, and closes.
    head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" + framing + "\r\n\r\n"
    with (
        socket.create_connection((proxy.address(), 443), PATIENCE) as raw,
        proxy.trust.wrap_socket(raw, server_hostname=HOST) as client,
    ):
        for piece in [head.encode(), body] if pause else [head.encode() + body]:
            client.sendall(piece)
            time.sleep(pause)
        with closing(HTTPResponse(client, method="POST")) as answer:
            answer.begin()
            return answer.status, answer.read()


@EACH
@pytest.mark.parametrize("websockets", ["auto", "none"])
def test_no_request_hides_in_a_body(serve, behind, clients, name, websockets):
    container = serve(ASGI, UVICORN_WS=websockets).allow("Unsupported upgrade request")
    proxy = behind(name, container)
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)

    for to in ("foo", "h2c", "websocket"):
        for framing, body in ((f"Content-Length: {len(HIDDEN)}", HIDDEN), ("Transfer-Encoding: chunked", chunked)):
            for pause in (0, 0.2):
                status, text = ask_to_upgrade(proxy, to, framing, body, pause)
                if to == "websocket" and websockets == "auto":
                    assert status == 400
                else:
                    assert (status, json.loads(text)["length"]) == (200, len(HIDDEN)), (to, framing, pause)
                # On the connections to the application that the proxy keeps.
                for number in range(4):
                    assert proxy.ask(f"/items/{number}") == seen(clients[0], route=f"/items/{number}")
    assert "/admin" not in container.logs()


# --- What is large ---

LIMIT = "128m"
"""The memory of each container: the kernel would kill who keeps what passes through."""


@pytest.mark.parametrize(("name", "app"), [("nginx", ASGI), ("haproxy", WSGI), ("caddy", ASGI)])
def test_upload_of_a_gibibyte(serve, behind, name, app):
    proxy = behind(name, serve(app, memory=LIMIT), memory=LIMIT)
    body = Body(1024**3)

    with proxy.client() as client:
        answer = client.post("/uploads/", content=body, headers={"Content-Length": str(body.length)})
    assert answer.json() == {"length": body.length, "checksum": body.checksum}


def test_nginx_takes_large_bodies_where_it_is_told_to(serve, behind):
    proxy = behind("nginx", serve(WSGI))

    with proxy.client() as client:
        assert client.post("/uploads/", content=bytes(2_000_000)).json()["length"] == 2_000_000
        assert client.post("/", content=bytes(2_000_000)).status_code == 413


class Body:
    """As many bytes, made on the way; no two parts of a body are the same."""

    PART = 1024 * 1024

    def __init__(self, length):
        self.length = length
        self.checksum = 0

    def __iter__(self):
        random = Random(7)
        for _ in range(self.length // self.PART):
            part = random.randbytes(self.PART // 256) * 256
            self.checksum = zlib.crc32(part, self.checksum)
            yield part
