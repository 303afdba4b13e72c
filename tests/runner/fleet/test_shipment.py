"""The code that travels is all that a node needs, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runner.cell import catalogue
from runner.fleet import shipment
from runner.record import codekey


@pytest.mark.medium
def test_a_node_has_the_drivers_code_and_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(catalogue.folder(), tmp_path / "own", ignore=shutil.ignore_patterns("records", "gate"))
    models = tmp_path / "own" / "models.yaml"
    models.write_text(models.read_text() + "\n# my own\n")
    (tmp_path / "own" / "secret.txt").write_text("x")
    (tmp_path / "own" / "mine.yaml").write_text("name: mine\nmatrix: {weights: /home/me/checkpoint}\n")
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "own"))
    code = "from runner.record import codekey; from runner.cell import catalogue; " + (
        "print(codekey.tree_key(), catalogue.folder(), len(catalogue.gpus()))"
    )
    with shipment.packed() as folder:
        own = {**os.environ, "PYTHONPATH": str(folder), **shipment.ENVIRONMENT}
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=own, capture_output=True, text=True)
        assert done.stdout.split() == [codekey.tree_key(), f"{folder}/experiments", str(len(catalogue.gpus()))], (
            done.stderr
        )
        assert (folder / "experiments" / "models.yaml").read_text().endswith("# my own\n")
        assert sorted(path.name for path in folder.iterdir()) == ["experiments", "runner"]
        shipped = sorted(path.name for path in (folder / "experiments").iterdir())
        assert shipped == ["gpus.yaml", "models.yaml"]  # no study files, which may have private paths
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert size < 10 * 2**20
    assert not folder.exists()
