"""The second step of `ab`, which is a program of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.commands import comparing

FOLDER = Path("spool/ab-x y")
LATER = "compare the arms where the packages of analysis are: python -m analysis ab 'spool/ab-x y' --commit\n"


def _ends_with(monkeypatch: pytest.MonkeyPatch, code: int) -> list[list[str]]:
    """Lets the step end with this code; collects its command lines."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_the_step_compares_the_folder_and_commits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = _ends_with(monkeypatch, 0)
    comparing.log_comparison(FOLDER)
    assert commands == [[sys.executable, "-m", "analysis", "ab", "spool/ab-x y", "--commit"]]
    assert capsys.readouterr() == ("", "")


def test_a_machine_that_only_measures_is_told_how_to_compare_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _ends_with(monkeypatch, 25)
    comparing.log_comparison(FOLDER)
    assert capsys.readouterr() == (LATER, "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    comparing.log_comparison(FOLDER)
    assert capsys.readouterr() == (LATER, "")


def test_a_step_that_fails_ends_the_command_with_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _ends_with(monkeypatch, 21)
    with pytest.raises(SystemExit) as ended:
        comparing.log_comparison(FOLDER)
    assert ended.value.code == 21
    assert capsys.readouterr() == (
        "",
        "the sessions are complete; compare them again with: python -m analysis ab 'spool/ab-x y' --commit\n",
    )
