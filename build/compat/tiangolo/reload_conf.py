"""What /start-reload.sh says in the words of `uvicorn --reload`, which people and their tests wait for."""


def when_ready(server):
    """Say where it serves."""
    for listener in server.LISTENERS:
        server.log.info("Uvicorn running on %s (Press CTRL+C to quit)", listener)
