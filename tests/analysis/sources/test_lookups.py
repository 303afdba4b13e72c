"""A/Bs and their sessions, looked up in a store's tables."""

import pytest
from mlflow import MlflowClient

from analysis import ab
from analysis.sources import database, lookups
from analysis.sources.client import ClientStore
from analysis.sources.columns import CELL_COLUMNS, COMMITTED, ENVIRONMENT_COLUMNS, TAG, Text
from analysis.sources.records import Folder
from analysis.sources.store import Store


@pytest.mark.medium
def test_an_ab_has_its_own_run_in_every_store_and_none_in_records(folder, filled, postgresql):
    assert Folder(folder).frame(ab.NEEDED).ab_runs == {}
    assert Store(filled).frame(ab.NEEDED).record_files == {}
    stores = {filled: (Store(filled), Store(filled), ClientStore(filled)), postgresql: (Store(postgresql),)}
    for uri, sources in stores.items():
        client = MlflowClient(uri)
        experiments = [each.experiment_id for each in client.search_experiments()]
        (own,) = client.search_runs(experiments, "tags.ab != ''")
        for source in sources:  # of SQLite the second reads what the first kept
            for found in (source.frame(ab.NEEDED), source.compared(ab.NEEDED)):
                assert found.ab_runs == {own.data.tags["ab"]: own.info.run_id}
                assert [one.id for one in found.manifests] == [own.data.tags["ab"]]


@pytest.mark.medium
def test_an_ab_whose_session_is_gone_is_told(changeable):
    uri, connection = changeable
    frame = Store(uri).compared(ab.NEEDED)
    gone = frame.manifests[0].sessions[0].session
    connection.execute(
        f"UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid IN (SELECT run_uuid FROM tags "
        f"WHERE key = 'session' AND value = '{gone}')"
    )
    connection.commit()
    found, left_out = ab.from_frame(Store(uri).compared(ab.NEEDED))
    assert (found, len(left_out)) == ([], 1)
    assert f"1 of its sessions are missing ({gone})" in left_out[0]


def test_a_word_may_have_a_quotation_mark():
    assert lookups.listed(["a", "it's"]) == "'a', 'it''s'"
    assert lookups.listed([]) == ""


@pytest.mark.medium
def test_many_runs_are_looked_up_in_batches(filled, monkeypatch):
    columns = (*CELL_COLUMNS, *ENVIRONMENT_COLUMNS)
    with database.opened(filled) as opened:
        run_ids = lookups.runs_with_tag(opened, COMMITTED)["run_id"].sort().to_list()
        sessions = {f"session {number}": run_id for number, run_id in enumerate(run_ids)}
        at_once = lookups.words(opened, run_ids, columns), lookups.details(opened, sessions)
        monkeypatch.setattr(lookups, "RUNS_AT_ONCE", 3)
        assert (lookups.words(opened, run_ids, columns), lookups.details(opened, sessions)) == at_once
    words, details = at_once
    assert len(run_ids) > 2 * 3
    assert words.keys() == {*run_ids}
    assert {each["gpu"] for each in words.values()} == {"h200", "cpu"}
    assert {len(each.steps_ms) for each in details.values()} >= {0, 30}  # not measured, and of the paper's protocol


def test_a_run_without_a_word_has_the_usual_one(filled):
    columns = (Text("study", TAG, "study", "adhoc"), Text("gpu", TAG, "gpu"))
    with database.opened(filled) as opened:
        assert lookups.words(opened, ["nobody's"], columns) == {"nobody's": {"study": "adhoc", "gpu": None}}


def test_a_deleted_run_is_not_active(changeable):
    uri, connection = changeable
    with database.opened(uri) as opened:
        before = lookups.active_runs(opened)
    connection.execute("UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?", (before["run_id"][0],))
    connection.commit()
    with database.opened(uri) as opened:
        assert sorted(lookups.active_runs(opened)["run_id"]) == sorted(before["run_id"][1:])
