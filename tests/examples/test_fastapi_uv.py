"""The FastAPI example, as its README says that it is used."""

import pytest

from conftest import mounting, wait_until
from examples.conftest import LOCKED_UP

IMAGE = "paddock-example:fastapi-uv"
KEY = "open sesame"
ITEMS = {
    "tyre-soft": {"sku": "tyre-soft", "name": "Soft tyre", "price": 495},
    "tyre-hard": {"sku": "tyre-hard", "name": "Hard tyre", "price": 450},
    "wheel-nut": {"sku": "wheel-nut", "name": "Wheel nut", "price": 12},
}


# One process of xdist has the container of most of them.
pytestmark = pytest.mark.xdist_group("fastapi-uv")


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """The example with four workers and its secret, as locked up as it can be."""
    mount = mounting(tmp_path_factory.mktemp("secrets"))
    return {
        "image": IMAGE,
        "environment": {"WORKERS": "4", "API_KEY_FILE": "/run/secrets/api_key"},
        "volumes": mount("/run/secrets/api_key", f"{KEY}\n"),
        **LOCKED_UP,
    }


@pytest.fixture(scope="module")
def shop(start_for_all, options):
    return start_for_all(**options).wait_healthy()


def test_every_route_answers(shop):
    key = {"X-API-Key": KEY}

    assert shop.get("/").json()["message"] == "Welcome to the Paddock Shop"
    assert shop.get("/health").json() == {"items": 3}
    assert shop.get("/items", headers=key).json() == list(ITEMS.values())
    for sku, item in ITEMS.items():
        assert shop.get(f"/items/{sku}", headers=key).json() == item
    assert shop.get("/items/engine", headers=key).status_code == 404
    assert shop.get("/docs").status_code == 200


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": ""}, {"X-API-Key": "open"}, {"X-API-Key": "clé".encode()}])
@pytest.mark.parametrize("path", ["/items", "/items/wheel-nut"])
def test_the_secret_opens_the_items(shop, path, headers):
    assert shop.get(path, headers=headers).status_code == 401


def test_four_workers_answer(shop):
    pids = {shop.get("/").json()["worker"]}
    wait_until(lambda: pids.add(shop.get("/").json()["worker"]) or len(pids) == 4, "answers of four workers")

    assert shop.workers() == 4


def test_it_stops_cleanly(start, options):
    shop = start(**options)
    wait_until(lambda: shop.logs().count("open with 3 items") == 4, "all four workers")

    assert shop.stop() == 0
    assert shop.logs().count("open with 3 items") == shop.logs().count("closed") == 4


def test_the_secret_is_nowhere_to_be_seen(shop):
    shop.get("/items", headers={"X-API-Key": KEY})

    assert KEY not in shop.logs()
    assert KEY not in shop.run("paddock", "config")


def test_the_server_cannot_change_its_code(shop):
    assert shop.run("find", "/app", "/opt", "-writable", "!", "-type", "l") == ""


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "paddock: API_KEY: is not set, and REQUIRED_ENV names it"),
        ({"API_KEY": ""}, "paddock: API_KEY: is empty, and REQUIRED_ENV names it"),
        (
            {"API_KEY_FILE": "/run/secrets/api_key"},
            "paddock: API_KEY_FILE='/run/secrets/api_key': cannot be read (No such file or directory)",
        ),
    ],
)
def test_a_missing_secret_ends_the_start(finish, environment, message):
    outcome = finish(image=IMAGE, environment=environment)

    assert outcome.status == 78
    assert message in outcome.err
    assert "Traceback" not in outcome.err
