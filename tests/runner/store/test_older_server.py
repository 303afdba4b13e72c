"""Sessions, A/Bs and reports through a server of MLflow 2.9, the oldest supported: they come back as tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from analysis.sources.client import ClientStore
from analysis.sources.records import Folder
from analysis.tables import floor
from runner import store
from runner.ab import manifest
from runner.record import record
from runner.store import manifesttags
from tests.runner.store import olderserver
from tests.support.derive import typed
from tests.support.proxies import proxied
from tests.support.records import example_record

RECORDS = Path(__file__).resolve().parents[3] / "experiments" / "records"
(AB,) = RECORDS.glob("h200/ab-qwen2.5-7b-16384-*")


@pytest.fixture(params=["limits", pytest.param("2.9", marks=pytest.mark.stores)])
def older_uri(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The real server of today that refuses what 2.9 refuses, or 2.9 itself."""
    if request.param == "limits":
        made = proxied(request.getfixturevalue("http_uri"), olderserver.refusal)
    else:
        made = olderserver.of_2_9(tmp_path_factory.mktemp("older"))
    with made as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", f"older-{request.node.name}")
        yield uri


@pytest.mark.medium
def test_whatever_is_longer_than_a_tag_of_2_9_is_cut_or_in_pieces(older_uri: str) -> None:
    assert store.before_measuring(None) is None
    words = "wörter " * 2000
    measured = example_record(outcome={"message": words}) | {"reasons": [words]}
    client = MlflowClient(older_uri)
    run = client.get_run(store.commit(typed(measured), None))
    assert run.data.tags["reasons"] == run.data.tags["message"] == words[: olderserver.TAG_LENGTH]

    longer = manifest.read(AB / "ab.json")
    longer = replace(longer, blocks=longer.blocks * 20)
    summary = store.Summary({"ab/ratio": 1.0}, {"verdict_reason": words}, words, {"summary.md": words})
    committed = client.get_run(store.commit_comparison(longer, (1, 2), summary, None))
    assert committed.info.status == "FINISHED"
    assert manifesttags.manifest_from_tags(committed.data.tags, "it") == longer
    report = client.get_run(store.commit_report("report", summary, None))
    assert report.info.status == "FINISHED"


@pytest.mark.medium
def test_the_proxy_does_refuse_what_is_too_long(older_uri: str) -> None:
    client = MlflowClient(older_uri)
    run_id = client.create_run("0").info.run_id
    with pytest.raises(Exception, match=r"5001|exceed"):
        client.set_tag(run_id, "words", "x" * 5001)
    client.set_terminated(run_id)


@pytest.mark.stores
@pytest.mark.parametrize("older_uri", ["2.9"], indirect=True)
def test_committed_records_and_an_ab_come_back_as_tables(older_uri: str) -> None:
    imported = store.import_folder(AB)
    assert imported.refused == ()
    assert len(imported.comparisons) == 1
    assert len(imported.imported) == len(list(AB.glob("*.json"))) - 1
    found, expected = (source.frame(floor.METRICS) for source in (ClientStore(older_uri), Folder(AB)))
    assert floor.rows(found, every_code=True) == floor.rows(expected, every_code=True)
    assert found.manifests == expected.manifests
    first = next(path for path in sorted(AB.glob("*.json")) if path.name != "ab.json")
    assert store.commit(typed(record.read(first)), None) in imported.imported
