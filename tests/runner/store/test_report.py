"""The run of a report, in each kind of store."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

from runner.store import Summary, claim_report, commit_report
from runner.store.report import REPORT_TAG
from tests.runner.store.contents import artifacts

SUMMARY = Summary({}, {"words": "some"}, "**What it says**", {"report.html": "<p>é</p>", "one.png": b"\x89PNG"})


@pytest.mark.medium
def test_a_report_makes_a_closed_run_with_its_files_and_another_the_next_time(any_uri: str) -> None:
    client = MlflowClient(any_uri)
    first, second = (commit_report("report", SUMMARY, None) for _ in range(2))
    assert first != second
    run = client.get_run(first)
    assert (run.info.run_name, run.info.status) == ("report", "FINISHED")
    assert {REPORT_TAG: "report", "words": "some", "mlflow.note.content": SUMMARY.note}.items() <= run.data.tags.items()
    assert artifacts(client, first) == ["one.png", "report.html"]


@pytest.mark.medium
def test_the_run_that_mlflow_made_is_called_a_report_at_once_and_filled_later(any_uri: str) -> None:
    client = MlflowClient(any_uri)
    run_id = client.create_run("0").info.run_id
    claim_report(run_id, "floor")
    run = client.get_run(run_id)
    assert (run.data.tags[REPORT_TAG], run.info.run_name, run.info.status) == ("floor", "floor", "RUNNING")
    assert commit_report("floor", SUMMARY, run_id) == run_id
    assert client.get_run(run_id).info.status == "FINISHED"


@pytest.mark.medium
def test_a_run_of_another_store_is_left_alone(sqlite_uri: str) -> None:
    claim_report("0" * 32, "report")
    made = commit_report("report", SUMMARY, "0" * 32, sqlite_uri)
    assert MlflowClient(sqlite_uri).get_run(made).info.status == "FINISHED"
