"""Servers of a command: real processes that answer by a file, hang, fail, ignore their signal or leave children."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.errors import StoreUnreachable
from runner.processes import service, signals
from runner.processes.service import Service
from tests.support.processes import ROOT

pytestmark = pytest.mark.medium

ANSWERING = "import pathlib, time; pathlib.Path('answers').touch(); time.sleep(60)"


def python(folder: Path, code: str) -> Service:
    command = (sys.executable, "-c", code)
    return Service("the server", command, os.environ, folder, folder / "log", signal.SIGTERM)


def answers(folder: Path) -> Callable[[], bool]:
    return (folder / "answers").exists


def pids(folder: Path) -> list[int]:
    return [int(word) for word in (folder / "pids").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


def test_a_server_runs_until_the_context_ends(tmp_path: Path) -> None:
    code = f"import os; open('pids', 'w').write(str(os.getpid())); {ANSWERING}"
    with signals.held(), service.running(python(tmp_path, code), answers(tmp_path)):
        (pid,) = pids(tmp_path)
        assert is_running(pid)
        assert os.getpgid(pid) == pid  # out of reach of the terminal's Ctrl-C
    assert not is_running(pid)


def test_what_a_server_leaves_behind_is_ended_with_it(tmp_path: Path) -> None:
    child = "[sys.executable, '-c', 'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)']"
    code = f"import subprocess, sys; c = subprocess.Popen({child}); open('pids', 'w').write(str(c.pid)); {ANSWERING}"
    with signals.held(), service.running(python(tmp_path, code), answers(tmp_path)):
        pass
    assert ends(*pids(tmp_path))


def test_a_server_that_ignores_its_signal_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "STOP_S", 0.2)
    code = (
        f"import os, signal; signal.signal(15, signal.SIG_IGN); open('pids', 'w').write(str(os.getpid())); {ANSWERING}"
    )
    with signals.held(), service.running(python(tmp_path, code), answers(tmp_path)):
        pass
    assert not is_running(*pids(tmp_path))


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("print('FATAL: no such port'); print('HINT: ask'); raise SystemExit(1)", "FATAL: no such port"),
        ("raise ValueError('wrong')", "ValueError: wrong"),
        ("print('bye')", "bye"),
        ("", "no output"),
    ],
)
def test_a_server_that_does_not_start_is_named_with_its_last_error(tmp_path: Path, code: str, cause: str) -> None:
    with (
        pytest.raises(StoreUnreachable) as caught,
        signals.held(),
        service.running(python(tmp_path, code), answers(tmp_path)),
    ):
        pass
    assert str(caught.value) == f"the server does not start ({cause}): {tmp_path}/log has more"


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "START_S", 0.3)
    silent = python(tmp_path, "import time; time.sleep(60)")
    with (
        pytest.raises(StoreUnreachable, match="does not answer within"),
        signals.held(),
        service.running(silent, lambda: False),
    ):
        pass


def test_a_program_that_is_missing_is_said(tmp_path: Path) -> None:
    missing = Service("the server", ["/nowhere"], os.environ, tmp_path, tmp_path / "log", signal.SIGTERM)
    with (
        pytest.raises(StoreUnreachable, match="the server cannot be started"),
        signals.held(),
        service.running(missing, lambda: True),
    ):
        pass


def test_a_server_that_ends_by_itself_ends_the_command(tmp_path: Path) -> None:
    short = python(tmp_path, "import pathlib, time; pathlib.Path('answers').touch(); time.sleep(0.2); print('bye')")
    with (
        pytest.raises(StoreUnreachable) as caught,
        signals.held(),
        service.running(short, answers(tmp_path)) as server,
    ):
        service.await_end([server])
    assert str(caught.value) == f"the server has ended by itself (bye): {tmp_path}/log has more"


WAITING = """
    import sys, threading, time
    from pathlib import Path
    from runner.errors import Stopped
    from runner.processes import service, signals
    from tests.runner.processes.test_service import ANSWERING, answers, python
    here = Path(sys.argv[1])
    signals.install()
    def deaf_to_signals():  # the kernel may give a signal to this thread, which does not wake the one that waits
        (here / "waiting").touch()
        time.sleep(60)
    try:
        with signals.held(), service.running(python(here, ANSWERING), answers(here)) as server, signals.let_through():
            threading.Thread(target=deaf_to_signals, daemon=True).start()
            service.await_end([server])
    except Stopped as stopped:
        print(stopped)
"""


@pytest.mark.parametrize("thread", ["first", "second"])
def test_a_signal_ends_the_wait_whichever_thread_gets_it(tmp_path: Path, thread: str) -> None:
    (tmp_path / "waiting.py").write_text(textwrap.dedent(WAITING))
    command = [sys.executable, str(tmp_path / "waiting.py"), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as waiting:
        deadline = time.monotonic() + 30
        while not (tmp_path / "waiting").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        first, second = sorted(int(name) for name in os.listdir(f"/proc/{waiting.pid}/task"))[:2]
        ctypes.CDLL(None).tgkill(waiting.pid, first if thread == "first" else second, signal.SIGINT)
        said, _ = waiting.communicate(timeout=30)
    assert said == "stopped by Ctrl-C\n"


KILLED = """
    import signal, sys, time
    from pathlib import Path
    from runner.processes import service, signals
    from tests.runner.processes.test_service import ANSWERING, answers, python
    here = Path(sys.argv[1])
    code = "import os; open('pids', 'w').write(str(os.getpid())); " + ANSWERING
    with signals.held(), service.running(python(here, code), answers(here)):
        time.sleep(60)
"""


def test_a_server_does_not_outlive_a_command_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "killed.py").write_text(textwrap.dedent(KILLED))
    command = [sys.executable, str(tmp_path / "killed.py"), str(tmp_path)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}) as parent:
        deadline = time.monotonic() + 20
        while not answers(tmp_path)() and time.monotonic() < deadline:
            time.sleep(0.02)
        parent.kill()
    assert ends(*pids(tmp_path))
