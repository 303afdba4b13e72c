"""Results of an analysis in a run: at one step and time, and within what MLflow takes."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient
from mlflow.entities import Param, RunTag

from runner.store.session_run import TAG_LENGTH
from runner.store.summary_run import Summary, entities, log_summary
from tests.runner.store import contents


@pytest.mark.medium
def test_metrics_tags_page_and_files_are_logged_at_their_step(sqlite_uri: str) -> None:
    client = MlflowClient(sqlite_uri)
    run = client.create_run("0")
    summary = Summary({"ab/ratio": 0.5, "ab/sessions": 20.0}, {"verdict": "SAME"}, "page", {"deep/x.txt": "é"})
    log_summary(client, run, 20, 61_000, summary)
    found = contents.everything(sqlite_uri, run.info.run_id)
    assert found["rows"] == {"ab/ratio": [(20, 61_000, 0.5)], "ab/sessions": [(20, 61_000, 20.0)]}
    assert {"verdict": "SAME", "mlflow.note.content": "page"}.items() <= found["tags"].items()
    assert found["files"] == ["deep/x.txt"]


def test_a_value_that_is_too_long_is_cut_at_its_end() -> None:
    for kind in (Param, RunTag):
        cut, whole = entities(kind, {"long": "a" * TAG_LENGTH + "b", "short": "c"})
        assert (cut.key, cut.value) == ("long", "a" * TAG_LENGTH)
        assert (whole.key, whole.value) == ("short", "c")
