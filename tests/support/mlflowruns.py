"""Commands through `mlflow run`, in a copy of the project, so that spool and store lie in a test's folder."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tests.support.processes import ROOT

NEEDED = ("runner", "analysis", "experiments", "MLproject", "python_env.yaml")
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
"""PATH with this interpreter as `python`, which the entries of MLproject start."""


def copied(folder: Path) -> None:
    """Copies what `mlflow run` needs of the project into a folder."""
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)


def command(entry: str, *parameters: str) -> list[str]:
    """Returns the command of an entry, whose parameters have the form `name=value`."""
    chosen = [part for parameter in parameters for part in ("-P", parameter)]
    return [sys.executable, "-m", "mlflow", "run", ".", "-e", entry, "--env-manager", "local", *chosen]
