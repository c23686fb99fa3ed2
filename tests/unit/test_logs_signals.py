"""A signal at the end of an event loop: Python would print where it cannot be written any more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "build"

SIGNALLED_WHILE_CLOSING = """
import asyncio, os, signal, sys
from asyncio.selector_events import BaseSelectorEventLoop
from paddock.workers.front.worker import close

close_pipe = BaseSelectorEventLoop._close_self_pipe

def closing(loop):
    close_pipe(loop)
    for number in (signal.SIGUSR1, signal.SIGTERM):
        os.kill(os.getpid(), number)

BaseSelectorEventLoop._close_self_pipe = closing
signal.signal(signal.SIGUSR1, lambda *_: None)

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)

loop = asyncio.SelectorEventLoop()
loop.run_until_complete(main())
eval(sys.argv[1])(loop)
"""


@pytest.mark.parametrize(
    ("how", "said"), [("close", False), ("lambda loop: loop.close()", True)], ids=["ours", "asyncio"]
)
def test_a_signal_that_comes_while_a_loop_is_closed(how: str, said: bool) -> None:
    """The second is to show that the signal comes when it hurts."""
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED_WHILE_CLOSING, how],
        env={**os.environ, "PYTHONPATH": str(BUILD)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ("signal wakeup fd" in done.stderr) is said
    assert said or (done.returncode, done.stderr) == (0, "")
