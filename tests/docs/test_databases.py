"""docs/databases.md, followed command by command, with Debian's PostgreSQL in place of the official image."""

import json

import pytest

from conftest import wait_until
from page import Page

OVERRIDE = """
services:
  db:
    image: {image}
    user: postgres
    stop_signal: SIGINT
    command: [sh, -euc, {start}]
"""

START = """
PATH=$$(echo /usr/lib/postgresql/*/bin):$$PATH
data=/var/lib/postgresql/data
if [ ! -e $$data ]; then
    initdb --pgdata $$data --username $$POSTGRES_USER --encoding UTF8 --auth-local trust --auth-host scram-sha-256
    echo host all all all scram-sha-256 >>$$data/pg_hba.conf
    echo "ALTER ROLE $$POSTGRES_USER PASSWORD '$$POSTGRES_PASSWORD'" | postgres --single -D $$data postgres
    echo "CREATE DATABASE $$POSTGRES_USER" | postgres --single -D $$data postgres
fi
exec postgres -D $$data -c listen_addresses='*'
"""
"""As much of the official image's entrypoint as the page needs."""

DJANGO = """
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpResponse
from django.urls import path

from settings import DATABASES

settings.configure(ALLOWED_HOSTS=["*"], DATABASES=DATABASES, ROOT_URLCONF=__name__, SECRET_KEY="secret")


def index(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT now() FROM pg_sleep(0.1)")
        return HttpResponse(cursor.fetchone())


urlpatterns = [path("health", lambda request: HttpResponse("alive")), path("", index)]
app = get_wsgi_application()
"""
"""An application with the page's settings."""

DEFAULTS = """
from inspect import signature
import asyncpg, psycopg_pool, sqlalchemy.pool
for function in (asyncpg.create_pool, psycopg_pool.AsyncConnectionPool, sqlalchemy.pool.QueuePool):
    print(*(f"{each.name}={each.default}" for each in signature(function).parameters.values()))
"""


class Shop:
    """The page, with a database that can be had without a registry."""

    def __init__(self, page: Page, database: str) -> None:
        self.page = page
        override = OVERRIDE.format(image=database, start=json.dumps(START))
        (page.directory / "compose.override.yaml").write_text(override)
        (page.directory / "garage.py").write_text(DJANGO)

        commands = [step.commands for step in page.steps]
        self.count = next(command for command in commands if "pg_stat_activity" in command)
        self.load = next(command for command in commands if "xargs" in command)

    def run(self, command: str) -> str:
        """Run a command that the page does not have at this place, and return what it prints."""
        done = self.page.shell(command)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def wait_for_connections(self, wanted: int, under_load: bool) -> None:
        """Wait until the application has so many connections; they must never be more."""

        def enough() -> bool:
            if under_load:
                self.run(self.load)
            found = int(self.run(self.count))
            assert found <= wanted
            return found == wanted

        wait_until(enough, f"{wanted} connections")


@pytest.fixture
def shop(page, tools):
    """The page on databases."""
    return Shop(page("databases"), f"{tools}:postgresql")


def test_page(shop):
    follow = shop.page
    follow.run("docker compose up --build")
    shop.wait_for_connections(6, under_load=False)
    follow.run("docker compose exec db psql")

    follow.run("docker compose stop db")
    follow.run("curl --silent http://127.0.0.1")
    follow.run("curl --silent http://127.0.0.1")
    follow.run("docker compose start db")
    follow.run("curl --silent --fail --retry")
    assert shop.run("docker compose logs web").count("Booting worker") == 2

    follow.run("APP_MODULE=shop:app docker compose up")
    follow.run("seq 200 ")
    shop.wait_for_connections(8, under_load=True)
    follow.run("docker compose exec db psql")

    shop.run("APP_MODULE=garage:app docker compose up --detach --wait")
    shop.wait_for_connections(8, under_load=True)

    source = (follow.directory / "main.py").read_text()
    assert source.count("timeout=60") == 1
    (follow.directory / "impatient.py").write_text(source.replace("timeout=60", "timeout=1"))
    alone = "docker compose run --rm --no-deps --env DATABASE_URL=postgresql://nowhere/shop"
    ended = follow.shell(f"{alone} --volume ./impatient.py:/app/main.py:ro web")
    assert ended.returncode == 1
    assert ended.stdout.count("\n  psycopg_pool.PoolTimeout: pool initialization incomplete after 1 sec") == 1


def test_defaults_of_the_libraries(start, tools):
    packages = ["--with", "asyncpg", "--with", "psycopg[binary,pool]", "--with", "sqlalchemy"]
    command = ["uv", "run", "--quiet", "--no-project", *packages, "python", "-c", DEFAULTS]
    outcome = start(image=f"{tools}:trusting", command=command).outcome()

    asyncpg, psycopg, sqlalchemy = outcome.out.splitlines()
    assert "max_size=10" in asyncpg
    assert "min_size=4 max_size=None" in psycopg
    assert "pool_size=5 max_overflow=10 timeout=30" in sqlalchemy
