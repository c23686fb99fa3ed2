"""The health check: exit status 0 or 1, and one line that says why.

It runs every few seconds in every container, so it is as little Python as can be: no http.client, no urllib (and so
no proxy from the environment), ssl only for TLS.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping

from paddock.health import state
from paddock.health.state import Address, State

# typing itself would cost more than the check.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

TIME_LIMIT = 4.0
"""Time for everything together: below the 5 s after which Docker would end the check without a reason."""

HEALTH_AGENT = "paddock-health"
"""What the check calls itself, for whoever sees its requests."""

HEALTH_HEADER = "X-Paddock-Health"
"""The header field with the token that the server knows it by: the log and the metrics leave its requests out."""

STATUS_LINE = 4096
"""Bytes of an answer that are read in search of its first line's end."""

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""What the server is started from: `python /opt/paddock/lib/paddock serve`."""

NAME = "paddock"
"""How the entrypoint is called, by whoever begins it: `opentelemetry-instrument paddock serve`."""

OTHER_COMMANDS = ("check", "config", "settings", "init", "health", "exec", "gunicorn", "uvicorn")
"""What is started in the same way and leaves no state: none of it will get ready later."""


HANDSHAKE_OR_ALERT = (b"\x16", b"\x15")
"""How the first record of a server that speaks TLS begins (https://www.rfc-editor.org/rfc/rfc8446#section-5.1)."""


NO_SERVER = "no Paddock server runs here, and nothing else is checked"


class UnhealthyError(Exception):
    """The container is not healthy; the text is the reason, in one line."""


def main(environ: Mapping[str, str] | None = None) -> int:
    """Check this container; return 0 when it is healthy and 1 when not, with one line on standard output."""
    return told(lambda: check(os.environ if environ is None else environ))


def told(ask: Callable[[], str]) -> int:
    """Print, in one line, what `ask` says, or why it raises; return 0 or 1."""
    try:
        verdict, status = f"healthy: {ask()}", 0
    except UnhealthyError as error:
        verdict, status = f"unhealthy: {error}", 1
    except Exception as error:
        verdict, status = f"unhealthy: the check itself failed: {type(error).__name__}: {error}", 1
    try:
        sys.stdout.write(" ".join(verdict.split()) + "\n")
        sys.stdout.flush()
    except OSError:
        # Nobody reads the reason; the status still counts.
        pass
    return status


def check(environ: Mapping[str, str]) -> str:
    """Say what makes this container healthy, or raise UnhealthyError."""
    found = find(environ)
    if found is None:
        if is_starting():
            raise UnhealthyError("the server is starting")
        return NO_SERVER
    if found.phase == state.READY:
        return _ask_patiently(found)
    if found.phase == state.DRAINING:
        raise UnhealthyError("the server is draining: it was told to stop")
    raise UnhealthyError(f"the server is {found.phase}")


def find(environ: Mapping[str, str]) -> State | None:
    """The state of the server that runs in this container, from where `serve` may have left it."""
    for directory in state.directories(environ):
        found = State.read(directory)
        if found is not None and found.alive:
            return found
    return None


def is_starting(proc: str = "/proc") -> bool:
    """Whether a server of this container has not come to writing its state yet.

    The processes of other containers can be seen where a pod shares its process namespace, hence the mount namespaces.
    """
    return any(_is_server(arguments) and _is_near(proc, process) for process, arguments in _processes(proc))


def _is_server(arguments: list[str]) -> bool:
    """Tell whether a process is a server, or what will become one: the entrypoint, or a program that instruments it."""
    if PACKAGE in arguments:
        return arguments[-1] != PACKAGE and arguments[arguments.index(PACKAGE) + 1] not in OTHER_COMMANDS
    names = [argument.rpartition("/")[2] for argument in arguments]
    at = names.index(NAME) if NAME in names else 0
    # What follows an option is its value.
    if not at or arguments[at - 1].startswith("-"):
        return False
    command = (arguments[at + 1 :] or ["serve"])[0]
    return command == "serve" or command.startswith("-") or ":" in command


def _processes(proc: str) -> Iterator[tuple[str, list[str]]]:
    for process in os.listdir(proc):
        if process.isdigit():
            try:
                with open(f"{proc}/{process}/cmdline", "rb") as file:
                    yield process, os.fsdecode(file.read()).removesuffix("\0").split("\0")
            except OSError:
                # It has ended since, or is none of ours.
                continue


def _is_near(proc: str, process: str) -> bool:
    """Tell whether a process is of this container."""
    try:
        return os.readlink(f"{proc}/{process}/ns/mnt") == os.readlink(f"{proc}/self/ns/mnt")
    except PermissionError:
        # Not even root is told of another user's in a container; cgroups everyone is.
        return _cgroups(proc, process) == _cgroups(proc, "self")
    except OSError:
        return False


def _cgroups(proc: str, process: str) -> bytes:
    try:
        with open(f"{proc}/{process}/cgroup", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _ask_patiently(server: State) -> str:
    """Ask, and once more where the check itself stood still: its container was paused, or the machine suspended."""
    begun = time.monotonic()
    try:
        return _ask(server)
    except UnhealthyError:
        if time.monotonic() - begun < 1.5 * TIME_LIMIT:
            raise
        return _ask(server)


def _ask(server: State) -> str:
    """Ask the first listener that can be reached: all of them lead to the same workers, and one answer costs least.

    A listener may also be bound where only others can reach it, such as a socket in a directory of the proxy's.
    """
    deadline = time.monotonic() + TIME_LIMIT
    refused: list[str] = []
    for address in [address for listener in server.listeners for address in reachable(listener)]:
        name = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
        name = name.replace("\0", "@")
        try:
            connection = _connect(address, deadline)
        except OSError as error:
            refused.append(f"{name}: {_reason(error)}")
            continue
        with connection:
            try:
                return f"{name} {_talk(connection, server, deadline)}"
            except OSError as error:
                raise UnhealthyError(f"{name}: {_reason(error)}") from error
            except UnhealthyError as error:
                raise UnhealthyError(f"{name} {error}") from error
    raise UnhealthyError("; ".join(refused) or "the server has no listener that can be asked")


def reachable(listener: Address) -> list[Address]:
    """The addresses under which this container itself may reach a listener.

    That of every IPv6 address takes IPv4 too, which may be all that there is: https://man7.org/linux/man-pages/man7/ipv6.7.html
    """
    if isinstance(listener, str):
        return [listener]
    host, port = listener
    hosts = {"0.0.0.0": ["127.0.0.1"], "::": ["::1", "127.0.0.1"]}.get(host, [host])  # noqa: S104
    return [(host, port) for host in hosts]


def _connect(address: Address, deadline: float) -> socket.socket:
    if isinstance(address, str):
        connection = socket.socket(socket.AF_UNIX)
        target: bytes | tuple[str, int] = os.fsencode(address)
    else:
        connection = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        target = address
    try:
        connection.settimeout(_left(deadline))
        connection.connect(target)
    except BaseException:
        connection.close()
        raise
    return connection


def _talk(connection: socket.socket, server: State, deadline: float) -> str:
    """Ask as far as a client without a certificate can; say what makes the answer a good one."""
    if not server.tls:
        return _request(connection, server, deadline)
    if server.client_certificate:
        return _shake_hands(connection, deadline)
    with _tls(connection, deadline) as secured:
        return _request(secured, server, deadline)


def _request(connection: socket.socket, server: State, deadline: float) -> str:
    wanted = server.health_path
    target = wanted or "/"
    # No PROXY protocol line first, even where the server understands one: it answers without one too, and would
    # refuse one that comes from an address outside PROXY_ALLOW_IPS.
    request = (
        f"GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {HEALTH_AGENT}\r\nAccept: */*\r\n"
        f"{HEALTH_HEADER}: {server.token}\r\nConnection: close\r\n\r\n"
    )
    connection.settimeout(_left(deadline))
    connection.sendall(request.encode("utf-8", "surrogateescape"))
    status = _status(_first_line(connection, deadline))
    answer = f"answered GET {target} with {status}"
    if wanted and not 200 <= status < 400:
        raise UnhealthyError(f"{answer}, where 2xx or 3xx is healthy")
    if status >= 500:
        raise UnhealthyError(f"{answer}, where anything below 500 is healthy")
    return answer


def _context() -> ssl.SSLContext:
    import ssl  # 14 ms, which a check without TLS does without

    # The container talks to itself: whoever its certificate is for, and whatever ciphers it was given, may be.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def _tls(connection: socket.socket, deadline: float) -> socket.socket:
    connection.settimeout(_left(deadline))
    return _context().wrap_socket(connection)


def _shake_hands(connection: socket.socket, deadline: float) -> str:
    """Ask for a handshake, and leave when it is answered: one without the certificate would fail, and be logged."""
    import ssl  # 14 ms, which a check without TLS does without

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        _context().wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        connection.settimeout(_left(deadline))
        connection.sendall(outgoing.read())
    if connection.recv(1)[:1] not in HANDSHAKE_OR_ALERT:
        raise UnhealthyError("does not answer a TLS handshake")
    return "answered a TLS handshake; it requires a client certificate, so no request was made"


def _first_line(connection: socket.socket, deadline: float) -> bytes:
    received = b""
    while b"\n" not in received and len(received) < STATUS_LINE:
        connection.settimeout(_left(deadline))
        data = connection.recv(STATUS_LINE)
        if not data:
            break
        received += data
    return received.split(b"\n")[0]


def _status(line: bytes) -> int:
    words = line.split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise UnhealthyError("closed the connection without an answer" if not line else "did not answer in HTTP")
    return int(words[1])


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIME_LIMIT:g} s"
    return (error.strerror or str(error)).lower()
