"""Start hooks in /docker-entrypoint.d: sorted, run or sourced, only before the server, and they can stop it."""

import pytest

from conftest import wait_until
from events import said


@pytest.fixture
def hooks(mount):
    """Volumes of start hooks, by name: `hooks({"10-first.sh": "…"})`; executable unless `mode` says otherwise."""

    def volumes(texts, mode=0o755):
        mounts = [mount(f"/docker-entrypoint.d/{name}", text, mode) for name, text in texts.items()]
        return {key: value for volume in mounts for key, value in volume.items()}

    return volumes


@pytest.mark.smoke
def test_hooks_run_in_order_before_the_server(start, hooks):
    texts = {
        "20-second.sh": "#!/bin/sh\necho second $FIRST\n",
        "10-first.envsh": "echo first\nFIRST=1\nexport FIRST\n",
        "30-third.sh": "#!/usr/bin/env python\nprint('third, in Python')\n",
    }
    container = start("observed.py", environment={"WORKERS": "1"}, volumes=hooks(texts)).wait_ready()

    assert container.logs(stderr=False).splitlines()[:4] == [
        "first",
        "second 1",
        "third, in Python",
        "lifespan.startup",
    ]


def test_exports_reach_the_application_and_the_settings(start, hooks):
    texts = {"10-settings.envsh": "export WORKERS=3 COLOUR='red and blue' UNSET=\nunset GONE\nNOT_EXPORTED=1\n"}
    environment = {"WORKERS": "1", "GONE": "1"}
    container = start("observed.py", environment=environment, volumes=hooks(texts)).wait_ready()

    seen = container.get().json()["environ"]
    assert (seen["COLOUR"], seen["UNSET"]) == ("red and blue", "")
    assert not {"GONE", "NOT_EXPORTED"} & set(seen)
    wait_until(lambda: container.workers() == 3, "three workers")


def test_an_export_that_is_no_valid_setting_is_refused(attempt, hooks):
    outcome = attempt("observed.py", volumes=hooks({"10-settings.envsh": "export WORKERS=four\n"}))

    assert outcome.status == 78
    (message,) = said(outcome.err)
    assert message.startswith("WORKERS='four': expected auto, or a whole number from 1 to 1024")


@pytest.mark.parametrize("command", [["check"], ["config"], ["settings"], ["health"], ["env"], ["python", "-c", ""]])
def test_hooks_run_only_for_serve(attempt, hooks, command):
    outcome = attempt("observed.py", command, volumes=hooks({"10-hook.sh": "#!/bin/sh\necho the hook ran\n"}))

    assert outcome.status == 0
    assert "the hook ran" not in outcome.out + outcome.err


@pytest.mark.parametrize("command", [[], ["serve"], ["main:app"], ["--workers", "1"]])
def test_hooks_run_for_every_way_to_serve(start, hooks, command):
    container = start("observed.py", command, volumes=hooks({"10-hook.sh": "#!/bin/sh\necho the hook ran\n"}))

    assert container.wait_ready().logs().count("the hook ran") == 1


def test_what_is_no_hook_is_skipped_with_a_message(start, hooks):
    volumes = hooks({"10-plain.sh": "echo ran\n", "20-plain.envsh": "echo ran\n"}, 0o644) | hooks({"README": "ran\n"})
    container = start("observed.py", volumes=volumes).wait_ready()

    log = container.logs()
    assert "10-plain.sh is skipped: it is not executable" in log
    assert "20-plain.envsh is skipped: it is not executable" in log
    assert "README is skipped: a start hook is named *.sh or *.envsh" in log
    assert "ran\n" not in container.logs(stderr=False)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("10-fails.sh", "#!/bin/sh\nexit 3\n", "failed with exit status 3"),
        ("10-fails.envsh", "false\n", "failed with exit status 1"),
        ("10-fails.envsh", "exit 4\n", "failed with exit status 4"),
        ("10-fails.sh", "#!/bin/sh\nkill -KILL $$\n", "was killed by SIGKILL"),
        ("10-fails.sh", "#!/nope/sh\n", "/nope/sh"),
        ("10-fails.sh", "#!/bin/sh\r\necho\r\n", "CRLF"),
    ],
)
def test_a_failing_hook_stops_the_start(attempt, hooks, name, text, reason):
    outcome = attempt("observed.py", volumes=hooks({name: text, "20-later.sh": "#!/bin/sh\necho later\n"}))

    assert outcome.status == 1
    assert f"/docker-entrypoint.d/{name}" in outcome.err
    assert reason in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert outcome.out == ""


def test_a_wrong_configuration_is_said_before_any_hook_runs(attempt, hooks):
    outcome = attempt(
        "observed.py", environment={"WORKERS": "four"}, volumes=hooks({"10-hook.sh": "#!/bin/sh\necho ran\n"})
    )

    assert outcome.status == 78
    assert outcome.out == ""


def test_sigterm_ends_a_hook_and_the_container(start, hooks):
    container = start("observed.py", volumes=hooks({"10-waits.sh": "#!/bin/sh\necho waiting\nexec sleep 60\n"}))
    container.wait_for_log("waiting")

    assert container.stop(seconds=10) == 143
