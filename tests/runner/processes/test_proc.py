"""Who a process is, read off /proc: real processes, and files with what a kernel might say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from runner.machine import host
from runner.processes import proc


def test_ancestors_lead_from_the_parent_to_init() -> None:
    line = list(proc.ancestors(os.getpid()))
    assert line[0] == os.getppid()
    assert os.getpid() not in line


def test_a_name_with_brackets_does_not_hide_the_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "77").mkdir()
    (tmp_path / "77" / "stat").write_text("77 (a) R 1 (b) S 42 77 77 0 -1\n")
    monkeypatch.setattr(host, "PROC", tmp_path)
    assert list(proc.ancestors(77)) == [42]


@pytest.mark.parametrize("change", [{"boot": "an earlier one"}, {"started": "1"}, {"pid": 2**22 + 1}])
def test_a_reboot_or_a_reused_pid_means_that_the_process_has_ended(
    change: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "installation_id", lambda: "a machine id")
    here = proc.this_process()
    assert proc.state(here) == proc.LIVES
    assert proc.state(replace(here, **change)) == proc.ENDED  # type: ignore[arg-type]  # one field at a time


def test_without_an_installations_id_a_reboot_cannot_be_told_from_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "installation_id", lambda: "")
    assert proc.state(replace(proc.this_process(), boot="another")) == proc.UNKNOWN


@pytest.mark.parametrize(
    "change",
    [{"host": "another", "started": "1"}, {"namespace": "pid:[1]"}, {"namespace": ""}, {"started": ""}],
)
def test_of_a_process_elsewhere_nothing_is_known(change: dict[str, str]) -> None:
    elsewhere = replace(proc.this_process(), **change)  # type: ignore[arg-type]  # str fields only
    assert proc.state(elsewhere) == proc.UNKNOWN


def test_a_zombie_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert proc.state(replace(proc.this_process(), pid=child.pid, started="1")) == proc.ENDED
    child.wait()


@pytest.mark.medium
def test_a_process_in_a_pid_namespace_inside_ours_is_seen() -> None:
    """As in a container that has this host's name: its pid is another one there."""
    code = "from runner.processes import proc; print(proc.this_process().text, flush=True); input()"
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", code]
    if os.getuid() != 0:
        command[1:1] = ["--user", "--map-root-user"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as inside:
        assert inside.stdout is not None
        process = proc.parsed(inside.stdout.readline())
        assert process is not None
        assert (process.pid, process.namespace == proc.this_process().namespace) == (1, False)
        assert proc.state(process) == proc.LIVES
        inside.kill()
    until = time.monotonic() + 10  # the kernel ends what is inside after `unshare` itself
    while proc.state(process) == proc.LIVES and time.monotonic() < until:
        time.sleep(0.01)
    assert proc.state(process) == proc.UNKNOWN


def test_a_process_that_proc_hides_may_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for other users, where /proc is mounted with hidepid."""
    here = proc.this_process()
    monkeypatch.setattr(proc, "_stat", lambda _pid: [])
    assert proc.state(here) == proc.UNKNOWN
    assert proc.state(replace(here, pid=2**22 + 1)) == proc.ENDED


def test_an_identity_is_read_back() -> None:
    here = proc.this_process()
    assert proc.parsed(here.text) == here


@pytest.mark.parametrize("change", [{"pid": "1"}, {"pid": True}, {"pid": 0}, {"pid": 2**40}, {"host": 1}, {"more": ""}])
def test_what_is_no_identity_is_refused(change: dict[str, object]) -> None:
    here = json.loads(proc.this_process().text)
    assert proc.parsed(json.dumps({**here, **change})) is None


@pytest.mark.parametrize("text", ["", "[]", "null", "3", "{}", "[" * 100_000])
def test_what_is_no_identity_at_all_is_refused(text: str) -> None:
    assert proc.parsed(text) is None


def test_a_program_has_a_name_until_it_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert proc.program(os.getpid()) == Path("/proc/self/comm").read_text().strip()
    monkeypatch.setattr(host, "PROC", tmp_path)
    assert proc.program(77) == "ended"


def test_the_processor_time_of_a_process_grows_while_it_computes() -> None:
    before = proc.cpu_seconds(os.getpid())
    assert before is not None
    began = time.process_time()
    while time.process_time() - began < 0.05:
        pass
    assert (proc.cpu_seconds(os.getpid()) or 0.0) >= before + 0.03
    assert proc.cpu_seconds(proc.LARGEST_PID) is None
