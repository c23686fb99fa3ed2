"""Start the FastAPI example with four workers, and show it at work: `./dev demo`.

Needs: a Docker engine that answers, and the image `paddock-example:fastapi-uv`. Any Python 3 will do.
Leaves: the container `paddock-demo`, which `--stop` ends and removes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from urllib.request import ProxyHandler, build_opener

NAME = "paddock-demo"
IMAGE = "paddock-example:fastapi-uv"


def say(text: str) -> None:
    """Say what comes next."""
    print(f"\033[1m==>\033[0m {text}", file=sys.stderr, flush=True)


def docker(*arguments: str) -> str:
    """Run docker, show its messages, and return its output."""
    return subprocess.run(["docker", *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def shown(*arguments: str) -> None:
    """Run docker as a reader would, and show how."""
    print("$ docker", *arguments, file=sys.stderr, flush=True)
    subprocess.run(["docker", *arguments], check=True)


def tree(listing: str) -> str:
    """Return the processes of a listing (a heading, then PID, parent and command), each under its parent."""
    rows = [line.split(None, 2) for line in listing.splitlines()[1:]]
    parents = {pid: parent for pid, parent, _ in rows}

    def depth(pid: str) -> int:
        return 1 + depth(parents[pid]) if parents[pid] in parents else 0

    return "\n".join(f"{'    ' * depth(pid)}{pid}  {command}" for pid, _, command in rows)


def wait_healthy() -> None:
    """Wait until Docker calls it healthy, or end with its log."""
    while (state := docker("inspect", "--format", "{{.State.Status}} {{.State.Health.Status}}", NAME).strip()) != (
        "running healthy"
    ):
        if state != "running starting":
            subprocess.run(["docker", "logs", NAME], check=True)
            sys.exit(f"dev: the demo is {state}")
        time.sleep(0.2)


def request(address: str) -> str:
    """Return the answer to a GET request as text: status, headers and body."""
    # A proxy in the environment is not meant for this address.
    with build_opener(ProxyHandler({})).open(address, timeout=10) as answer:
        return f"HTTP {answer.status} {answer.reason}\n{answer.headers}{answer.read().decode()}"


def start() -> None:
    """Start it in place of one that runs already, and show an answer, its processes and its log."""
    say("starting it with four workers")
    subprocess.run(["docker", "rm", "--force", NAME], capture_output=True, check=False)
    settings = ["--env", "WORKERS=4", "--env", "API_KEY=demo"]
    shown("run", "--detach", "--name", NAME, "--publish", "127.0.0.1::8000", *settings, IMAGE)
    say("waiting until Docker calls it healthy")
    wait_healthy()
    address = f"http://{docker('port', NAME, '8000/tcp').strip()}/"
    say(f"one request: GET {address}")
    print(request(address), flush=True)
    say("its processes: the arbiter, and four workers")
    print(tree(docker("top", NAME, "-e", "-o", "pid,ppid,args")), flush=True)
    say("its log")
    shown("logs", NAME)
    say(f"it is still running at {address}; stop it with: ./dev demo --stop")


def stop() -> None:
    """End it, and remove what it leaves."""
    say(f"stopping {NAME}")
    docker("stop", NAME)
    docker("rm", NAME)


if __name__ == "__main__":
    try:
        (stop if sys.argv[1:2] == ["--stop"] else start)()
    except subprocess.CalledProcessError as error:
        # Docker has said why.
        sys.exit(error.returncode)
    except KeyboardInterrupt:
        sys.exit(130)
