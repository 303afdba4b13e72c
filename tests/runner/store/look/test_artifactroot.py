"""The root of an experiment's artifacts: what cannot be written from here is refused before measuring."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner import store
from runner.errors import MissingPackage
from runner.store import address
from runner.store.look import artifactroot
from tests.support.looks import refusal


@pytest.mark.medium
def test_artifacts_behind_a_server_cannot_be_written_past_it(sqlite_uri: str) -> None:
    MlflowClient(sqlite_uri).create_experiment(address.experiment_name(), "mlflow-artifacts:/1")
    assert "behind an MLflow server (mlflow-artifacts:/1): set MLFLOW_TRACKING_URI" in refusal()


@pytest.mark.medium
def test_artifacts_that_need_a_package_name_it(sqlite_uri: str) -> None:
    MlflowClient(sqlite_uri).create_experiment(address.experiment_name(), "gs://bucket/place")
    assert "lacks the package google.cloud.storage" in refusal(kind=MissingPackage)


@pytest.mark.slow
def test_artifacts_in_a_folder_of_another_machine_are_refused(
    postgresql_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql_uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name := f"elsewhere-{time.time_ns()}")
    MlflowClient(postgresql_uri).create_experiment(name, "/etc/hostname/mlruns/1")
    assert "/etc/hostname/mlruns/1, which cannot be written from here" in refusal()


@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_in_place_of_the_artifacts_folder_is_told(
    is_there: bool, empty_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    if is_there:
        shutil.copy(empty_sqlite, tmp_path / "mlflow.db")
    (tmp_path / "mlruns").touch()
    assert f"cannot be written from here ({tmp_path}/mlruns: Not a directory)" in refusal()


@pytest.mark.medium
def test_artifacts_of_an_sqlite_store_that_cannot_be_written_are_told(sqlite_uri: str) -> None:
    MlflowClient(sqlite_uri).create_experiment(address.experiment_name(), "/proc/nowhere/art")
    assert "keeps its artifacts in /proc/nowhere/art, which cannot be written from here (/proc: " in refusal()


def test_artifacts_of_a_store_that_was_moved_are_looked_for_where_they_will_be(
    empty_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_sqlite, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri := f"sqlite:///{tmp_path}/mlflow.db")
    MlflowClient(uri).create_experiment(address.experiment_name(), "/proc/nowhere/mlruns/1")
    assert store.before_measuring(None) is None


@pytest.mark.parametrize(
    ("root", "folder"),
    [
        ("/data/a%20b", Path("/data/a%20b")),  # a plain path is not encoded
        ("file:///data/a%20b", Path("/data/a b")),
        ("s3://bucket/a", None),
        ("mlflow-artifacts:/1", None),
    ],
)
def test_a_root_in_a_file_system_is_a_folder(root: str, folder: Path | None) -> None:
    assert artifactroot.path_of(root) == folder
    assert artifactroot.is_proxied(root) is root.startswith("mlflow-artifacts")


def test_a_new_experiment_of_a_database_has_its_artifacts_where_mlflow_puts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert artifactroot.default_root(f"sqlite:///{tmp_path}/link/x.db") == f"{tmp_path}/real/mlruns"
    assert artifactroot.default_root("postgresql://host/db") == f"{Path.cwd()}/mlruns"
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "s3://bucket")
    assert artifactroot.default_root("postgresql://host/db") == "s3://bucket"


def test_a_scheme_that_needs_no_package_of_its_own_is_taken() -> None:
    artifactroot.check_packages("/data/a")
    artifactroot.check_packages("ftp://host/a")
