"""Who a process is, read off /proc: real processes, and files with what a kernel might say."""

from __future__ import annotations

import os
import subprocess
import sys
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


@pytest.mark.parametrize("change", [{"boot": "an earlier one"}, {"started": "1"}])
def test_a_reboot_or_a_reused_pid_means_that_the_process_has_ended(change: dict[str, str]) -> None:
    here = proc.this_process()
    assert not proc.has_ended(here)
    assert proc.has_ended(replace(here, **change))  # type: ignore[arg-type]  # one str field at a time


@pytest.mark.parametrize("change", [{"host": "another", "started": "1"}, {"namespace": "pid:[1]", "started": "1"}])
def test_of_a_process_elsewhere_nothing_is_known(change: dict[str, str]) -> None:
    elsewhere = replace(proc.this_process(), **change)  # type: ignore[arg-type]  # str fields only
    assert not proc.has_ended(elsewhere)


def test_a_zombie_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert proc.has_ended(replace(proc.this_process(), pid=child.pid, started="1"))
    child.wait()


def test_a_program_has_a_name_until_it_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert proc.program(os.getpid()) == Path("/proc/self/comm").read_text().strip()
    monkeypatch.setattr(host, "PROC", tmp_path)
    assert proc.program(77) == "ended"
