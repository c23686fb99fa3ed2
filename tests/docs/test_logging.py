"""docs/logging.md, followed."""

from events import json_events, text_events

LOGS = "docker compose logs --no-log-prefix web"


def test_page(page):
    follow = page("logging")

    follow.run("docker compose up")
    follow.run("curl")
    events = text_events(follow.run(LOGS))
    assert [event.message for event in events if event.logger == "shop"] == ["looking for an order", "no such order"]

    follow.run("LOG_FORMAT=json docker compose up")
    follow.run("curl")
    events = json_events(follow.run(LOGS))
    assert [event["order"] for event in events if event["logger"] == "shop" and "order" in event] == ["2"]

    follow.run("LOG_CONFIG=/app/logging.toml docker compose up")
    follow.run("curl")
    (event,) = json_events(follow.run(LOGS))
    assert event["order"] == "1"

    follow.run("LOG_CONFIG=/app/missing.toml")
    follow.run("docker compose down")
