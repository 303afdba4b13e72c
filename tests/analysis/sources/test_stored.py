"""The messages about a store without sessions, and about runs that no table shows."""

import pytest

from analysis import ab
from analysis.sources import stored
from analysis.sources.client import ClientStore
from analysis.sources.selection import Selection
from analysis.sources.store import Store
from analysis.tables import floor
from runner.errors import BadRecord, GpuNotFound
from runner.store import EntryRun
from tests.support.sources import CHANGES, NO_FILTERS, copied


@pytest.mark.medium
def test_other_runs_are_counted_and_not_shown(changeable):
    uri, connection = changeable
    connection.execute(
        "DELETE FROM tags WHERE key IN ('session', 'decode_floor.committed') AND "
        "run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'session' AND value = '0000000000000000')"
    )
    connection.execute(
        "DELETE FROM tags WHERE key = 'decode_floor.committed' AND run_uuid IN (SELECT run_uuid FROM "
        "tags WHERE key = 'session' AND value = '0000000000000001')"
    )
    connection.commit()
    for source in (Store(uri), ClientStore(uri)):
        frame = source.frame((*floor.METRICS, "session"))
        assert [note.split(" that ")[0] for note in frame.notes] == ["1 run", "1 session"]
        assert not {f"{0:016x}", f"{1:016x}"} & set(frame.sessions["session"])


def only_strangers(connection):
    connection.execute("DELETE FROM tags")
    connection.commit()


@pytest.mark.medium
@pytest.mark.parametrize("source", [Store, ClientStore])
def test_the_graphs_table_says_of_a_stores_other_runs_what_every_table_says(source, changeable):
    uri, connection = changeable
    connection.execute(CHANGES["a run not wholly there"])
    connection.commit()
    assert source(uri).compared(ab.NEEDED).notes == source(uri).frame(floor.METRICS).notes != ()
    only_strangers(connection)
    for asked in (Selection(source(uri), uri, NO_FILTERS), Selection(source(uri), uri, NO_FILTERS | {"gpu": "h200"})):
        for read in (asked.frame, asked.compared):
            with pytest.raises(BadRecord, match=r"has \d+ runs, none of them a session of this project"):
                read(ab.NEEDED)


@pytest.mark.medium
@pytest.mark.parametrize("source", [Store, ClientStore])
def test_a_store_without_a_session_of_ours_says_so(source, empty_sqlite, tmp_path):
    uri = copied(f"sqlite:///{empty_sqlite}", tmp_path)
    with pytest.raises(BadRecord, match="has no runs: measure with"):
        source(uri).frame(floor.METRICS)
    from mlflow import MlflowClient

    MlflowClient(uri).create_run("0")
    with pytest.raises(BadRecord, match="has 1 run, none of them a session of this project"):
        source(uri).frame(floor.METRICS)


@pytest.mark.medium
@pytest.mark.parametrize("source", [Store, ClientStore])
def test_a_failed_request_of_ours_is_not_a_run_of_others(source, changeable, monkeypatch):
    from mlflow import MlflowClient

    uri, _ = changeable
    client = MlflowClient(uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    EntryRun(client.create_run("0").info.run_id).fail(GpuNotFound("this machine has no L4"))
    assert source(uri).frame(floor.METRICS).notes == ()
    client.create_run("0")
    assert source(uri).frame(floor.METRICS).notes == ("1 run that is not a session of this project",)


@pytest.mark.medium
@pytest.mark.parametrize("source", [Store, ClientStore])
def test_a_deleted_experiment_is_named_with_the_command_that_restores_it(source, changeable):
    uri, connection = changeable
    connection.execute(CHANGES["a deleted experiment"])
    connection.commit()
    restore = "the experiment decode-floor .id 1. is deleted: restore it with `mlflow experiments restore"
    for read in (source(uri).frame, source(uri).compared):
        with pytest.raises(BadRecord, match=f"has no runs of this project: {restore} --experiment-id 1`"):
            read(ab.NEEDED)


def test_a_store_with_a_session_is_not_searched_for_deleted_experiments():
    stored.check_sessions("a store", 1, 5, 0, lambda: pytest.fail("searched"))


def test_runs_that_no_table_shows_are_noted_by_kind_and_none_where_there_are_none():
    assert stored.source_notes(0, 0) == ()
    assert stored.source_notes(2, 0) == ("2 runs that are not sessions of this project",)
    (note,) = stored.source_notes(0, 3)
    assert note.startswith("3 sessions that are incomplete in the store")
