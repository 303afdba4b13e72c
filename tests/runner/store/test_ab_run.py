"""The run of an A/B, in a real store: what its sessions share, its manifest, and a series of its results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from runner.ab import manifest
from runner.store import ab_run
from runner.store.ab_run import commit_comparison
from runner.store.summary_run import Summary
from tests.runner.store import contents
from tests.support.processes import ROOT

(AB,) = (ROOT / "experiments" / "records").glob("h200/ab-qwen2.5-7b-2048-eager-graph-*")
COMPARED = manifest.read(AB / "ab.json")
PERIOD_MS = (1_000, 61_000)
SUMMARY = Summary({"ab/ratio": 0.5}, {"verdict": "FASTER"}, "**What it says**", {"summary.md": "words"})


@pytest.mark.medium
def test_it_has_what_the_arms_share_and_the_manifest_itself(sqlite_uri: str, tmp_path: Path) -> None:
    run_id = commit_comparison(COMPARED, PERIOD_MS, None, None)
    found = contents.everything(sqlite_uri, run_id)
    assert found["info"] == (COMPARED.title, "FINISHED", *PERIOD_MS)
    assert {name: found["params"][name] for name in ("ab.field", "ab.a", "ab.b", "cell.ctx")} == {
        "ab.field": "runtime",
        "ab.a": "eager",
        "ab.b": "graph",
        "cell.ctx": "2048",
    }
    assert "cell.runtime" not in found["params"]  # in which they differ
    assert (found["tags"]["ab"], found["tags"]["gpu"], found["tags"]["study"]) == (COMPARED.id, "h200", COMPARED.study)
    assert (found["files"], found["rows"]) == (["ab.json"], {})
    assert contents.artifact_text(sqlite_uri, run_id, "ab.json", tmp_path) == COMPARED.text
    assert found["tags"]["mlflow.note.content"].startswith("**not compared yet**: `python -m analysis ab FOLDER")


@pytest.mark.medium
def test_committing_again_changes_nothing_and_a_summary_is_added(sqlite_uri: str) -> None:
    run_id = commit_comparison(COMPARED, PERIOD_MS, None, None)
    assert commit_comparison(COMPARED, PERIOD_MS, SUMMARY, None) == run_id
    before = contents.everything(sqlite_uri, run_id)
    assert before["files"] == ["ab.json", "summary.md"]
    assert (before["tags"]["verdict"], before["tags"]["mlflow.note.content"]) == ("FASTER", "**What it says**")
    assert commit_comparison(COMPARED, PERIOD_MS, SUMMARY, None) == run_id
    assert contents.everything(sqlite_uri, run_id) == before
    assert len(contents.runs(sqlite_uri)) == 1


@pytest.mark.medium
def test_an_extended_one_has_a_series_of_results(sqlite_uri: str) -> None:
    half = replace(COMPARED, blocks=COMPARED.blocks[:5])
    # blocks of two sessions of each arm: 5 · 2 = 10, then 10 · 2 = 20
    for compared, ratio in ((half, 0.6), (COMPARED, 0.5)):
        run_id = commit_comparison(compared, PERIOD_MS, replace(SUMMARY, metrics={"ab/ratio": ratio}), None)
    assert contents.everything(sqlite_uri, run_id)["rows"]["ab/ratio"] == [(10, 61_000, 0.6), (20, 61_000, 0.5)]


@pytest.mark.medium
def test_the_run_that_mlflow_made_is_filled_and_one_of_another_store_passed_over(sqlite_uri: str) -> None:
    made = MlflowClient(sqlite_uri).create_run("0").info.run_id
    assert commit_comparison(COMPARED, PERIOD_MS, None, made) == made
    assert commit_comparison(COMPARED, PERIOD_MS, None, "0" * 32) == made  # by its tag


@pytest.mark.medium
def test_one_that_cannot_be_filled_is_closed_as_failed_and_filled_later(
    sqlite_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise AssertionError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(ab_run, "log_files", broken)
        with pytest.raises(Exception, match="broken"):
            commit_comparison(COMPARED, PERIOD_MS, None, None)
    (run,) = contents.runs(sqlite_uri)
    assert (run.info.status, ab_run.MANIFEST_TAG in run.data.tags) == ("FAILED", False)
    assert commit_comparison(COMPARED, PERIOD_MS, None, None) == run.info.run_id
    assert contents.runs(sqlite_uri)[0].info.status == "FINISHED"
