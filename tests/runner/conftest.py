"""The command line in this process, on a machine without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner import __main__
from runner.machine import nvml
from runner.processes import signals
from tests.support.processes import Main


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Main:
    """The command in this process, on a machine without a GPU: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(nvml, "list_gpus", lambda: ())
    monkeypatch.setattr(signals, "install", lambda: None)
    monkeypatch.setattr(signals, "ignore", lambda: None)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = __main__.main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call
