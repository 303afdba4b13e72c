"""Commands of `python -m analysis` without a process of their own, whose packages take a second to import."""

from __future__ import annotations

import os
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from analysis import __main__
from runner.processes import signals

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: str, folder: Path = ROOT, **variables: str) -> CompletedProcess[str]:
    """`python -m analysis …` in that folder, with these variables of the environment."""
    out, err = StringIO(), StringIO()
    with (
        chdir(folder),
        mock.patch.dict(os.environ, variables),
        mock.patch.object(signals, "install"),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = __main__.main(arguments)
    return CompletedProcess(("analysis", *arguments), code, out.getvalue(), err.getvalue())
