"""What ./dev does in Python: pages, the listing of the demo's processes, the wheel of uv."""

from __future__ import annotations

import platform

import pytest

from tools import demo, docs, uv

BLOCKS = {"speed": "fast\n", "size": "small\n"}


def test_a_block_is_made_anew():
    page = "# Title\n<!-- speed (by ./dev bench) -->\n\nslow\n\n<!-- /speed -->\nText <!-- size -->\n"
    new = "# Title\n<!-- speed (by ./dev bench) -->\n\nfast\n\n<!-- /speed -->\nText <!-- size -->\n"
    assert docs.fill(page, BLOCKS) == docs.fill(new, BLOCKS) == new


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("<!-- speed -->\n", "<!-- speed --> does not end"),
        ("<!-- speed -->\n<!-- size -->\n<!-- /size -->\n", "<!-- speed --> does not end before <!-- size -->"),
        ("<!-- speed -->\n<!-- /size -->\n", "<!-- /size --> ends nothing"),
        ("<!-- /size -->\n", "<!-- /size --> ends nothing"),
        ("<!-- colour -->\n<!-- /colour -->\n", "nothing makes <!-- colour -->"),
    ],
)
def test_marks_that_are_wrong(page, message):
    with pytest.raises(docs.PageError) as error:
        docs.fill(page, BLOCKS)
    assert str(error.value) == message


def test_processes_under_their_parents():
    listing = """PID    PPID    COMMAND
70     12      /opt/venv/bin/python3 paddock: arbiter
91     70      /opt/venv/bin/python3 paddock: worker 1
95     91      sleep 5
92     70      /opt/venv/bin/python3 paddock: worker 2
"""
    assert demo.tree(listing).splitlines() == [
        "70  /opt/venv/bin/python3 paddock: arbiter",
        "    91  /opt/venv/bin/python3 paddock: worker 1",
        "        95  sleep 5",
        "    92  /opt/venv/bin/python3 paddock: worker 2",
    ]


def link(version, tag, digest):
    name = f"uv-{version}-py3-none-{tag}.whl"
    return f'<a href="../../packages/{name}#sha256={digest}" data-requires-python="&gt;=3.8">{name}</a>'


def test_the_wheel_for_this_machine(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    page = "<br/>\n".join(
        [
            link("0.13.80", "manylinux_2_17_x86_64.manylinux2014_x86_64", "aa"),
            link("0.13.8", "manylinux_2_17_aarch64.manylinux2014_aarch64", "bb"),
            link("0.13.8", "musllinux_1_1_x86_64", "cc"),
            link("0.13.8", "manylinux_2_17_x86_64.manylinux2014_x86_64", "dd"),
        ]
    )
    name = "uv-0.13.8-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    assert uv.wheel(page, "0.13.8") == (f"../../packages/{name}", "dd")
    with pytest.raises(SystemExit, match=r"the index has no wheel of uv 0\.13\.9 for manylinux on x86_64"):
        uv.wheel(page, "0.13.9")
