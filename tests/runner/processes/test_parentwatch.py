"""No process outlives the one it works for: real chains of processes, killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from runner.processes import parentwatch

ROOT = Path(__file__).resolve().parents[3]
ENTRY = """
    import signal, sys, time
    from pathlib import Path
    from runner.processes import parentwatch, signals
    from runner.errors import Stopped
    here = Path(sys.argv[1])
    signals.install()
    try:
        watched = parentwatch.watch_ancestors(lambda: signals.explain(parentwatch.DEATH_MESSAGE))
        (here / "watched.tmp").write_text(" ".join(map(str, watched)))
        (here / "watched.tmp").rename(here / "watched")
        time.sleep(30)
    except Stopped as error:
        (here / "end").write_text(f"{error.reason}: {error}")
"""
# like `mlflow run`: a Python that runs `bash -c COMMAND`; the `true` keeps bash from becoming the command
STARTER = """
    import subprocess, sys
    subprocess.run(["bash", "-c", f"'{sys.executable}' '{sys.argv[1]}' '{sys.argv[2]}'; true"])
"""


def script(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(textwrap.dedent(text))
    return str(folder / name)


def text_of(file: Path, seconds: float = 20.0) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if file.exists() and (text := file.read_text()):
            return text
        time.sleep(0.02)
    raise AssertionError(f"{file.name} did not appear")


def start_chain(folder: Path) -> subprocess.Popen[bytes]:
    entry, starter = script(folder, "entry.py", ENTRY), script(folder, "starter.py", STARTER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, starter, entry, str(folder)], env=environment)


@pytest.mark.medium
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_entry_notices_the_death_of_the_process_above_the_shell(tmp_path: Path, number: signal.Signals) -> None:
    starter = start_chain(tmp_path)
    watched = [int(pid) for pid in text_of(tmp_path / "watched").split()]
    assert len(watched) == 2
    assert watched[1] == starter.pid
    starter.send_signal(number)
    starter.wait(10)
    assert text_of(tmp_path / "end") == "terminated: the process that started us died"


@pytest.mark.medium
def test_a_starter_that_died_before_the_entry_looked_is_noticed(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    entry = script(tmp_path, "entry.py", ENTRY)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), parentwatch.PARENT_PID_VARIABLE: str(gone.pid)}
    subprocess.run([sys.executable, entry, str(tmp_path)], env=environment, timeout=20, check=False)
    assert text_of(tmp_path / "end") == "terminated: the process that started us died"


@pytest.mark.medium
def test_a_starter_that_is_alive_is_no_reason_to_stop(tmp_path: Path) -> None:
    entry = script(tmp_path, "entry.py", ENTRY)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), parentwatch.PARENT_PID_VARIABLE: str(os.getpid())}
    process = subprocess.Popen([sys.executable, entry, str(tmp_path)], env=environment)
    assert str(os.getpid()) in text_of(tmp_path / "watched").split()
    time.sleep(0.2)
    assert process.poll() is None
    process.terminate()
    process.wait(10)
    assert text_of(tmp_path / "end") == "terminated: stopped by SIGTERM"


@pytest.mark.medium
def test_the_entry_notices_the_death_of_the_shell(tmp_path: Path) -> None:
    starter = start_chain(tmp_path)
    shell = int(text_of(tmp_path / "watched").split()[0])
    os.kill(shell, signal.SIGKILL)
    assert text_of(tmp_path / "end") == "terminated: the process that started us died"
    starter.wait(10)


def test_without_a_shell_the_parent_itself_is_watched() -> None:
    assert parentwatch.starters()[-1:] != (os.getpid(),)
    assert os.getppid() in parentwatch.starters() or parentwatch.starters() == ()


@pytest.mark.medium
def test_a_terminal_is_not_watched(tmp_path: Path) -> None:
    entry = script(tmp_path, "print.py", "from runner.processes import parentwatch; print(parentwatch.starters())")
    shell = script(tmp_path, "session.sh", f"'{sys.executable}' '{entry}'\ntrue\n")
    found = subprocess.run(
        ["bash", shell], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True
    )
    assert found.stdout == "()\n"


CHILD = """
    import os, sys, time
    from pathlib import Path
    from runner.processes import parentwatch
    parentwatch.die_with_parent()
    Path(sys.argv[1]).write_text(str(os.getpid()))
    time.sleep(600)
"""
MOTHER = """
    import os, subprocess, sys, time
    os.environ["DECODE_FLOOR_PARENT_PID"] = str(os.getpid())
    subprocess.Popen([sys.executable, *sys.argv[1:]], start_new_session=True)
    time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@pytest.mark.medium
def test_a_killed_parent_takes_its_worker_along(tmp_path: Path) -> None:
    child, mother = script(tmp_path, "child.py", CHILD), script(tmp_path, "mother.py", MOTHER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, mother, child, str(tmp_path / "pid")], env=environment)
    pid = int(text_of(tmp_path / "pid"))
    parent.kill()
    parent.wait(10)
    deadline = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)


@pytest.mark.medium
def test_a_parent_that_died_before_the_call_is_noticed(tmp_path: Path) -> None:
    child = script(tmp_path, "child.py", CHILD)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), parentwatch.PARENT_PID_VARIABLE: "1"}
    found = subprocess.run([sys.executable, child, str(tmp_path / "pid")], env=environment, timeout=20, check=False)
    assert found.returncode == 128 + signal.SIGKILL
    assert not (tmp_path / "pid").exists()


def test_a_process_that_does_not_exist_has_no_descriptor() -> None:
    assert parentwatch.process_descriptor(2**22 + 1) is None
