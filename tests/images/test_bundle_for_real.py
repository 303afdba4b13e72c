"""A bundle of real packages for this machine, unpacked and run: `make test-images`. Needs an index, and minutes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from images.bundle import packages
from images.bundle.settings import ROOT, settings
from runner.record import codekey

pytestmark = pytest.mark.images
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize("base", ["host-torch", "full"])
def test_a_cell_is_measured_in_a_bundle_without_a_network(tmp_path: Path, base: str) -> None:
    torch = pytest.importorskip("torch")
    wanted = packages.pins(settings("cpu").stack_locks())["torch"].version
    if base == "host-torch" and torch.__version__.split("+")[0] != wanted.split("+")[0]:
        pytest.skip(f"torch {torch.__version__} is here, a bundle for a CPU needs {wanted}: make env STACK=cpu")
    make = [sys.executable, "-m", "images.bundle", "cpu", "--base", base, "--python", PYTHON, "--out", str(tmp_path)]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("*.tar*")
    with tarfile.open(file) as opened:
        opened.extractall(tmp_path / "a box", filter="data")
    (folder,) = (tmp_path / "a box").iterdir()

    def run(*arguments: str) -> None:
        own = {**os.environ, "PYTHON": sys.executable, "http_proxy": NOWHERE, "https_proxy": NOWHERE}
        own.pop("PYTHONPATH", None)
        did = subprocess.run(
            [str(folder / "run"), *arguments], cwd=tmp_path, env=own, capture_output=True, text=True, check=False
        )
        assert did.returncode == 0, did.stderr

    run("cell", "--gpu", "cpu", "--model", "tiny", "--ctx", "64", "--spool", "spool")
    run("verify", "spool")
    (made,) = (tmp_path / "spool").glob("*.json")
    assert codekey.tree_key() in made.read_text()
    assert json.loads(made.read_text())["valid"]
