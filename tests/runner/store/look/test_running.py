"""Runs that are RUNNING, in each kind of store: those that name an owner or this project."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from runner.store.look import running, server
from runner.store.session_run import OWNER_TAG, PROJECT, SOURCE_TAG


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite_uri", "http_uri", "postgresql_uri"])
def test_open_runs_with_an_owner_or_of_this_project_are_found_in_every_experiment(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(request.getfixturevalue(kind))
    monkeypatch.setattr(server, "ANSWERED", 2)  # so that there are several pages
    client = MlflowClient(uri)
    elsewhere = client.create_experiment(f"elsewhere-{kind}")
    before = {run.id for run in running.read(uri)}
    owned = [client.create_run(elsewhere, 1000 + n, {OWNER_TAG: f"{n}", "more": "x"}).info.run_id for n in range(5)]
    ours = client.create_run("0", 2000, {SOURCE_TAG: PROJECT}).info.run_id
    client.create_run("0", tags={"mlflow.source.name": "train.py"})
    client.set_terminated(client.create_run("0", tags={OWNER_TAG: "closed"}).info.run_id)
    client.delete_run(client.create_run("0", tags={OWNER_TAG: "deleted"}).info.run_id)
    found = [run for run in running.read(uri) if run.id not in before]
    assert [run.id for run in found] == [*owned, ours]
    assert (found[0].started_ms, found[0].tags[OWNER_TAG]) == (1000, "0")
    for run in found:
        client.set_terminated(run.id)


def test_a_store_that_does_not_exist_has_none(tmp_path: Path) -> None:
    assert running.read(f"sqlite:///{tmp_path}/new.db") == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_runs_is_not_searched(tmp_path: Path) -> None:
    assert running.read(f"file://{tmp_path}") == []
