"""What `./dev publish` has pushed is the image: its tests pass on what a registry gives back."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from publish.conftest import BUILDS, PYTHON, ROOT

pytestmark = BUILDS


def test_images_arrive_and_pass_their_tests(registry, clone, engine):
    clone.run("./dev", "publish", "--registry", registry.address)
    published = registry.tags()

    pulled = f"pulled-{os.getpid()}"
    images = []
    try:
        for tag in (PYTHON, f"{PYTHON}-slim"):
            reference = f"{registry.address}/paddock@{published[tag]}"
            images += [reference, f"{pulled}:{tag}"]
            engine.images.pull(reference).tag(pulled, tag)
        tests = ["-m", "smoke", "tests/image/test_image.py", "tests/image/test_serving.py"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--config-file", "tests/pyproject.toml", "-q", *tests],
            cwd=ROOT,
            env={**os.environ, "PADDOCK_IMAGE": pulled},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert re.search(r"\d\d passed", done.stdout)
    finally:
        for image in images:
            engine.images.remove(image, force=True)
