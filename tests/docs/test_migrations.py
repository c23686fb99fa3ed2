"""docs/migrations.md, followed with the Django example and its compose.yaml; its table also with Alembic."""

import json
import re
import subprocess

import httpx
import pytest

from conftest import http_client, wait_until
from page import ROOT

OVERRIDE = """\
services:
  web:
    ports: !override ["127.0.0.1:{port}:8000"]
  db:
    image: {tools}:postgresql
    user: postgres
    command:
      - sh
      - -euc
      - |
        export PGDATA=/var/lib/postgresql/data
        PATH=$$(echo /usr/lib/postgresql/*/bin):$$PATH
        initdb --username "$$POSTGRES_USER" --pwfile "$$POSTGRES_PASSWORD_FILE" --encoding UTF8
        echo host all all all scram-sha-256 >>$$PGDATA/pg_hba.conf
        echo "CREATE DATABASE $$POSTGRES_USER" | postgres --single postgres
        exec postgres -c listen_addresses='*'
"""
"""What the official image does with those variables, done by Debian's package: no registry is asked for it."""

ALEMBIC = """\
FROM {tools}:trusting
RUN uv pip install alembic && alembic init migrations && alembic revision --message first
COPY <<EOF /tmp/configure.py
import os
{configure}
EOF
RUN sed -i '/^config = context.config/r /tmp/configure.py' migrations/env.py
ENV SECRETS_ENV=DATABASE_URL
"""

PAGE = (ROOT / "docs" / "migrations.md").read_text()


@pytest.fixture
def story(page):
    """The page, with an image of the Django example that nothing else uses as `my-app`."""
    story = page("migrations", example="django")
    build(story.app, f"FROM paddock-example:django\nLABEL docs={story.app}\n")
    return story


def build(tag, dockerfile):
    """Build an image from a Dockerfile that needs no context."""
    command = ["docker", "build", "--quiet", "--tag", tag, "-"]
    subprocess.run(command, input=dockerfile, text=True, check=True, capture_output=True)


def snippet(language, containing):
    """Return the block of the page that is for reading only and has these words in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if containing in block)
    return block


def commands_for(tool):
    """Return the commands in the column of the table for Django or Alembic."""
    rows = [re.split(r" *\| *", line) for line in re.findall(r"^\|.*\|$", PAGE, re.MULTILINE)]
    column = next(row.index(tool) for row in rows if tool in row)
    cells = [row[column] for row in rows if len(row) > column and re.match("`(python|alembic)", row[column])]
    assert len(cells) == 3
    return [cell.strip("`") for cell in cells]


def board(story):
    """Ask the server that listens on the page's port; None while it cannot be reached."""
    try:
        with http_client() as client:
            return client.get(f"http://127.0.0.1:{story.port('8000')}/")
    except httpx.TransportError:
        return None


def wait_for_board(story):
    """Wait for the page that needs the migrated table."""
    answer = wait_until(lambda: board(story), "an answer of the web container")
    assert (answer.status_code, "None yet." in answer.text) == (200, True)


def states(story):
    """Return what Compose says of each service: its state, exit status, start and end."""
    ids = story.shell("docker compose ps --all --quiet").stdout.split()
    found = json.loads(subprocess.run(["docker", "inspect", *ids], check=True, capture_output=True).stdout)
    return {each["Config"]["Labels"]["com.docker.compose.service"]: each["State"] for each in found}


def test_migrations(story, tools):
    migrate, check, sql = commands_for("Django")

    # One command
    assert f"{story.app} {migrate}\n" in story.steps[0].commands
    assert "Applying laps.0001_initial... OK" in story.run("docker run --rm")
    wait_for_board(story)
    assert check in story.steps[0].commands
    story.run("docker exec")
    assert "CREATE TABLE" in story.shell(f"docker run --rm --env SECRET_KEY=sesame {story.app} {sql}").stdout
    story.run("docker stop")

    # Compose
    compose = story.directory / "compose.yaml"
    example = ROOT / "examples" / "django" / "compose.yaml"
    assert snippet("yaml", "service_completed_successfully") in example.read_text()
    assert story.shell(compose.read_text().partition("\n")[0].removeprefix("# ")).returncode == 0
    override = OVERRIDE.format(port=story.port("8000"), tools=tools)
    (story.directory / "compose.override.yaml").write_text(override)

    story.run("docker compose up")
    wait_for_board(story)
    first = states(story)
    assert (first["migrate"]["Status"], first["migrate"]["ExitCode"]) == ("exited", 0)
    assert first["migrate"]["FinishedAt"] < first["web"]["StartedAt"]
    assert "Applying laps.0001_initial... OK" in story.shell("docker compose logs migrate").stdout
    assert "KeyError: 'SECRET_KEY'" in story.shell(f"docker compose exec -T web {check}").stdout
    assert story.shell(f"docker compose exec -T web paddock {check}").returncode == 0

    # A new release, and one whose migration fails
    new = override.replace("  web:\n", "  web:\n    environment: {RELEASE: '2'}\n")
    (story.directory / "compose.override.yaml").write_text(new)
    assert "No migrations to apply" in story.run("docker compose run --rm migrate")
    wait_for_board(story)
    second = states(story)
    assert second["migrate"]["StartedAt"] > first["migrate"]["StartedAt"]
    assert second["web"]["StartedAt"] > second["migrate"]["FinishedAt"]
    assert_a_lock_ends_the_migration(story)

    failing = new.replace("'2'", "'3'") + "  migrate:\n    command: 'false'\n"
    (story.directory / "compose.override.yaml").write_text(failing)
    assert story.shell("docker compose run --rm migrate").returncode == 1
    wait_for_board(story)
    failed = story.shell("docker compose up --detach")
    assert failed.returncode == 1
    assert """service "migrate" didn't complete successfully""" in failed.stdout
    assert states(story)["web"]["Status"] == "created"
    assert board(story) is None


def assert_a_lock_ends_the_migration(story):
    """Hold the table while a migration wants to drop it, with the option that the page's last row gives."""
    psql = "docker compose exec -T db psql --username timing --tuples-only --command"
    with subprocess.Popen(
        ["sh", "-c", f"{psql} 'BEGIN; LOCK TABLE laps_lap; SELECT pg_sleep(600)'"],
        cwd=story.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as holder:
        locks = "SELECT mode FROM pg_locks WHERE relation = 'laps_lap'::regclass"
        wait_until(lambda: "AccessExclusive" in story.shell(f'{psql} "{locks}"').stdout, "the lock")
        option = re.search(r"`(--env PGOPTIONS='.*?')`", PAGE)[1].replace("5s", "1s")
        tried = story.shell(f"docker compose run --rm {option} migrate python manage.py migrate laps zero")
        assert tried.returncode == 1
        assert "canceling statement due to lock timeout" in tried.stdout
        story.shell(f"{psql} \"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE mode = 'AccessExclusiveLock'\"")
        holder.wait(60)


def test_alembic(engine, tools, mount, finish):
    upgrade, check, sql = commands_for("Alembic")
    tag = "paddock-docs-alembic"
    build(tag, ALEMBIC.format(tools=tools, configure=snippet("python", "set_main_option")))
    try:
        outcome = finish(
            image=tag,
            command=["sh", "-euxc", f"if {check}; then exit 9; fi; {upgrade}; {check}; {sql}; ls"],
            environment={"DATABASE_URL_FILE": "/run/secrets/database_url"},
            volumes=mount("/run/secrets/database_url", "sqlite:///100%25.sqlite3"),
        )
    finally:
        engine.images.remove(tag, force=True)

    assert outcome.status == 0, outcome.err
    assert "Running upgrade  -> " in outcome.err
    assert "CREATE TABLE alembic_version" in outcome.out
    assert "100%.sqlite3" in outcome.out
