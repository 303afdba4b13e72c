"""Sessions that are in a store more than once count once, and not at all where their runs differ."""

import sqlite3

import polars
import pytest

from analysis.sources import repeated
from analysis.sources.client import ClientStore
from analysis.sources.store import Store
from analysis.tables import floor
from tests.support.sources import left_out_of_all_tables, texts, valid_sessions


def copy_run(connection, run_id, copy):
    """The same run once more, in another experiment, as an import under another name would have left it."""
    for table in ("runs", "tags", "params", "latest_metrics", "metrics"):
        cursor = connection.execute(f"SELECT * FROM {table} WHERE run_uuid = '{run_id}'")
        rows, names = cursor.fetchall(), [column[0] for column in cursor.description]
        at, mark = names.index("run_uuid"), "?" if isinstance(connection, sqlite3.Connection) else "%s"
        for row in rows:
            values = [copy if index == at else value for index, value in enumerate(row)]
            if table == "runs":
                values[names.index("experiment_id")] = 0
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join([mark] * len(names))})", values)


def runs_with(connection, key):
    found = connection.execute(f"SELECT run_uuid FROM tags WHERE key = '{key}' ORDER BY run_uuid").fetchall()
    return [run_id for (run_id,) in found]


TWICE = "16 sessions are in the store in more than one run: each counts once, by the run that began first"


@pytest.mark.slow
def test_a_session_that_is_in_two_runs_counts_once(changeable, changeable_postgresql, expected):
    for uri, connection in (changeable, changeable_postgresql):
        sessions = runs_with(connection, "session")
        for index, run_id in enumerate((*sessions, *runs_with(connection, "ab"))):
            copy_run(connection, run_id, f"{index:032x}")  # before the others by id
        connection.commit()
        sources = (Store(uri), Store(uri), ClientStore(uri)) if uri.startswith("sqlite") else (Store(uri),)
        note = TWICE.replace("16", str(len(sessions)))
        for source in sources:
            assert texts(source) == expected
            frame = source.frame((*floor.METRICS, "session"))
            assert (frame.notes, frame.left_out) == ((note,), ())
            assert max(frame.sessions["run_id"]) < f"{len(sessions):032x}"
            assert [int(run_id, 16) for run_id in frame.ab_runs.values()] == [len(sessions)]
            assert len(source.details([f"{0:016x}"])[f"{0:016x}"].steps_ms) == 30


@pytest.mark.medium
def test_a_session_whose_runs_differ_counts_not_at_all(changeable):
    uri, connection = changeable
    (run_id,) = connection.execute("SELECT run_uuid FROM tags WHERE value = '0000000000000000'").fetchone()
    before, copy = valid_sessions(uri), "0" * 32
    copy_run(connection, run_id, copy)
    connection.execute(f"UPDATE tags SET value = 'x' WHERE key = 'decode_floor.committed' AND run_uuid = '{copy}'")
    connection.commit()
    said = "its session 0000000000000000 is in another run with other content"
    for source in (Store(uri), ClientStore(uri)):
        lines = left_out_of_all_tables(source)
        assert [line.split(":")[0] for line in lines] == [f"run {copy}", f"run {run_id}"]
        assert all(said in line for line in lines)
    assert valid_sessions(uri) == before - 1


ROWS = polars.DataFrame(
    {"row": [0, 1, 2, 3], "session": ["a", "a", "b", "c"], "run_id": ["r0", "r1", "r2", "r3"]},
    schema_overrides={"row": polars.UInt32},
)


def of_digests(*digests):
    """A function of the rows with these digests, the first rows."""
    return lambda rows: {row: {"digest": digests[row]} for row in rows}


def test_of_equal_runs_the_first_counts():
    remaining, faults, notes = repeated.unrepeated(ROWS, of_digests("x", "x"))
    assert remaining["run_id"].to_list() == ["r0", "r2", "r3"]
    assert len(faults) == 0
    assert notes == (TWICE.replace("16 sessions are", "1 session is"),)


def test_of_runs_that_differ_each_is_a_fault():
    remaining, faults, notes = repeated.unrepeated(ROWS, of_digests("x", "y"))
    assert remaining["run_id"].to_list() == ["r2", "r3"]
    said = "its session a is in another run with other content: compare their record.json, and delete the wrong run"
    assert faults.rows() == [("r0", said), ("r1", said)]
    assert notes == ()


def test_where_no_session_is_repeated_no_digest_is_read():
    remaining, faults, notes = repeated.unrepeated(ROWS[1:], lambda _: pytest.fail("digests were read"))
    assert (remaining["run_id"].to_list(), len(faults), notes) == (["r1", "r2", "r3"], 0, ())
