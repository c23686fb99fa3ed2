"""docs/sizing.md, followed command by command, and its table and its YAML against what the image makes of them."""

import json
import os
import re

import kubernetes_validate
import pytest
import yaml

from conftest import wait_until
from paddock.settings.sizing import MIB, Resources, size
from page import ROOT

PAGE = (ROOT / "docs" / "sizing.md").read_text()

ROWS = re.findall(r"^\| ([\d.]+) \| (\d+) \| ([\d.]+) \| (\d+) (MiB|GiB) \| (\d+) \| (\w+) \|$", PAGE, re.MULTILINE)
FRAGMENTS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

needs_two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")


@needs_two_cpus
def test_page(page):
    follow = page("sizing")
    follow.run("docker run --detach")
    wait_until(lambda: "Ready" in follow.shell(f"docker logs {follow.app}").stdout, "the server")
    follow.run("docker logs")
    follow.run("docker run --rm")
    shown = follow.run("docker exec")
    assert 20 < int(shown.split()[0]) < 200


def test_the_table_has_every_size():
    assert [row[0] for row in ROWS] == ["0.25", "0.5", "1", "2", "4", "8", "16", "32", "64"]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_table(row):
    total, containers, limit, memory, unit, workers, _ = row
    limits = Resources(cpus=64, cpu_quota=float(limit), memory=int(memory) * MIB * {"MiB": 1, "GiB": 1024}[unit])

    assert int(containers) * float(limit) == float(total)
    assert size(limits, max_workers=16).workers == int(workers)


def test_only_what_was_measured_is_said_to_be():
    result = json.loads((ROOT / "benchmarks/results/sizing.json").read_text())

    assert {float(row[0]) for row in ROWS if row[-1] == "measured"} == {row["cpus"] for row in result["cpus"]}


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_yaml_is_part_of_a_container(fragment):
    container = {"name": "web", "image": "shop:1"} | yaml.safe_load(fragment)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop"}, "spec": {"containers": [container]}}

    kubernetes_validate.validate(pod, "1.37", strict=True)
