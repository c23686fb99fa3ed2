import os

from starlette.testclient import TestClient

from main import app


def test_a_stop():
    with TestClient(app) as client:
        assert client.post("/stops/ada").json() == {"driver": "ada", "pid": os.getpid()}
        assert client.get("/health").json() == {"crew": 3}
