"""ROOT_PATH: where a proxy publishes the application, which sees the same whether the proxy strips that or not."""

from __future__ import annotations

from typing import Any


def asgi(application: Any, root_path: str) -> Any:
    """Return the ASGI 3 `application` with `root_path` once at the beginning of each path.

    Uvicorn has put it there, as https://asgi.readthedocs.io/en/latest/specs/www.html wants it for a proxy that strips.
    """

    def rooted(scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] != "lifespan":
            asked = scope["path"].removeprefix(root_path)
            if is_below(asked, root_path):
                scope["path"] = asked
                scope["raw_path"] = scope["raw_path"].removeprefix(root_path.encode("ascii"))
        return application(scope, receive, send)

    return rooted


def is_below(path: str, root_path: str) -> bool:
    """Tell whether `path` is `root_path` or below it: /api/items is below /api, /apian is not."""
    return path == root_path or path.startswith(root_path + "/")
