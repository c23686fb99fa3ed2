"""REQUIRED_ENV and REQUIRED_FILES: what is missing is said at start, all at once."""

import pytest

from events import said


def refused(outcome):
    assert outcome.status == 78, outcome
    assert outcome.out == ""
    return said(outcome.err)


def test_required_variables(attempt):
    environment = {"REQUIRED_ENV": "DATABASE_URL, EMPTY,BLANK,SET", "EMPTY": "", "BLANK": "  ", "SET": "1"}

    assert refused(attempt("observed.py", environment=environment)) == [
        "DATABASE_URL: is not set, and REQUIRED_ENV names it",
        "EMPTY: is empty, and REQUIRED_ENV names it",
        "BLANK: is empty, and REQUIRED_ENV names it",
    ]


def test_required_files(attempt, mount, tmp_path):
    # What Docker makes of a bind mount whose source is missing.
    (tmp_path / "missing").mkdir()
    volumes = (
        mount("/config/empty.toml", "")
        | mount("/config/secret.toml", "key = 1\n", 0o600)
        | mount("/config/good.toml", "key = 1\n")
        | {str(tmp_path / "missing"): {"bind": "/config/directory.toml"}}
    )
    names = ("/config/missing.toml", *(f"/config/{name}.toml" for name in ("empty", "secret", "directory", "good")))

    errors = refused(attempt("observed.py", environment={"REQUIRED_FILES": ", ".join(names)}, volumes=volumes))
    assert [error.partition(":")[0] for error in errors] == list(names[:-1])
    for error, reason in zip(errors, ("does not exist", "is empty", "cannot be read", "is a directory"), strict=True):
        assert reason in error
        assert error.endswith("REQUIRED_FILES names it")
    assert "bind mount" in errors[3]


def test_what_is_required_and_other_errors_are_said_at_once(attempt):
    environment = {"REQUIRED_ENV": "DATABASE_URL", "REQUIRED_FILES": "/nope", "WORKERS": "four"}

    names = {error.split(":")[0].split("=")[0] for error in refused(attempt(environment=environment))}
    assert names == {"DATABASE_URL", "/nope", "WORKERS"}


@pytest.mark.smoke
def test_a_start_with_all_that_is_required(start, mount):
    environment = {
        "REQUIRED_ENV": "DATABASE_URL,DB_PASSWORD",
        "REQUIRED_FILES": "/config/app.toml",
        "DATABASE_URL": "postgres://db",
        "SECRETS_ENV": "DB_PASSWORD",
        "DB_PASSWORD_FILE": "/run/secrets/db",
    }
    volumes = mount("/config/app.toml", "key = 1\n") | mount("/run/secrets/db", "hunter2\n")

    assert start("observed.py", environment=environment, volumes=volumes).wait_ready().get().status_code == 200


@pytest.mark.parametrize("command", [["check"], ["env"]])
def test_only_what_serves_or_checks_requires(attempt, command):
    outcome = attempt("observed.py", command, environment={"REQUIRED_ENV": "DATABASE_URL"})

    assert outcome.status == (78 if command == ["check"] else 0)
