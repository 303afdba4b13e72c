"""The command line in this process, on a machine without a GPU; the code of its many modules is analysed once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from unittest import mock

import pytest

from runner import __main__
from runner.machine import nvml
from runner.processes import signals
from runner.record import sourcetext
from tests.support.processes import Main


@pytest.fixture(autouse=True, scope="session")
def _sources_analysed_once() -> Iterator[None]:
    """A code key covers all modules that the process has loaded: all of the project's here, which takes 2 s."""
    with mock.patch.object(sourcetext, "essence", cache(sourcetext.essence)):
        yield


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
