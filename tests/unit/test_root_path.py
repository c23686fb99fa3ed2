"""Applications of three frameworks below /api, behind a proxy that strips it and behind one that does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from io import BytesIO
from typing import Any

import flask
import httpx
import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path, reverse
from gunicorn.config import Config
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from werkzeug.test import run_wsgi_app

from paddock.http import root_path
from paddock.workers.wsgi.environ import Environs

ROOT = "/api"


def starlette() -> Any:
    async def item(request: Request) -> JSONResponse:
        return JSONResponse([request.url.path, str(request.url_for("shop:item", sku=7))])

    return Starlette(routes=[Mount("/shop", name="shop", routes=[Route("/items/{sku:int}", item, name="item")])])


def flask_application() -> Any:
    application = flask.Flask("shop")

    @application.get("/shop/items/<int:sku>")
    def item(sku: int) -> list[str]:
        return [flask.request.script_root + flask.request.path, flask.url_for("item", sku=sku, _external=True)]

    return application


def django_item(request: HttpRequest, sku: int) -> JsonResponse:
    return JsonResponse([request.path, request.build_absolute_uri(reverse("item", args=[sku]))], safe=False)


urlpatterns = [path("shop/items/<int:sku>", django_item, name="item")]


@pytest.fixture(scope="module", autouse=True)
def _django() -> None:
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="only for the test")


def uvicorn(application: Any) -> Any:
    """What Uvicorn does with its root path."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        scope |= {"root_path": ROOT, "path": ROOT + scope["path"], "raw_path": ROOT.encode() + scope["raw_path"]}
        await application(scope, receive, send)

    return serve


def ask_asgi(application: Any, asked: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(uvicorn(root_path.asgi(application, ROOT)))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return await client.get(asked)

    return asyncio.run(ask())


def ask_wsgi(application: Any, asked: str) -> httpx.Response:
    cfg = Config()
    cfg.set("root_path", ROOT)
    environs = Environs(cfg)

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        items, status, headers = run_wsgi_app(application, environs.of(scope, BytesIO(), None), buffered=True)
        fields = [(name.lower().encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": int(status[:3]), "headers": fields})
        await send({"type": "http.response.body", "body": b"".join(items)})

    return ask_asgi(serve, asked)


FRAMEWORKS = [
    pytest.param(ask_asgi, starlette, id="starlette"),
    pytest.param(ask_wsgi, flask_application, id="flask"),
    pytest.param(ask_asgi, get_asgi_application, id="django-asgi"),
    pytest.param(ask_wsgi, get_wsgi_application, id="django-wsgi"),
]

Ask = Callable[[Any, str], httpx.Response]


@pytest.mark.parametrize("stripped", [True, False])
@pytest.mark.parametrize(("ask", "make"), FRAMEWORKS)
def test_paths_and_addresses(ask: Ask, make: Callable[[], Any], stripped: bool) -> None:
    answer = ask(make(), "/shop/items/7" if stripped else "/api/shop/items/7")

    assert answer.json() == ["/api/shop/items/7", "http://shop/api/shop/items/7"]


@pytest.mark.parametrize(("ask", "make"), FRAMEWORKS)
@pytest.mark.parametrize("asked", ["/apish/shop/items/7", "/api/api/shop/items/7", "/nothing", "/api"])
def test_what_is_not_there(ask: Ask, make: Callable[[], Any], asked: str) -> None:
    assert ask(make(), asked).status_code == 404


@pytest.mark.parametrize("asked", ["/größe", "/api/größe"])
def test_encoded_paths(asked: str) -> None:
    seen: dict[str, Any] = {}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)

    raw = asked.replace("größe", "gr%C3%B6%C3%9Fe").encode()
    scope = {"type": "http", "root_path": ROOT, "path": ROOT + asked, "raw_path": ROOT.encode() + raw}
    asyncio.run(root_path.asgi(application, ROOT)(scope, None, None))

    assert (seen["path"], seen["raw_path"]) == ("/api/größe", b"/api/gr%C3%B6%C3%9Fe")
