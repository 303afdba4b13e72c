"""Commands of the project without a process of their own, whose packages take a second to import."""

from __future__ import annotations

import os
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

import analysis.__main__
import runner.__main__
from runner.processes import signals

ROOT = Path(__file__).resolve().parents[2]
MAIN = {"analysis": analysis.__main__.main, "runner": runner.__main__.main}


def called(program: str, *arguments: str, folder: Path, **variables: str) -> CompletedProcess[str]:
    """`python -m PROGRAM …` in that folder, with these variables of the environment."""
    out, err = StringIO(), StringIO()
    with (
        chdir(folder),
        mock.patch.dict(os.environ, variables),
        mock.patch.object(signals, "install"),
        mock.patch.object(signals, "ignore"),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = MAIN[program](arguments)
    return CompletedProcess((program, *arguments), code, out.getvalue(), err.getvalue())


def command(*arguments: str, folder: Path = ROOT, **variables: str) -> CompletedProcess[str]:
    """`python -m analysis …` in that folder, with these variables of the environment."""
    return called("analysis", *arguments, folder=folder, **variables)
