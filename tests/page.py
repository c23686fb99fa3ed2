"""A page of docs/ as a story: its files are written to a directory, its commands are run there, in order.

A fenced block whose language is followed by a path (```` ```yaml compose.yaml ````) is a file. A `sh` block is run as
it stands. In a `console` block the lines after `$ ` are run, and what is shown below them must be what they print, `…`
standing for anything. Other blocks are for reading only.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from conftest import wait_until

ROOT = Path(__file__).parents[1]

BLOCK = re.compile(r"^```(?P<language>\w+)(?: (?P<path>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PUBLISHED = re.compile(r"(?:\b127\.0\.0\.1:)?\b(\d{2,5}):(\d{2,5})\b")

ENVIRONMENT = {**os.environ, "COMPOSE_PROGRESS": "plain", "no_proxy": "127.0.0.1"}

PATIENCE = 600
"""Seconds that a block of commands may take on a busy machine."""


@dataclass(frozen=True)
class Step:
    """Commands of a page, and the output that it shows for them, if it shows any."""

    commands: str
    shown: str = ""


class Terminal:
    """Commands that run in a terminal, and are typed into."""

    def __init__(self, commands: str, directory: Path) -> None:
        self.shown = ""
        self.keys, screen = pty.openpty()
        # The terminal's own, so that it sends them the signal of Ctrl-C.
        arguments = ["setsid", "--ctty", "sh", "-euc", commands]
        environment = ENVIRONMENT | {"COMPOSE_MENU": "false"}
        self.process = subprocess.Popen(
            arguments, cwd=directory, env=environment, stdin=screen, stdout=screen, stderr=screen
        )
        os.close(screen)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        with suppress(OSError):
            while part := os.read(self.keys, 65536):
                self.shown += part.decode(errors="replace")

    def type(self, text: str) -> None:
        """Type `text`; `\x03` is Ctrl-C."""
        os.write(self.keys, text.encode())

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the terminal shows what matches `pattern`, and forget everything up to there."""
        try:
            match: re.Match[str] = wait_until(lambda: re.search(pattern, self.shown, re.DOTALL), f"{pattern!r}")
        except BaseException:
            print(self.shown)
            raise
        self.shown = self.shown[match.end() :]
        return match

    def wait_end(self) -> int:
        """Wait until the commands have ended; return their exit status."""
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """End the commands, unless they have ended, and wait for that."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self.wait_end()
        self.reader.join()
        os.close(self.keys)


class Page:
    """A page that is being followed in `directory`, a copy of `example` if one is named.

    So that pages do not get in each other's way, published ports become free ones on 127.0.0.1, `my-app` becomes a name
    of its own, and the image is the one under test: in it, downloads work behind this machine's proxy. So it is in the
    example's own Dockerfile and compose.yaml.
    """

    def __init__(self, name: str, directory: Path, example: str = "") -> None:
        self.directory = directory
        self.text = (ROOT / "docs" / f"{name}.md").read_text()
        self.app = f"paddock-docs-{name}"
        self.ports: dict[str, str] = {}
        self.terminals: list[Terminal] = []
        if example:
            shutil.copytree(ROOT / "examples" / example, directory, dirs_exist_ok=True)
            for file in filter(Path.exists, (directory / "Dockerfile", directory / "compose.yaml")):
                file.write_text(self._adapt(file.read_text()))
        self.steps = list(self._read())

    def _read(self) -> list[Step]:
        steps = []
        for block in BLOCK.finditer(self.text):
            text = self._adapt(block["text"])
            if block["path"]:
                file = self.directory / block["path"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            elif block["language"] == "sh":
                steps.append(Step(text))
            elif block["language"] == "console":
                for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                    command, _, shown = part.partition("\n")
                    steps.append(Step(command, shown))
        return steps

    def _adapt(self, text: str) -> str:
        text = PUBLISHED.sub(lambda match: f"127.0.0.1:{self.port(match[1])}:{match[2]}", text)
        text = re.sub(r"\blocalhost:(\d+)", lambda match: f"127.0.0.1:{self.port(match[1])}", text)
        image = os.environ.get("PADDOCK_IMAGE", "paddock")
        text = re.sub(r"\bpaddock:(3\.\d+)(?!-)\b", f"{image}-test:trusting", text)
        text = re.sub(r"\bpaddock:(3\.\d+-slim)\b", rf"{image}:\1", text)
        return text.replace("my-app", self.app)

    def port(self, published: str) -> str:
        """Return the port of 127.0.0.1 that stands in for a port that the page publishes."""
        if published not in self.ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.ports[published] = str(probe.getsockname()[1])
        return self.ports[published]

    def run(self, start: str) -> str:
        """Run the next step, which begins with `start`, and return what it prints.

        Raises:
            AssertionError: when it begins otherwise, fails, or prints something else than the page shows.
        """
        step = self.next_step(start)
        done = self.shell(step.commands)
        assert done.returncode == 0, f"{step.commands}\nended with {done.returncode}:\n{done.stdout}"
        if step.shown:
            pattern = ".*".join(re.escape(part) for part in step.shown.strip().split("…"))
            assert re.search(pattern, done.stdout, re.DOTALL), f"{step.commands}\nprinted:\n{done.stdout}"
        return done.stdout

    def start(self, start: str) -> Terminal:
        """Start the next step, which begins with `start`, in a terminal of its own, and go on while it runs."""
        self.terminals.append(Terminal(self.next_step(start).commands, self.directory))
        return self.terminals[-1]

    def next_step(self, start: str) -> Step:
        """Return the next step, which has to begin with `start`."""
        step = self.steps.pop(0)
        assert step.commands.startswith(start), f"the page goes on with:\n{step.commands}"
        return step

    def shell(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Run commands where the page's are run; stderr is part of their output."""
        return subprocess.run(
            ["sh", "-euc", commands],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
            env=ENVIRONMENT,
        )

    def clean(self) -> None:
        """Remove the containers, volumes and images that the page's commands made."""
        for terminal in self.terminals:
            terminal.close()
        for compose in {file.parent for file in self.directory.rglob("*compose*.y*ml")}:
            self.shell(f"cd '{compose}' && docker compose down --rmi local --volumes --remove-orphans")
        self.shell(f"docker ps --all --quiet --filter name={self.app} | xargs -r docker rm --force --volumes")
        self.shell(f"docker ps --all --quiet --filter ancestor={self.app} | xargs -r docker rm --force --volumes")
        self.shell(f"docker images --quiet --filter reference='{self.app}*' | sort -u | xargs -r docker rmi --force")
        self.shell(f"docker volume ls --quiet --filter name={self.app} | xargs -r docker volume rm --force")
