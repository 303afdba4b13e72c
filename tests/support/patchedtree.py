"""A copy of the runner in which the fused kernel's sources have a planted fault, for sessions by the command itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import yaml

from runner.fused import compiled
from tests.support.fusedshapes import odd
from tests.support.kernelpatches import Patch, patched
from tests.support.processes import ROOT, environment

MODEL, SHAPE = "group-7", replace(odd()["group-7"], hidden=896)
"""An odd shape, except that the catalogue accepts it: `hidden` is a multiple of the heads."""
CUDA = compiled.SOURCES.relative_to(ROOT)


def make(folder: Path, patch: Patch) -> Path:
    """Returns the folder, new, with the runner and its catalogue, which has MODEL, too."""
    left_out = shutil.ignore_patterns("__pycache__", CUDA.name)
    shutil.copytree(ROOT / "runner", folder / "runner", ignore=left_out)
    patched(patch, folder / CUDA)
    (folder / "experiments").mkdir()
    shutil.copy(ROOT / "experiments" / "gpus.yaml", folder / "experiments")
    models = yaml.safe_load((ROOT / "experiments" / "models.yaml").read_text(encoding="utf-8"))
    shipped = models["tiny"]
    own = {field: getattr(SHAPE, field) for field in shipped if hasattr(SHAPE, field)}
    models[MODEL] = {**shipped, **own, "name": MODEL}
    (folder / "experiments" / "models.yaml").write_text(yaml.safe_dump(models), encoding="utf-8")
    return folder


def measure(tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs `runner cell` in the tree. The record goes to its folder `spool`, and nothing to a store."""
    command = [sys.executable, "-m", "runner", "cell", "--spool", "spool", *options]
    return subprocess.run(
        command,
        cwd=tree,
        env=environment(PYTHONPATH=f"{tree}:{ROOT / 'tests' / 'small_cache'}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
