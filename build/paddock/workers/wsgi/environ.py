"""The environ of a WSGI request, as PEP 3333 and Gunicorn have it, from an ASGI scope.

https://peps.python.org/pep-3333/#environ-variables
https://github.com/benoitc/gunicorn/blob/master/gunicorn/http/wsgi.py, create
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from wsgiref.util import FileWrapper

from gunicorn.http.wsgi import base_environ

from paddock.http.record import unquoted, variable

DEFAULT_PORTS = {"http": "80", "https": "443"}


@lru_cache(maxsize=1024)
def passed_as(name: bytes, passes_underscores: bool) -> str:
    """Return the variable of a header field, whose name is in lower case; nothing for one that is to be left out.

    `x_forwarded_for` would come as `X-Forwarded-For`, past a proxy that sets the one and passes the other on.
    """
    if b"_" in name and not passes_underscores:
        return ""
    return variable(name.decode("latin-1"))


class Environs:
    """Makes the environ of each request of a worker."""

    def __init__(self, cfg: Any) -> None:
        """Take Gunicorn's configuration."""
        self.base = base_environ(cfg) | {
            "wsgi.multithread": cfg.threads > 1,
            "wsgi.file_wrapper": FileWrapper,
            "SCRIPT_NAME": cfg.root_path,
        }
        self.root = cfg.root_path
        self.passes_underscores = cfg.header_map == "dangerous"
        self.refuses_underscores = cfg.header_map == "refuse"

    def refuses(self, scope: Any) -> bool:
        """Tell whether GUNICORN_HEADER_MAP wants a request refused, for a name of which the variable is another's."""
        return self.refuses_underscores and any(b"_" in name for name, _ in scope["headers"])

    def of(self, scope: Any, body: Any, connection: Any) -> dict[str, Any]:
        """Return the environ of a request with an ASGI `scope`, a `body` to read, and the `connection` itself."""
        path = scope["raw_path"].decode("latin-1")
        if self.root:
            path = path.removeprefix(self.root)
        version = scope["http_version"]
        query = scope["query_string"].decode("latin-1")
        target = f"{path}?{query}" if query else path
        environ = {
            **self.base,
            "wsgi.input": body,
            "gunicorn.socket": connection,
            "wsgi.url_scheme": scope["scheme"],
            "REQUEST_METHOD": scope["method"],
            "QUERY_STRING": query,
            "RAW_URI": target,
            "REQUEST_URI": target,
            "PATH_INFO": unquoted(path),
            "SERVER_PROTOCOL": f"HTTP/{version}" if "." in version else f"HTTP/{version}.0",
        }
        for name, value in scope["headers"]:
            if key := passed_as(name, self.passes_underscores):
                text = value.decode("latin-1")
                environ[key] = f"{environ[key]},{text}" if key in environ else text
        if client := scope["client"]:
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
        else:
            environ["REMOTE_ADDR"] = ""
        server = scope["server"]
        if server and server[1] is not None:
            environ["SERVER_NAME"], environ["SERVER_PORT"] = server[0], str(server[1])
        else:
            environ["SERVER_NAME"], environ["SERVER_PORT"] = named_by_client(environ)
        return environ


def named_by_client(environ: dict[str, Any]) -> tuple[str, str]:
    """Return name and port of a server on a Unix socket, which has none but those that its client calls it by."""
    name, _, port = environ.get("HTTP_HOST", "").rpartition(":")
    if not name or not port.isdigit():
        name, port = environ.get("HTTP_HOST", ""), ""
    return name, port or DEFAULT_PORTS.get(environ["wsgi.url_scheme"], "")
