"""The package uses of others' packages what is documented, and what the list has: tests/unit/upstream.toml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from upstream import Entry, Listed, Uses, changes, unlisted, unprinted, unused

# Most of them ask for all that the package uses, which each process of xdist would look for anew.
pytestmark = pytest.mark.xdist_group("upstream")

TEXT = (Path(__file__).parent / "upstream.toml").read_text()


@pytest.fixture
def listed() -> Listed:
    return Listed(TEXT)


@pytest.fixture(scope="module")
def uses() -> Uses:
    listed = Listed(TEXT)
    return Uses(listed.named, listed.mixed)


def test_upstream_has_what_the_list_says(listed: Listed, uses: Uses) -> None:
    assert not (found := changes(listed, uses)), "\n" + "\n".join(found)


def test_all_that_is_used_is_listed(listed: Listed, uses: Uses) -> None:
    assert not (found := unlisted(listed, uses)), "\n" + "\n".join(found)


def test_all_that_is_listed_is_used(listed: Listed, uses: Uses) -> None:
    assert not (found := unused(listed, uses)), "\n" + "\n".join(found)


def test_what_is_replaced_has_a_hash(listed: Listed, uses: Uses) -> None:
    assert not (found := unprinted(listed, uses)), "\n" + "\n".join(found)


# That the checks see what they are for: what they say beyond what they say of the list as it is


def new(check: Callable[[Listed, Uses], list[str]], changed: Listed, uses: Uses) -> list[str]:
    before = check(Listed(TEXT), uses)
    return [problem for problem in check(changed, uses) if problem not in before]


STOP = "gunicorn.arbiter.Arbiter.stop"


def test_a_name_that_has_gone(listed: Listed, uses: Uses) -> None:
    listed.entries["gunicorn.arbiter.Arbiter.handle_usr9"] = Entry("(self)")
    listed.entries["gunicorn.arbiter.Listener.reap_workers"] = Entry("(self)")
    listed.copies["paddock.workers.base.guarding"] = ("gunicorn.arbiter.Arbiter.spawn", "0")
    listed.private |= {"_run_exitfuncs": "signal", "_gunicorn": "gunicorn.util", "_nest_patched": "not_installed"}
    listed.documented["gunicorn.arbiter.Arbiter.reload_all"] = "https://docs.gunicorn.org"
    first, second, third, documented, *private = new(changes, listed, uses)
    assert "Arbiter.handle_usr9 has gone" in first
    assert "Listener.reap_workers has gone" in second
    assert "paddock.arbiter.arbiter.Arbiter.reap_workers" in second
    assert "Arbiter.spawn has gone, which paddock.workers.base.guarding was written from" in third
    assert "Arbiter.reload_all has gone, although it is documented" in documented
    assert [problem.partition(" any more")[0] for problem in private] == [
        "gunicorn.util has no _gunicorn",
        "signal has no _run_exitfuncs",
    ]


def test_another_signature(listed: Listed, uses: Uses) -> None:
    listed.entries[STOP] = Entry("(self)", listed.entries[STOP].fingerprint)
    (found,) = new(changes, listed, uses)
    assert "was (self) and is (self, graceful=True)" in found
    assert "paddock.arbiter.arbiter.Arbiter.stop" in found


def test_another_body(listed: Listed, uses: Uses) -> None:
    listed.entries[STOP] = Entry(listed.entries[STOP].signature, "0")
    name, _ = listed.copies["paddock.workers.base.guarding"]
    listed.copies["paddock.workers.base.guarding"] = (name, "0")
    first, second = new(changes, listed, uses)
    assert f"{STOP} has another body, and ours was written from the old one: paddock.arbiter" in first
    assert Listed(TEXT).entries[STOP].fingerprint in first
    assert "spawn_worker has another body, and ours was written from the old one: paddock.workers.base" in second


def test_a_name_that_is_not_listed(listed: Listed, uses: Uses) -> None:
    del listed.entries[STOP], listed.entries["gunicorn.util.parse_address"], listed.private["_gunicorn"]
    override, imported, private = new(unlisted, listed, uses)
    assert STOP in override
    assert "paddock.arbiter.arbiter.Arbiter.stop" in override
    assert "parse_address" in imported
    assert "_gunicorn" in private


def test_a_name_that_nothing_uses(listed: Listed, uses: Uses) -> None:
    listed.entries["gunicorn.arbiter.Arbiter.wakeup"] = Entry("(self)")
    listed.private["_nobodys"] = "nobody"
    listed.named = {**listed.named, "nobody": []}
    listed.documented["gunicorn.arbiter.Arbiter.reexec"] = "https://docs.gunicorn.org"
    listed.copies["paddock.workers.base.nobody"] = listed.copies["paddock.workers.base.guarding"]
    assert [problem.partition(":")[0] for problem in new(unused, listed, uses)] == [
        "gunicorn.arbiter.Arbiter.wakeup",
        "_nobodys",
        "nobody",
        "gunicorn.arbiter.Arbiter.reexec",
        "paddock.workers.base.nobody",
    ]


def test_a_replacement_without_a_hash(listed: Listed, uses: Uses) -> None:
    listed.entries[STOP] = Entry(listed.entries[STOP].signature)
    (found,) = new(unprinted, listed, uses)
    assert f"{STOP} is replaced by paddock.arbiter.arbiter.Arbiter.stop" in found
