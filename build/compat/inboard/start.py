"""Starts this server by the variables of inboard: the script before, then the server with or without a reload.

https://inboard.bws.bio/environment
"""

import json
import os
import signal
import subprocess
import sys

SERVER = "/opt/paddock/bin/paddock"
CONF = "/opt/paddock/compat/inboard/gunicorn_conf.py"
OURS = ("text", "json")
"""Formats of this image's own, which LOG_FORMAT may name as well."""


def main() -> None:
    """Become the server."""
    environ = dict(os.environ)
    run_before(environ.pop("PRE_START_PATH", ""))
    module = environ.get("APP_MODULE") or environ.pop("UVICORN_APP", "")
    if not module:
        sys.exit("Error when setting app module: ValueError Please set the APP_MODULE environment variable.")
    environ["APP_MODULE"] = module
    if environ.get("LOG_FORMAT", "simple") not in OURS:
        environ["IGNORE_ENV"] = ",".join(filter(None, [environ.get("IGNORE_ENV"), "LOG_FORMAT"]))
    conf = environ.pop("GUNICORN_CONF", "") or CONF
    if conf == "python:inboard.gunicorn_conf":
        conf = CONF
    if conf == CONF:
        # What that file makes of HOST and PORT is no contradiction of them.
        environ["BIND"] = environ.get("BIND") or f"{environ.get('HOST', '0.0.0.0')}:{environ.get('PORT', '80')}"  # noqa: S104
    manager = environ.pop("PROCESS_MANAGER", "gunicorn")
    if manager == "uvicorn":
        conf = CONF
        as_uvicorn(environ)
    elif manager != "gunicorn":
        sys.exit("Error when starting server: NameError Process manager needs to be either uvicorn or gunicorn.")
    kind = environ.pop("WORKER_CLASS", "uvicorn.workers.UvicornWorker")
    os.execve(SERVER, ["paddock", "serve", "-k", kind, "-c", conf, module], environ)  # noqa: S606 (this is it)


def run_before(path: str) -> None:
    """Run the script that comes before the server; end with its status when it fails."""
    if not os.path.isfile(path):
        return
    script = subprocess.Popen(["python" if path.endswith(".py") else "sh", path])  # noqa: S603 (the user's own)
    # As PID 1 this process would never hear of a stop.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if status := script.wait():
        sys.exit(status)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def as_uvicorn(environ: dict[str, str]) -> None:
    """Set what `uvicorn.run` is called with: one worker, a reload if there is to be one, and the options in JSON."""
    environ["WEB_CONCURRENCY"] = "1"
    environ.pop("MAX_WORKERS", None)
    if environ.pop("WITH_RELOAD", "").lower() == "true":
        environ["RELOAD"] = "true"
    for name, value in json.loads(environ.pop("UVICORN_CONFIG_OPTIONS", "") or "{}").items():
        text = json.dumps(value) if isinstance(value, bool | int | float) else str(value)
        own = {"reload": "RELOAD", "root_path": "ROOT_PATH", "log_level": "LOG_LEVEL"}
        environ[own.get(name, f"UVICORN_{name.upper()}")] = text


if __name__ == "__main__":
    main()
