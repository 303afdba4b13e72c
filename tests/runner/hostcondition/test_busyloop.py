"""The program of a neighbour."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from runner.hostcondition import busyloop
from runner.processes.parentwatch import PARENT_PID_VARIABLE
from tests.support.processes import ROOT


@pytest.mark.medium
@pytest.mark.parametrize("is_ours", [True, False])
def test_it_computes_unless_its_parent_has_already_ended(is_ours: bool) -> None:
    parent = os.getpid() if is_ours else 1
    variables = {**os.environ, "PYTHONPATH": str(ROOT), PARENT_PID_VARIABLE: str(parent)}
    command = [sys.executable, "-m", "runner.hostcondition.busyloop"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=variables) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == (busyloop.READY if is_ours else b"")
        assert (process.poll() is None) == is_ours or process.wait() == 137
        process.kill()
