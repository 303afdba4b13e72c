"""A store that does not exist yet, as the look sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner import store
from runner.store.look import seen
from tests.support.looks import refusal


@pytest.mark.parametrize("is_empty_file", [False, True])
def test_a_store_that_is_not_there_yet_has_neither_that_experiment_nor_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_empty_file: bool
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    if is_empty_file:
        (tmp_path / "mlflow.db").touch()
    assert "has no such run" in refusal("0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    assert "MLFLOW_EXPERIMENT_ID=77" in refusal()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")  # which every store has
    assert store.before_measuring(None) is None


def test_a_new_store_has_mlflows_default_experiment_with_its_artifacts_beside_the_file(tmp_path: Path) -> None:
    new = seen.NewStore(f"sqlite:///{tmp_path}/deep/mlflow.db")
    beside = f"{tmp_path}/deep/mlruns"
    assert new.by_id("0") == seen.Experiment("0", "Default", False, beside)
    assert (new.by_id("1"), new.by_name("Default"), new.run("0" * 32)) == (None, None, None)
    assert new.default_root() == beside
