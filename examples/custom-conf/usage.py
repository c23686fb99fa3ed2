"""What the hooks of gunicorn.conf.py keep account of."""

import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any


class Usage:
    """The answers of one worker, by status, and the requests that it is at; its threads share it."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.begun: dict[Any, float] = {}
        self.lock = threading.Lock()

    def begin(self, request: Any) -> None:
        """Note that a request is being answered."""
        self.begun[request] = time.monotonic()

    def end(self, request: Any, status: str) -> float:
        """Note the answer to a request, and return how many seconds it took."""
        with self.lock:
            self.answers[status] += 1
        return time.monotonic() - self.begun.pop(request)

    def in_flight(self) -> str:
        """Return the requests that are being answered, and for how long."""
        now = time.monotonic()
        return ", ".join(f"{req.method} {req.path} for {now - since:.1f} s" for req, since in list(self.begun.items()))

    def hand_over(self, file: Path) -> None:
        """Leave the account for whoever takes it over."""
        file.write_text(json.dumps(self.answers))


def take_over(file: Path) -> Counter[str]:
    """Return the account that a worker has left, and remove it; a worker that was killed has left none."""
    if not file.exists():
        return Counter()
    answers: Counter[str] = Counter(json.loads(file.read_text()))
    file.unlink()
    return answers
