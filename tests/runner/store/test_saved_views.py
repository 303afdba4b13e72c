"""The saved views of an experiment name what its runs have."""

from __future__ import annotations

from mlflow import MlflowClient

from runner import store
from runner.store import saved_views
from tests.support.derive import typed
from tests.support.records import example_record


def test_the_views_name_only_metrics_and_tags_that_runs_have(sqlite_uri: str) -> None:
    run = MlflowClient(tracking_uri=sqlite_uri).get_run(store.commit(typed(example_record()), None))
    assert {*saved_views.NUMBERS} <= {*run.data.metrics}
    assert {*saved_views.WORDS, saved_views.GROUP_TAG} <= {*run.data.tags}
    assert {name.partition("/")[0] for name in run.data.metrics} == {
        *saved_views.OPEN_SECTIONS,
        *saved_views.CLOSED_SECTIONS,
    }
