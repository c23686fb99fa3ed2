"""The line of a record at a fraction of the cost: one expression, and one look at all that a client has sent.

It is for records that have a scope, which are those of the image's own front.

What is unusual (quotes, control characters, characters beyond ASCII, a header that came twice, an atom that is not
here) is left to `atoms` and `access`, whose lines these are: a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from os import getpid
from time import time
from typing import Any

from paddock.http import traces
from paddock.logs.atoms import local_time, user
from paddock.settings.log_line import CONVERSION, HEADER_ATOM
from paddock.text.formats import iso

ADDRESS = "(scope['client'] or (None,))[0] or '-'"
TARGET = "path + '?' + query if query else path"

OF_CLIENTS = {
    "h": ADDRESS,
    "r": f"scope['method'] + ' ' + ({TARGET}) + ' HTTP/' + scope['http_version']",
    "m": "scope['method']",
    "q": "query",
    "H": "'HTTP/' + scope['http_version']",
    "f": "fields.get(b'referer', b'-').decode('latin-1') or '-'",
    "a": "fields.get(b'user-agent', b'-').decode('latin-1') or '-'",
}
"""Atoms that a client has a say in."""

OURS = {
    "l": "'-'",
    "u": "user(x) if b'authorization' in fields else '-'",
    "t": "local_time(x)",
    "s": "x.status",
    "b": "x.sent or '-'",
    "B": "x.sent",
    "T": "int(x.seconds)",
    "D": "int(x.seconds * 1_000_000)",
    "M": "int(x.seconds * 1000)",
    "L": "'%.6f' % x.seconds",
}

LINE_SOURCE = """
def line(x):
    scope = x.scope
    if scope is None or "method" not in scope:
        return slow(x)
    headers = scope["headers"]
    fields = dict(headers)
    query = scope["query_string"].decode("latin-1")
    path = x.raw.decode("latin-1")[{prefix}:]
    {names} = {values}
    sent = {joined}
    if harmless(sent) and len(fields) == len(headers):
        return {template!r} % ({arguments},)
    return slow(x)
"""


def scope_line(line: str, root_path: str, slow: Callable[[Any], str]) -> Callable[[Any], str]:
    """Return a function that does for ASGI records what `slow` does, which makes lines of the format `line`.

    It leaves clients that were refused, who have no scope, and WebSockets, who have no method, to `slow`.
    """
    sent: dict[str, str] = {}
    arguments = []
    for match in CONVERSION.finditer(line):
        atom = match["atom"]
        if match[0] == "%%":
            continue
        header = HEADER_ATOM.fullmatch(atom)
        if header and header["of"] == "i":
            name = header["name"].lower().encode("latin-1", "replace")
            expression = f"fields.get({name!r}, b'-').decode('latin-1') or '-'"
        else:
            expression = OF_CLIENTS.get(atom, "")
        if expression:
            arguments.append(sent.setdefault(expression, f"sent_{len(sent)}"))
        elif atom in OURS:
            arguments.append(OURS[atom])
        else:
            return slow
    template = CONVERSION.sub(lambda match: match[0] if match[0] == "%%" else "%" + match["how"], line)
    source = LINE_SOURCE.format(
        prefix=len(root_path),
        names="".join(f"{name}, " for name in sent.values()) or "_",
        values="".join(f"{value}, " for value in sent) or "()",
        joined=" + ".join(sent.values()) or "''",
        template=template,
        arguments=", ".join(arguments),
    )
    made: dict[str, Any] = {"local_time": local_time, "user": user, "slow": slow, "harmless": harmless}
    exec(source, made)  # noqa: S102 (all of it is from this file, but for quoted names and the quoted template)
    return made["line"]  # type: ignore[no-any-return]


def scope_object(logger: str, root_path: str, id_field: str, slow: Callable[[Any], str]) -> Callable[[Any], str]:
    """Return a function that does for such records what `slow` does, which makes the objects of `logger`.

    `id_field` is the lower-case name of the header with a request's id, for records that have none of their own. What
    `scope_line` leaves to `slow` is left to it here, too, and paths that are percent-encoded.
    """
    prefix, id_key = len(root_path), id_field.encode("latin-1", "replace")
    whose = f'"level": "info", "logger": "{logger}", "pid": {getpid()}'

    def line(x: Any) -> str:
        scope = x.scope
        if scope is None or "method" not in scope:
            return slow(x)
        headers = scope["headers"]
        fields = dict(headers)
        method, version = scope["method"], scope["http_version"]
        path, query = x.raw.decode("latin-1")[prefix:], scope["query_string"].decode("latin-1")
        client = (scope["client"] or ("",))[0]
        referer, agent = fields.get(b"referer"), fields.get(b"user-agent")
        request_id = x.request_id.encode() or fields.get(id_key)
        trace = ""
        if b"traceparent" in fields:
            ids = traces.of_field(fields[b"traceparent"].decode("latin-1"))
            trace = "".join(f', "{name}": "{value}"' for name, value in ids.items())
        asked = f"{method} {path}?{query} HTTP/{version}" if query else f"{method} {path} HTTP/{version}"
        given = ((referer or b"") + (agent or b"") + (request_id or b"")).decode("latin-1")
        if "%" in path or len(fields) != len(headers) or not harmless(asked + client + given):
            return slow(x)
        return (
            f'{{"time": "{iso(time())}", {whose}, "message": "{asked} {x.status}", '
            f'"client": {quoted(client)}, "method": {quoted(method)}, '
            f'"path": {quoted(path)}, "query": {quoted(query)}, "protocol": "HTTP/{version}", '
            f'"status": {x.status}, "bytes": {x.sent}, "duration": {round(x.seconds, 6)!r}, '
            f'"referer": {optional(referer)}, "user_agent": {optional(agent)}, '
            f'"request_id": {optional(request_id)}{trace}}}'
        )

    return line


def quoted(text: str) -> str:
    """Return a harmless text as JSON; null for an empty one."""
    return f'"{text}"' if text else "null"


def optional(value: bytes | None) -> str:
    """Return a header field's value as JSON; null for one that there is not."""
    return "null" if value is None else f'"{value.decode("latin-1")}"'


def harmless(sent: str) -> bool:
    """Tell whether what a client has sent can stand in a line and between quotes as it is."""
    return sent.isascii() and sent.isprintable() and '"' not in sent and "\\" not in sent
