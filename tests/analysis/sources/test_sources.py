"""Sessions from records, from the tables of SQLite and PostgreSQL and through MLflow's client give the same."""

import shutil
import sqlite3
from pathlib import Path

import psycopg
import pytest
from mlflow import MlflowClient

from analysis import ab, commands, form
from analysis.sources import cache as sources_cache
from analysis.sources import database, sql
from analysis.sources.client import ClientStore
from analysis.sources.columns import METRIC_NAMES
from analysis.sources.records import Folder
from analysis.sources.selection import Selection
from analysis.sources.store import Store
from analysis.tables import budget, floor, graphs, papercheck, quant
from runner import registry
from runner.errors import BadRecord, BadValue, StoreUnreachable
from runner.record import metrics
from tests.support.stores import free_port

TABLES = {
    "floor": lambda source: floor.rows(source.frame(floor.METRICS), every_code=True),
    "graphs": lambda source: graphs.rows(ab.from_frame(source.compared(ab.NEEDED))[0]),
    "quant": lambda source: quant.rows(source.frame(quant.METRICS)),
    "budget": lambda source: budget.rows(source.frame(budget.METRICS)),
    "paper": lambda source: papercheck.rows(source.frame(papercheck.NEEDED)),
}

ROOT = Path(__file__).parents[3]
NO_FILTERS = {"gpu": None, "model": None, "study": None}


def texts(source):
    """Every table as JSON, to the byte."""
    return {name: form.json_text(rows(source)) for name, rows in TABLES.items()}


@pytest.fixture(scope="module")
def expected(folder):
    return texts(Folder(folder))


def test_every_metric_of_a_frame_has_its_name_in_mlflow():
    assert set(METRIC_NAMES.values()) <= {metric.name for metric in metrics.METRICS}


def test_the_examples_have_all_kinds_of_groups(expected):
    for kind in ('"status": "oom"', '"status": "infeasible"', '"valid": false', "mixed-host", '"gpu": "cpu"', '"ci95"'):
        assert kind in expected["floor"]
    assert '"verdict"' in expected["graphs"]
    assert '"quant": "gptq"' in expected["quant"]


def test_an_sqlite_store_gives_the_records_json(expected, filled):
    assert texts(Store(filled)) == expected  # from the tables
    assert texts(Store(filled)) == expected  # from the cache


def test_mlflows_client_gives_the_records_json(expected, filled):
    assert texts(ClientStore(filled)) == expected


@pytest.mark.slow
def test_postgresql_gives_the_records_json(expected, postgresql):
    assert texts(Store(postgresql)) == expected
    assert texts(ClientStore(postgresql)) == expected


@pytest.mark.slow
def test_a_tracking_server_gives_the_records_json(expected, server):
    source = Store(server)
    assert {name: form.json_text(TABLES[name](source)) for name in ("floor", "graphs")}.items() <= expected.items()


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


def test_details_are_the_same_by_every_way(folder, filled):
    sources = [Folder(folder), Store(filled), ClientStore(filled)]
    wanted = [f"{number:016x}" for number in (0, 10)]
    for source in sources:
        source.frame(("step_wall_ms", "session"))
    first, *others = [source.details(wanted) for source in sources]
    assert first.keys() == set(wanted)
    assert len(first[wanted[0]].steps_ms) == 30
    assert first[wanted[0]].params["environment.torch"]
    assert all(other == first for other in others)


def test_a_schema_that_is_not_known_is_read_through_mlflow(expected, filled, monkeypatch):
    monkeypatch.setattr(sql, "TESTED_REVISIONS", ("0123456789ab",))
    source = Store(filled)
    assert floor.rows(source.frame(floor.METRICS), every_code=True) == TABLES["floor"](ClientStore(filled))
    assert "this version knows the tables of schema 0123456789ab" in source.frame(floor.METRICS).notes[-1]
    assert texts(source) == expected


@pytest.mark.parametrize("older", ["", "DROP TABLE trace_info"], ids=["all tables", "without newer tables"])
def test_another_mlflows_schema_is_left_alone_and_the_advice_is_to_bring_a_copy_up_to_date(filled, tmp_path, older):
    uri = copied(filled, tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        store.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
        store.execute(older)
    before = (tmp_path / "mlflow.db").read_bytes()
    with pytest.raises(
        StoreUnreachable, match=r"schema 0123456789ab of another, .*here has the schema dc11669786a5"
    ) as caught:
        Store(uri).frame(floor.METRICS)
    assert str(caught.value).endswith("upgrade the copy with a newer MLflow: `mlflow db upgrade URI-OF-THE-COPY`")
    assert "start it" not in str(caught.value)
    assert (tmp_path / "mlflow.db").read_bytes() == before


@pytest.mark.parametrize("exists", [True, False])
def test_a_path_in_place_of_a_uri_is_told_which_uri_was_meant(tmp_path, exists):
    file = tmp_path / "store.db"
    if exists:
        file.touch()
    with pytest.raises(BadValue, match=f"is a path, not the URI .*: did you mean sqlite:///{file}[?]"):
        Store(str(file)).frame(floor.METRICS)


def test_a_long_cause_ends_with_a_whole_word(tmp_path):
    (tmp_path / "mlruns").mkdir()
    with pytest.raises(StoreUnreachable, match=r"\w …\): name another with --store"):  # MLflow's words on such folders
        Store(str(tmp_path / "mlruns")).frame(floor.METRICS)


def copied(uri, folder):
    """A copy of a store, to be changed."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as whole, sqlite3.connect(folder / "mlflow.db") as copy:
        whole.backup(copy)
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture
def changeable(filled, tmp_path):
    """A copy of the filled store, and an open connection that changes it."""
    uri = copied(filled, tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        yield uri, connection


def valid_sessions(uri):
    return sum(row.sessions for row in floor.rows(Store(uri).frame(floor.METRICS), every_code=True) if row.valid)


CHANGES = {
    "a deleted run": "UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid IN (SELECT run_uuid FROM tags "
    "WHERE key = 'session' AND value = '0000000000000000')",
    "a deleted experiment": "UPDATE experiments SET lifecycle_stage = 'deleted'",
    "an edited tag": "UPDATE tags SET value = 'false' WHERE key = 'valid' AND run_uuid IN (SELECT run_uuid FROM tags "
    "WHERE key = 'session' AND value = '0000000000000000')",
    "a run not wholly there": "DELETE FROM tags WHERE key = 'decode_floor.committed' AND run_uuid IN (SELECT run_uuid "
    "FROM tags WHERE key = 'session' AND value = '0000000000000000')",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_changed_store_is_noticed(changeable, change, journal):
    uri, connection = changeable
    connection.execute(f"PRAGMA journal_mode = {journal}")
    before = valid_sessions(uri)
    assert valid_sessions(uri) == before
    connection.execute(change)
    connection.commit()
    if "experiments" in change:
        with pytest.raises(BadRecord, match="no runs"):
            valid_sessions(uri)
    else:
        assert valid_sessions(uri) == before - 1


def test_an_unchanged_store_is_not_read_again(filled, monkeypatch):
    first = floor.rows(Store(filled).frame(floor.METRICS))

    def refuse(uri):
        raise AssertionError(f"{uri} was opened")

    monkeypatch.setattr(database, "opened", refuse)
    assert floor.rows(Store(filled).frame(floor.METRICS)) == first
    with pytest.raises(AssertionError):
        Store(filled).frame(budget.METRICS)  # other columns were not kept


def test_a_frame_that_other_code_made_is_not_taken(filled, tmp_path, monkeypatch):
    changed = tmp_path / "runs.py"
    changed.write_text("one")
    known = list(sources_cache.sources())
    monkeypatch.setattr(sources_cache, "sources", lambda: [*known, changed])
    before = sources_cache.entry(filled, "state", "sessions", floor.METRICS)
    assert sources_cache.entry(filled, "state", "sessions", floor.METRICS) == before
    changed.write_text("another")
    assert sources_cache.entry(filled, "state", "sessions", floor.METRICS) != before


def test_the_code_of_a_frame_is_all_of_its_own_and_what_it_takes_of_the_runner():
    files = set(sources_cache.sources())
    assert set((ROOT / "analysis" / "sources").glob("*.py")) <= files
    assert set((ROOT / "runner").rglob("*.py")) <= files
    assert ROOT / "runner" / "record" / "bounds.yaml" in files


def test_a_damaged_cache_is_none(filled, tmp_path):
    first = floor.rows(Store(filled).frame(floor.METRICS))
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        path.write_bytes(b"{")
    assert floor.rows(Store(filled).frame(floor.METRICS)) == first


def test_a_changed_postgresql_store_is_noticed(postgresql, monkeypatch):
    before = valid_sessions(postgresql)
    assert valid_sessions(postgresql) == before
    with psycopg.connect(postgresql) as connection:
        connection.execute(CHANGES["an edited tag"])
        assert valid_sessions(postgresql) == before  # not committed yet
        connection.commit()
        assert valid_sessions(postgresql) == before - 1
        connection.execute(CHANGES["an edited tag"].replace("'false'", "'true'"))
    assert valid_sessions(postgresql) == before
    monkeypatch.setattr(sql, "frame", None)  # an unchanged one is not read again
    assert valid_sessions(postgresql) == before


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
        assert [note.split(" that ")[0] for note in frame.notes] == ["1 runs", "1 sessions"]
        assert not {f"{0:016x}", f"{1:016x}"} & set(frame.sessions["session"])


def only_strangers(connection):
    connection.execute("DELETE FROM tags")
    connection.commit()


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


FILTERS = {
    "sessions, none of an A/B": ({"gpu": "cpu"}, BadRecord, "no A/B between runtimes"),
    "a study of no A/B": ({"study": "adhoc"}, BadRecord, "no A/B between runtimes"),
    "no such gpu": ({"gpu": "l4"}, BadValue, "has gpu l4: it has gpu cpu, h200; model qwen2.5-7b"),
    "no such study": ({"study": "none"}, BadValue, "has study none: it has gpu .*; study adhoc, cuda-graphs"),
}


@pytest.mark.parametrize(("wanted", "error", "said"), FILTERS.values(), ids=FILTERS)
def test_a_filter_that_leaves_no_ab_is_answered_by_all_sessions(folder, filled, postgresql, wanted, error, said):
    for source in (Folder(folder), Store(filled), Store(filled), ClientStore(filled), Store(postgresql)):
        asked = Selection(source, None, NO_FILTERS | wanted)
        with pytest.raises(error, match=said):
            commands.read(graphs.TABLE, asked)


OF_FIRST = "run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'session' AND value = '0000000000000000')"
"""A session of the group of five with an interval."""
OF_GPTQ = OF_FIRST.replace("'0000000000000000'", "'000000000000000a'")
"""The only session of its cell."""
WALL_KEY = "key = 'latency/step_wall_ms'"
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
        [f"UPDATE tags SET value = 'fused' WHERE key = 'kernel' AND {OF_FIRST}"],
        f"kernel fused is not known to this version ({', '.join(registry.kernel_names())}): use a newer version of "
        "this project",
    ),
    "an unknown runtime": (
        [f"UPDATE tags SET value = 'fused' WHERE key = 'runtime' AND {OF_GPTQ}"],
        "runtime fused is not known to this version (compile, eager, exllamav2, graph): use a newer version of this "
        "project",
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


def left_out_of_all_tables(source):
    """What each table leaves out; rows are made of the rest."""
    frames = [source.frame(asked) for asked in (floor.METRICS, quant.METRICS, budget.METRICS, papercheck.NEEDED)]
    floor.rows(frames[0], every_code=True)
    quant.rows(frames[1])
    budget.rows(frames[2])
    papercheck.rows(frames[3])
    ab.from_frame(source.compared(ab.NEEDED))
    lines = {frame.left_out for frame in frames}
    assert len(lines) == 1
    return lines.pop()


@pytest.fixture
def changeable_postgresql(postgresql, postgresql_uri):
    """A copy of the filled database, and an open connection that changes it."""
    with psycopg.connect(postgresql_uri, autocommit=True) as server:
        place, _, name = postgresql.rpartition("/")
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        server.execute(f"CREATE DATABASE changed TEMPLATE {name}")
        uri = f"{place}/changed"
        with psycopg.connect(uri) as connection:
            yield uri, connection
        server.execute("DROP DATABASE changed WITH (FORCE)")


@pytest.mark.parametrize(("changes", "fault"), CONTENTS.values(), ids=CONTENTS)
def test_a_session_that_no_row_can_be_made_of_is_named_and_left_out(changeable, changeable_postgresql, changes, fault):
    for uri, connection in (changeable, changeable_postgresql):
        which = OF_GPTQ if OF_GPTQ in changes[0] else OF_FIRST
        (run_id,) = connection.execute(which.removeprefix("run_uuid IN (").removesuffix(")")).fetchone()
        before = valid_sessions(uri)
        for change in changes:
            assert connection.execute(change).rowcount == 1
        connection.commit()
        assert left_out_of_all_tables(Store(uri)) == (f"run {run_id}: {fault}",)
        assert valid_sessions(uri) == before - 1
        if uri.startswith("sqlite"):  # MLflow's client reads both by the same code
            assert left_out_of_all_tables(ClientStore(uri)) == (f"run {run_id}: {fault}",)
            assert texts(ClientStore(uri)) == texts(Store(uri))


def test_a_run_of_before_there_was_the_tag_is_of_the_first_schema(changeable):
    uri, connection = changeable
    before = texts(Store(uri))
    connection.execute("DELETE FROM tags WHERE key = 'schema_version'")
    connection.commit()
    assert left_out_of_all_tables(Store(uri)) == left_out_of_all_tables(ClientStore(uri)) == ()
    assert texts(Store(uri)) == before


def test_a_cell_is_told_by_any_of_its_sessions(changeable):
    uri, connection = changeable
    before = texts(Store(uri))
    assert connection.execute(f"DELETE FROM tags WHERE key IN ('gpu', 'ctx') AND {OF_FIRST}").rowcount == 2
    connection.commit()
    assert texts(Store(uri)) == texts(ClientStore(uri)) == before


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


def test_a_step_that_is_no_number_is_not_drawn(changeable):
    uri, connection = changeable
    change = f"UPDATE metrics SET value = 0, is_nan = '1' WHERE key LIKE '%series%' AND step = 3 AND {OF_FIRST}"
    assert connection.execute(change).rowcount == 1
    connection.commit()
    for source in (Store(uri), ClientStore(uri)):
        source.frame(("step_wall_ms", "session"))
        assert len(source.details([f"{0:016x}"])[f"{0:016x}"].steps_ms) == 29


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


@pytest.mark.parametrize("source", [Store, ClientStore])
def test_a_store_without_a_session_of_ours_says_so(source, empty_sqlite, tmp_path):
    uri = copied(f"sqlite:///{empty_sqlite}", tmp_path)
    with pytest.raises(BadRecord, match="has no runs: measure with"):
        source(uri).frame(floor.METRICS)
    from mlflow import MlflowClient

    MlflowClient(uri).create_run("0")
    with pytest.raises(BadRecord, match="has 1 runs, none of them a session of this project"):
        source(uri).frame(floor.METRICS)


def test_a_store_that_is_not_there_or_none_says_so(tmp_path):
    with pytest.raises(BadRecord, match="there is no MLflow store"):
        Store(f"sqlite:///{tmp_path}/mlflow.db").frame(floor.METRICS)
    (tmp_path / "text.db").write_text("no database" * 100)
    with pytest.raises(StoreUnreachable, match="cannot be read"):
        Store(f"sqlite:///{tmp_path}/text.db").frame(floor.METRICS)


@pytest.fixture
def empty_postgresql(postgresql_uri):
    """A database without a table."""
    with psycopg.connect(postgresql_uri, autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty")
        yield f"{postgresql_uri.rpartition('/')[0]}/empty"
        connection.execute("DROP DATABASE empty WITH (FORCE)")


FOREIGN = {
    "nothing": ("", " yet, the database is empty: .*runner import"),
    "a table": ("CREATE TABLE foo (a INTEGER)", ", a database of another program: name a store"),
    "migrations of another program": (
        "CREATE TABLE runs (a INTEGER); CREATE TABLE alembic_version (version_num VARCHAR(32)); "
        "INSERT INTO alembic_version VALUES ('0123456789ab')",
        ", a database of another program: name a store",
    ),
}


@pytest.mark.parametrize("source", [Store, ClientStore])
@pytest.mark.parametrize(("made", "said"), FOREIGN.values(), ids=FOREIGN)
def test_a_database_of_something_else_is_not_written_to(source, made, said, tmp_path):
    file = tmp_path / "foreign.db"
    file.touch()
    with sqlite3.connect(file) as connection:
        connection.executescript(made)
    before = file.read_bytes()
    for read in (source(f"sqlite:///{file}").frame, source(f"sqlite:///{file}").compared):
        with pytest.raises(BadRecord, match=f"there is no MLflow store in sqlite:///{file}{said}"):
            read(ab.NEEDED)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["foreign.db"]


@pytest.mark.parametrize(("made", "said"), FOREIGN.values(), ids=FOREIGN)
def test_a_postgresql_database_of_something_else_is_not_written_to(made, said, empty_postgresql):
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"
    with psycopg.connect(empty_postgresql, autocommit=True) as connection:
        connection.execute(made or "SELECT 1")
        before = connection.execute(tables).fetchall()
        with pytest.raises(BadRecord, match=f"there is no MLflow store in .*/empty{said}") as caught:
            Store(empty_postgresql).frame(floor.METRICS)
        assert connection.execute(tables).fetchall() == before
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_is_away_is_one_line_without_the_password(scheme):
    uri = f"{scheme}://tester:se%40cret@127.0.0.1:{free_port()}/db"
    with pytest.raises(StoreUnreachable, match="cannot be read") as caught:
        Store(uri).frame(floor.METRICS)
    assert "\n" not in str(caught.value)
    assert "cret" not in str(caught.value)


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


@pytest.mark.parametrize("source", [Store, ClientStore])
def test_a_deleted_experiment_is_named_with_the_command_that_restores_it(source, changeable):
    uri, connection = changeable
    connection.execute(CHANGES["a deleted experiment"])
    connection.commit()
    restore = "the experiment decode-floor .id 1. is deleted: restore it with `mlflow experiments restore"
    for read in (source(uri).frame, source(uri).compared):
        with pytest.raises(BadRecord, match=f"has no runs of this project: {restore} --experiment-id 1`"):
            read(ab.NEEDED)


def test_an_ab_that_is_in_two_folders_is_shown_once(folder, tmp_path):
    (ab_folder,) = (path.parent for path in folder.rglob("ab.json"))
    for name in ("one", "two"):
        shutil.copytree(ab_folder, tmp_path / name)
    frame = Folder(tmp_path).compared(ab.NEEDED)
    assert len(frame.manifests) == 1
    said = f"{tmp_path}/two/ab.json: A/B {frame.manifests[0].id} is in another file as well"
    assert said in frame.left_out
