"""The saved views of an experiment name what its runs have."""

from __future__ import annotations

import json

import pytest
from mlflow import MlflowClient

from runner import store
from runner.ab import manifest
from runner.store import saved_views
from tests.support.derive import typed
from tests.support.processes import ROOT
from tests.support.records import example_record

(AB,) = (ROOT / "experiments" / "records").glob("h200/ab-qwen2.5-7b-2048-*")


@pytest.mark.medium
def test_the_views_name_only_metrics_and_tags_that_runs_have(sqlite_uri: str) -> None:
    run = MlflowClient(tracking_uri=sqlite_uri).get_run(store.commit(typed(example_record()), None))
    assert {*saved_views.NUMBERS} <= {*run.data.metrics}
    assert {*saved_views.WORDS, saved_views.GROUP_TAG} <= {*run.data.tags}
    assert {name.partition("/")[0] for name in run.data.metrics} == {
        *saved_views.OPEN_SECTIONS,
        *saved_views.CLOSED_SECTIONS,
    }


@pytest.mark.medium
def test_mlflow_finds_sessions_and_abs_by_the_views_filters(sqlite_uri: str) -> None:
    session = store.commit(typed(example_record()), None)
    invalid = store.commit(typed(example_record(session={"id": "another"}, bytes={"weights_measured": 1})), None)
    compared = store.commit_comparison(manifest.read(AB / "ab.json"), (1, 2), None, None)
    client = MlflowClient(sqlite_uri)
    home = client.get_run(session).info.experiment_id
    saved = [json.loads(json.loads(text)["state"]) for text in saved_views.view_tags().values()]
    found = [{run.info.run_id for run in client.search_runs([home], view["searchFilter"])} for view in saved]
    assert found == [{session}, {session, invalid}, {compared}]  # Cells has valid ones alone


def test_the_address_of_the_cells_opens_their_view() -> None:
    assert saved_views.cells_address("http://127.0.0.1:5000", "7").startswith("http://127.0.0.1:5000/#/experiments/7/")
    key = saved_views.cells_address("", "7").partition("viewStateShareKey=")[2].partition("&")[0]
    assert json.loads(saved_views.view_tags()[f"{saved_views.TAG_PREFIX}{key}"])["name"] == "Cells"
