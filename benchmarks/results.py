"""What was measured, as a file: the figures, and all that one has to know to read them."""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import docker

from benchmarks.servers import Failed

RESULTS = Path(__file__).parent / "results"

VERSIONS = """
import importlib.metadata, json, platform, sys
sys.path.append("/opt/paddock/lib")
found = {each.name.lower(): each.version for each in importlib.metadata.distributions()}
names = ["gunicorn", "uvicorn", "uvicorn-worker", "uvloop", "httptools", "granian", "pyuwsgi"]
names += ["fastapi", "flask", "django"]
print(json.dumps({"python": platform.python_version()} | {name: found[name] for name in names if name in found}))
"""


def versions(engine: docker.DockerClient, *images: str) -> dict[str, str]:
    """Return the versions of Python and of the servers' packages in `images`.

    Raises:
        Failed: when something that several of them have is not the same.
    """
    outputs = (engine.containers.run(image, ["-c", VERSIONS], entrypoint=["python"], remove=True) for image in images)
    return merged(map(json.loads, outputs))


def merged(found: Iterable[dict[str, str]]) -> dict[str, str]:
    """Return all versions that were found.

    Raises:
        Failed: when there are two of one package.
    """
    all_versions: dict[str, str] = {}
    for versions in found:
        for name, version in versions.items():
            if all_versions.setdefault(name, version) != version:
                raise Failed(f"{name} is {all_versions[name]} in one image, and {version} in another")
    return all_versions


def machine() -> dict[str, Any]:
    """Return what the figures depend on, and nothing that tells whose machine it is."""
    release = re.match(r"[\d.]*\d", platform.release())
    return {
        "architecture": platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": f"{platform.system()} {release[0] if release else ''}".strip(),
    }


def save(name: str, **content: Any) -> None:
    """Write `results/NAME.json`."""
    content = {"date": time.strftime("%Y-%m-%d"), "machine": machine()} | content
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def has(name: str) -> bool:
    """Tell whether `save` wrote such a file."""
    return (RESULTS / f"{name}.json").exists()


def load(name: str) -> dict[str, Any]:
    """Return what `save` wrote."""
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return content


def conditions(result: Mapping[str, Any]) -> str:
    """Return one line on where and with what `result` was measured."""
    machine, versions = result["machine"], result["versions"]
    packages = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "python")
    return (
        f"{result['date']}, {machine['cpus']} CPUs, {machine['architecture']}, {machine['kernel']}, "
        f"Python {versions['python']}, {packages}"
    )
