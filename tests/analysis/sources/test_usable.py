"""Sessions that no row can be made of are named and left out."""

import polars
import pytest

from analysis import ab
from analysis.sources import usable
from analysis.sources.client import ClientStore
from analysis.sources.store import Store
from analysis.tables import floor
from runner import registry
from tests.support.sources import OF_FIRST, OF_GPTQ, WALL_KEY, left_out_of_all_tables, texts, valid_sessions

CONTENTS = {
    "a newer schema": (
        [f"UPDATE tags SET value = '2' WHERE key = 'schema_version' AND {OF_FIRST}"],
        "its record is of schema 2, this version reads 1: use a newer version of this project",
    ),
    "an unknown quant": (
        [f"UPDATE tags SET value = 'fp8' WHERE key = 'quant' AND {OF_FIRST}"],
        "quant fp8 is not known to this version (awq, bf16, bnb-nf4, gptq): use a newer version of this project",
    ),
    "an unknown kernel": (
        [f"UPDATE tags SET value = 'warp' WHERE key = 'kernel' AND {OF_FIRST}"],
        f"kernel warp is not known to this version ({', '.join(registry.kernel_names())}): use a newer version of "
        "this project",
    ),
    "an unknown runtime": (
        [f"UPDATE tags SET value = 'warp' WHERE key = 'runtime' AND {OF_GPTQ}"],
        "runtime warp is not known to this version (compile, eager, exllamav2, fused, graph): use a newer version of "
        "this project",
    ),
    "an unknown dtype": (
        [f"UPDATE tags SET value = 'fp8' WHERE key = 'dtype' AND {OF_FIRST}"],
        "dtype fp8 is not known to this version (bf16, fp16, fp32): use a newer version of this project",
    ),
    "an unknown status": (
        [f"UPDATE tags SET value = 'paused' WHERE key = 'status' AND {OF_FIRST}"],
        "its status paused is not known to this version: use a newer version of this project",
    ),
    "no end": (
        [f"UPDATE runs SET end_time = NULL WHERE {OF_FIRST}"],
        "its run has no end (`python -m runner import` of its record closes it)",
    ),
    "no cell_key": ([f"DELETE FROM tags WHERE key = 'cell_key' AND {OF_FIRST}"], "it has no tag cell_key"),
    "no env_key": ([f"DELETE FROM tags WHERE key = 'env_key' AND {OF_FIRST}"], "it has no tag env_key"),
    "no gpu": ([f"DELETE FROM tags WHERE key = 'gpu' AND {OF_GPTQ}"], "it lacks gpu of its cell"),
    "no attention and a ctx that is no number": (
        [
            f"DELETE FROM params WHERE key = 'cell.attention' AND {OF_GPTQ}",
            f"UPDATE tags SET value = '2k' WHERE key = 'ctx' AND {OF_GPTQ}",
        ],
        "it lacks ctx, cell.attention of its cell",
    ),
    "no step": (
        [f"DELETE FROM latest_metrics WHERE {WALL_KEY} AND {OF_FIRST}"],
        "it is measured but has no number latency/step_wall_ms",
    ),
    "a step that is no number": (
        [f"UPDATE latest_metrics SET value = 0, is_nan = '1' WHERE {WALL_KEY} AND {OF_FIRST}"],
        "it is measured but has no number latency/step_wall_ms",
    ),
}


def damage(connection, changes):
    """Makes the changes and returns the run that they concern."""
    which = OF_GPTQ if OF_GPTQ in changes[0] else OF_FIRST
    (run_id,) = connection.execute(which.removeprefix("run_uuid IN (").removesuffix(")")).fetchone()
    for change in changes:
        assert connection.execute(change).rowcount == 1
    connection.commit()
    return run_id


@pytest.mark.medium
@pytest.mark.parametrize(("changes", "fault"), CONTENTS.values(), ids=CONTENTS)
def test_a_session_that_no_row_can_be_made_of_is_named_and_left_out(changeable, changes, fault):
    uri, connection = changeable
    before = valid_sessions(uri)
    run_id = damage(connection, changes)
    assert left_out_of_all_tables(Store(uri)) == (f"run {run_id}: {fault}",)
    assert valid_sessions(uri) == before - 1
    through_mlflow = ClientStore(uri).frame(floor.METRICS)
    assert through_mlflow.left_out == (f"run {run_id}: {fault}",)
    expected = floor.rows(Store(uri).frame(floor.METRICS), every_code=True)
    assert floor.rows(through_mlflow, every_code=True) == expected


@pytest.mark.medium
@pytest.mark.parametrize(("changes", "fault"), CONTENTS.values(), ids=CONTENTS)
def test_postgresql_names_it_as_well(changeable_postgresql, changes, fault):
    uri, connection = changeable_postgresql
    run_id = damage(connection, changes)
    assert Store(uri).frame(floor.METRICS).left_out == (f"run {run_id}: {fault}",)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["an unknown kernel", "no attention and a ctx that is no number"])
def test_it_is_left_out_of_all_tables_by_every_reader(changeable, changeable_postgresql, name):
    changes, fault = CONTENTS[name]
    for uri, connection in (changeable, changeable_postgresql):
        before = valid_sessions(uri)
        run_id = damage(connection, changes)
        for source in (Store(uri), ClientStore(uri)):
            assert left_out_of_all_tables(source) == (f"run {run_id}: {fault}",)
        assert valid_sessions(uri) == before - 1
    uri, _ = changeable
    assert texts(ClientStore(uri)) == texts(Store(uri))


@pytest.mark.medium
def test_a_cell_is_told_by_any_of_its_sessions(changeable):
    uri, connection = changeable
    before = texts(Store(uri))
    assert connection.execute(f"DELETE FROM tags WHERE key IN ('gpu', 'ctx') AND {OF_FIRST}").rowcount == 2
    connection.commit()
    assert texts(Store(uri)) == texts(ClientStore(uri)) == before


@pytest.mark.medium
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE tags SET value = '2' WHERE key = 'schema_version' AND {}",
        f"UPDATE latest_metrics SET value = 0, is_nan = '1' WHERE {WALL_KEY} AND {{}}",
        "UPDATE runs SET end_time = NULL WHERE {}",
    ],
)
def test_sessions_of_an_ab_that_cannot_be_used_are_named_by_the_graphs_table(changeable, changeable_postgresql, change):
    for uri, connection in (changeable, changeable_postgresql):
        (one,) = Store(uri).compared(ab.NEEDED).manifests
        ids = ", ".join(f"'{entry.session}'" for entry in one.sessions[:4])
        of_four = f"run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'session' AND value IN ({ids}))"
        assert connection.execute(change.format(of_four)).rowcount == 4
        (first,) = connection.execute(f"SELECT MIN(run_uuid) FROM tags WHERE {of_four}").fetchone()
        connection.commit()
        for source in (Store(uri), ClientStore(uri)):
            frame = source.compared(ab.NEEDED)
            (line,) = frame.left_out
            assert line.startswith(f"4 runs, the first run {first}: ")
            assert "4 of its sessions are missing" in ab.from_frame(frame)[1][0]


def test_more_than_three_runs_with_one_fault_have_one_line():
    def lines(*pairs):
        return usable.lines(
            polars.DataFrame(pairs, schema={"run_id": polars.String, "fault": polars.String}, orient="row")
        )

    three = [(name, "no end") for name in "cab"]
    assert lines(*three) == ["run a: no end", "run b: no end", "run c: no end"]
    assert lines(*three, ("d", "no end"), ("e", "no ctx")) == ["run e: no ctx", "4 runs, the first run a: no end"]
    assert lines((None, "no end")) == ["a record: no end"]


def test_the_words_of_a_key_are_those_of_its_first_session_and_a_session_without_a_key_has_none():
    rows = polars.DataFrame({"env_key": [None, "e", "e", "f"], "row": [0, 1, 2, 3]})
    words = usable.words_by_key(
        rows, "env_key", lambda numbers: {number: {"torch": f"t{number}"} for number in numbers}
    )
    assert words == {"e": {"torch": "t1"}, "f": {"torch": "t3"}}
