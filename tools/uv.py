"""Install uv, of exactly one version: `python3 tools/uv.py VERSION FOLDER`.

Needs: an index of Python packages, pip's or the one that `PIP_INDEX_URL` names, else PyPI. Any Python 3 will do.
Leaves: FOLDER/bin/uv, of a wheel that has the hash which the index says it has.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import urljoin
from urllib.request import urlopen


def by_pip(version: str, folder: str) -> None:
    """Let pip, which knows this machine's index, do it; leave its status where it fails."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    how = ["--root-user-action", "ignore", "--no-deps", "--only-binary", ":all:", "--target", folder]
    status = subprocess.run([*pip, *how, f"uv=={version}"], check=False).returncode
    if status:
        sys.exit(status)


def by_hand(version: str, folder: str) -> None:
    """Take the wheel from the index: Debian's python3 comes without pip."""
    page = (os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple").rstrip("/") + "/uv/"
    with urlopen(page) as answer:
        address, digest = wheel(answer.read().decode(), version)
    with urlopen(urljoin(page, address)) as answer:
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != digest:
        sys.exit(f"{address} is not what the index says it is")
    binary = Path(folder, "bin", "uv")
    binary.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        binary.write_bytes(archive.read(f"uv-{version}.data/scripts/uv"))
    binary.chmod(0o755)


def wheel(page: str, version: str) -> tuple[str, str]:
    """Return address and SHA-256 of this machine's wheel, of an index's page on uv."""
    libc = "manylinux" if platform.libc_ver()[0] else "musllinux"
    name = rf"uv-{re.escape(version)}-[^\"]*{libc}[^\"]*_{platform.machine()}[^\"]*\.whl"
    found = re.search(rf'href="([^"]*/{name})#sha256=(\w+)"', page)
    if not found:
        sys.exit(f"the index has no wheel of uv {version} for {libc} on {platform.machine()}")
    return found[1], found[2]


if __name__ == "__main__":
    (by_pip if importlib.util.find_spec("pip") else by_hand)(*sys.argv[1:])
