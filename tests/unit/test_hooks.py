from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from paddock.errors import StartError
from paddock.start.hooks import run_start_hooks

ENVIRON = {"PATH": os.environ["PATH"]}


class Hooks:
    """A directory of hooks, what they reported, and how they are run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.reports: list[str] = []

    def add(self, name: str, text: str, mode: int = 0o755) -> Path:
        hook = self.directory / name
        hook.write_bytes(textwrap.dedent(text).encode())
        hook.chmod(mode)
        return hook

    def run(self, **environ: str) -> dict[str, str]:
        return run_start_hooks(self.directory, ENVIRON | environ, self.reports.append)


@pytest.fixture
def hooks(tmp_path: Path) -> Hooks:
    directory = tmp_path / "hooks"
    directory.mkdir()
    return Hooks(directory)


def test_no_directory_is_no_hooks(tmp_path: Path) -> None:
    reports: list[str] = []
    assert run_start_hooks(tmp_path / "missing", {"A": "1"}, reports.append) == {"A": "1"}
    assert reports == []


def test_a_file_for_a_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"file cannot be read: Not a directory"):
        run_start_hooks(tmp_path / "file", {}, print)


def test_hooks_run_in_order_and_see_earlier_exports(hooks: Hooks, tmp_path: Path) -> None:
    log = tmp_path / "log"
    hooks.add("20-second.sh", '#!/bin/sh\necho "second $A" >>"$LOG"\n')
    hooks.add("10-first.envsh", 'echo "first" >>"$LOG"\nexport A=from-first\n')
    hooks.add("30-third.envsh", 'echo "third $A" >>"$LOG"\nexport A="$A-and-third"\n')
    assert hooks.run(LOG=str(log)) == ENVIRON | {"LOG": str(log), "A": "from-first-and-third"}
    assert log.read_text() == "first\nsecond from-first\nthird from-first\n"
    assert hooks.reports == []


def test_a_program_cannot_change_the_environment(hooks: Hooks) -> None:
    hooks.add("a.sh", "#!/bin/sh\nexport A=1\n")
    assert hooks.run() == ENVIRON


def test_the_shebang_counts(hooks: Hooks, tmp_path: Path) -> None:
    hooks.add("a.sh", f"#!{sys.executable}\nimport pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n")
    hooks.run()
    assert (tmp_path / "ran").exists()


def test_what_is_skipped_is_said(hooks: Hooks) -> None:
    hooks.add("a.sh", "#!/bin/sh\nexit 1\n", mode=0o644)
    hooks.add("b.envsh", "exit 1\n", mode=0o644)
    hooks.add("c.sql", "drop table users\n")
    (hooks.directory / "d.sh").mkdir()
    (hooks.directory / "e.sh").symlink_to("nowhere")
    hooks.add(".hidden.sh", "#!/bin/sh\nexit 1\n")
    (hooks.directory / "..data").mkdir()
    assert hooks.run() == ENVIRON
    assert hooks.reports == [
        f"{hooks.directory}/a.sh is skipped: it is not executable (chmod +x mends that)",
        f"{hooks.directory}/b.envsh is skipped: it is not executable (chmod +x mends that)",
        f"{hooks.directory}/c.sql is skipped: a start hook is named *.sh or *.envsh",
        f"{hooks.directory}/d.sh is skipped: it is not a file",
        f"{hooks.directory}/e.sh is skipped: it is not a file",
    ]


def test_links_as_kubernetes_makes_them_run(hooks: Hooks, tmp_path: Path) -> None:
    target = tmp_path / "a.envsh"
    target.write_text("export A=1\n")
    target.chmod(0o755)
    (hooks.directory / "a.envsh").symlink_to(target)
    assert hooks.run()["A"] == "1"


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("export A='one\ntwo\n\nthree\n'", "A", "one\ntwo\n\nthree\n"),
        ("export A=a=b=c", "A", "a=b=c"),
        ("export A=", "A", ""),
        ("export A='späße \"quoted\" $HOME `x`'", "A", 'späße "quoted" $HOME `x`'),
        ("export A=1; exit 0; export A=2", "A", "1"),
        ("export A=1; return 0; export A=2", "A", "1"),
        ("export A=1; exec 3>/dev/null 9>&1", "A", "1"),
        ("export A=1; cd /", "A", "1"),
        ("export A=1; env() { echo broken; }; alias env=false", "A", "1"),
        ("export A=1 PATH=/nowhere", "PATH", "/nowhere"),
        ("set -a; A=1; set +a", "A", "1"),
        ("set -eu; export A=1", "A", "1"),
        ("export A=1; sleep 60 >/dev/null 2>&1 & echo $! >pid", "A", "1"),
        ('export A="$0"', "A", "{hook}"),
        ('export A="$#"', "A", "0"),
        ("export A=$(head -c 100000 /dev/zero | tr '\\0' x)", "A", "x" * 100_000),
    ],
)
def test_exports(
    hooks: Hooks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    hook = hooks.add("a.envsh", text + "\n")
    left = hooks.run()
    if (tmp_path / "pid").exists():
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert left[name] == value.replace("{hook}", str(hook))
    assert left.keys() == ENVIRON.keys() | {"A"}


def test_unset_reaches_the_server(hooks: Hooks) -> None:
    hooks.add("a.envsh", "unset A\n")
    assert hooks.run(A="1", B="2") == ENVIRON | {"B": "2"}


def test_the_shells_own_variables_do_not_leak(hooks: Hooks) -> None:
    hooks.add("a.envsh", "cd /\nB=unexported\n")
    assert hooks.run() == ENVIRON
    own = {"PWD": "/somewhere", "SHLVL": "7", "_": "/bin/x", "OLDPWD": "/"}
    assert hooks.run(**own) == ENVIRON | own


def test_names_that_no_shell_knows_survive(hooks: Hooks) -> None:
    hooks.add("a.envsh", "export A=1\n")
    assert hooks.run(**{"my.setting": "1", "with-dash": "2"}) == ENVIRON | {
        "my.setting": "1",
        "with-dash": "2",
        "A": "1",
    }


def test_bytes_that_are_no_text_survive(hooks: Hooks) -> None:
    hooks.add("a.envsh", "export A=1\n")
    assert hooks.run(B="\udcff")["B"] == "\udcff"


def test_output_is_the_containers(hooks: Hooks, capfd: pytest.CaptureFixture[str]) -> None:
    hooks.add("a.sh", "#!/bin/sh\necho program; echo program >&2\n")
    hooks.add("b.envsh", "echo sourced; echo sourced >&2; export A=1\n")
    assert hooks.run()["A"] == "1"
    assert capfd.readouterr() == ("program\nsourced\n", "program\nsourced\n")


def test_input_is_left_to_the_server(hooks: Hooks) -> None:
    hooks.add("a.sh", "#!/bin/sh\n! read -r line\n")
    hooks.run()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.sh", "#!/bin/sh\nexit 3\n", "failed with exit status 3"),
        ("a.sh", "#!/bin/sh\nkill -KILL $$\n", "was killed by SIGKILL"),
        ("a.sh", "#!/no/such/bash -e\n", "cannot be started: no such file: /no/such/bash, which its first line names"),
        ("a.sh", "#!/bin/sh\r\nexit 0\r\n", "has Windows line endings"),
        ("a.sh", "echo no shebang\n", "cannot be started: exec format error: it needs a first line such as #!/bin/sh"),
        ("a.sh", "#!/etc\n", "cannot be started: permission denied: /etc may not be executed"),
        ("a.envsh", "export A=1\r\n", "has Windows line endings"),
        ("a.envsh", "export A=1\nexit 4\n", "failed with exit status 4"),
        ("a.envsh", "export A=1\nreturn 5\n", "failed with exit status 5"),
        ("a.envsh", "set -e\nfalse\nexport A=1\n", "failed with exit status 1"),
        ("a.envsh", "set -u\nexport A=$MISSING\n", "failed with exit status"),
        ("a.envsh", "export A=1\nfalse\n", "failed with exit status 1"),
        ("a.envsh", "if\n", "failed with exit status 2"),
        ("a.envsh", "kill -TERM $$\n", "was killed by SIGTERM"),
        ("a.envsh", "export A=1\ntrap 'echo bye' EXIT\n", "left no environment"),
        ("a.envsh", "export A=1\nexec true\n", "left no environment"),
    ],
)
def test_a_failing_hook_is_named(hooks: Hooks, name: str, text: str, message: str) -> None:
    hook = hooks.add(name, text)
    hooks.add("b.sh", f"#!/bin/sh\ntouch {hooks.directory}/ran\n")
    with pytest.raises(StartError) as caught:
        hooks.run()
    assert str(caught.value).startswith(f"start hook {hook} ")
    assert message in str(caught.value)
    assert not (hooks.directory / "ran").exists()


def test_sigterm_ends_the_hook_and_the_start(hooks: Hooks, tmp_path: Path) -> None:
    """The hook's own child gets the signal too, and is gone with it."""
    fifo, log = tmp_path / "fifo", tmp_path / "log"
    os.mkfifo(fifo)
    # The child itself says that it is there: a shell between fork and exec may lose a signal.
    child = f"sh -c 'echo $$ >{fifo}; exec sleep 3600'"
    hooks.add("a.sh", f"#!/bin/sh\ntrap 'echo told >{log}; exit 9' TERM\n{child} &\nwait\n")
    hooks.add("b.sh", f"#!/bin/sh\necho late >{log}\n")
    process = _start(hooks, stop_seconds=120)
    sleeper = int(fifo.read_text())
    process.terminate()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143
    assert errors == b""
    assert log.read_text() == "told\n"
    assert _ends(sleeper)


def test_a_hook_that_ignores_sigterm_is_killed(hooks: Hooks, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    hooks.add("a.sh", f"#!/bin/sh\ntrap '' TERM\necho $$ >{pid}\nkill -TERM $PPID\nsleep 3600\nsleep 3600\n")
    process = _start(hooks, stop_seconds=0.05)
    _, errors = process.communicate(timeout=120)

    assert process.returncode == 143
    assert errors == b""
    assert _ends(int(pid.read_text()))


def _start(hooks: Hooks, stop_seconds: float) -> subprocess.Popen[bytes]:
    """Run hooks in a process of their own, as the image does: it has one thread, which all signals go to."""
    start = f"""
        import signal, sys
        from pathlib import Path
        from paddock.start import hooks
        hooks.STOP_SECONDS = {stop_seconds}
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        hooks.run_start_hooks(Path({str(hooks.directory)!r}), {{"PATH": "/usr/bin:/bin"}}, print)
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(start)],
        stderr=subprocess.PIPE,
        env=ENVIRON | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def _ends(pid: int) -> bool:
    """Wait for the end of a process that is not our own child."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 120)[0])
    finally:
        os.close(process)
