"""The line of an ASGI record at a fraction of the cost: one expression, and one look at all that a client has sent.

What is unusual (quotes, control characters, characters beyond ASCII, a header that came twice, an atom that is not
here) is left to `atoms`, whose lines these are: a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paddock.logs.atoms import local_time, user
from paddock.settings.log_line import CONVERSION, HEADER_ATOM

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
    if sent.isascii() and sent.isprintable() and '"' not in sent and "\\\\" not in sent and len(fields) == len(headers):
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
    made: dict[str, Any] = {"local_time": local_time, "user": user, "slow": slow}
    exec(source, made)  # noqa: S102 (all of it is from this file, but for quoted names and the quoted template)
    return made["line"]  # type: ignore[no-any-return]
