"""The hooks by themselves; that Gunicorn calls them is seen when the container runs."""

import logging
import runpy
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

CONF: dict[str, Any] = runpy.run_path("gunicorn.conf.py")


@pytest.fixture
def server() -> SimpleNamespace:
    server = SimpleNamespace(WORKERS={}, log=logging.getLogger("server"))
    CONF["on_starting"](server)
    return server


@pytest.fixture
def worker(server: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.setenv("WORKER_NUMBER", "")
    worker = SimpleNamespace(cfg=SimpleNamespace(worker_tmp_dir=tmp_path), log=logging.getLogger("worker"))
    CONF["pre_fork"](server, worker)
    CONF["post_fork"](server, worker)
    return worker


def test_a_worker_gets_the_lowest_number_that_is_free(server: SimpleNamespace) -> None:
    server.WORKERS = {pid: SimpleNamespace(number=number) for pid, number in {40: 1, 41: 2, 43: 4}.items()}
    worker = SimpleNamespace()
    CONF["pre_fork"](server, worker)

    assert worker.number == 3


def test_an_account_goes_from_the_worker_to_the_server(server: SimpleNamespace, worker: SimpleNamespace) -> None:
    for status in (200, 404, 200):
        request = Mock(method="GET", path="/")
        CONF["pre_request"](worker, request)
        CONF["post_request"](worker, request, {}, SimpleNamespace(status_code=status))
    CONF["worker_exit"](server, worker)
    CONF["child_exit"](server, worker)
    CONF["child_exit"](server, worker)

    assert server.answers == Counter({"200": 2, "404": 1})


def test_what_is_in_flight_is_said(worker: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    CONF["pre_request"](worker, Mock(method="GET", path="/pi/9"))
    CONF["worker_abort"](worker)

    assert "Killed while at: GET /pi/9 for 0.0 s" in caplog.text
