"""The commands: where their sessions come from, filters, forms, and one line for whatever is wrong."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import commands
from runner.record import record
from tests.support.commands import command
from tests.support.records import example_record
from tests.support.stores import free_port

ROOT = Path(__file__).parents[2]
RECORDS = "experiments/records"
COMMANDS = ("floor", "graphs", "quant", "budget", "paper", "claims", "differences")


def by_process(*arguments, **environment):
    """A command in a process of its own."""
    command = [sys.executable, "-m", "analysis", *arguments]
    own = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=120)


def refused(*arguments, prints=None, **environment):
    """The one line of a command that fails. If `prints` is given, it must be all of the command's output."""
    return refusal(command(*arguments, **environment), prints)


def refusal(done, prints=None):
    assert prints in (None, done.stdout)
    assert done.returncode not in (0, 1, 2), done.stderr
    assert "Traceback" not in done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith("error: ")
    return last


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A folder with a record that the command has imported into the folder's embedded store."""
    folder = tmp_path_factory.mktemp("imported")
    record.write(example_record(), folder / "records" / "one.json")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-m", "runner", "import", "records"]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return folder


@pytest.fixture
def store(imported, tmp_path):
    """A copy of that store, to be changed, with the record beside it; its URI."""
    shutil.copytree(imported, tmp_path, dirs_exist_ok=True)
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.slow
def test_the_embedded_store_is_the_default_and_gives_what_the_records_give(store, tmp_path):
    named = command("floor", "--store", store, "--format", "json", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert json.loads(named.stdout)[0]["sessions"] == 1
    default = by_process("floor", "--format", "json", MLFLOW_TRACKING_URI=store, XDG_CACHE_HOME=str(tmp_path / "cache"))
    records = command("floor", "--format", "json", "--records", str(tmp_path / "records"))
    assert named.stdout == default.stdout == records.stdout


@pytest.mark.medium
@pytest.mark.parametrize("table", COMMANDS)
def test_without_a_store_it_says_how_to_get_one(table, tmp_path):
    said = refused(table, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/mlflow.db")
    assert "there is no MLflow store" in said
    assert "runner import" in said


@pytest.mark.slow
def test_filters_choose_and_one_that_leaves_nothing_says_what_there_is():
    rows = json.loads(command("floor", "--records", RECORDS, "--model", "qwen2.5-7b", "--format", "json").stdout)
    assert {row["model"] for row in rows} == {"qwen2.5-7b"}
    rows = json.loads(command("floor", "--records", RECORDS, "--study", "cuda-graphs", "--format", "json").stdout)
    assert {row["runtime"] for row in rows} >= {"eager", "graph"}
    assert {row["cache"] for row in rows} == {"static"}
    assert "has gpu l4: it has gpu h100, h200; model llama-3.1-8b, mistral-7b, qwen2.5-0.5b, qwen2.5-7b" in refused(
        "floor", "--records", RECORDS, "--gpu", "l4"
    )
    assert "study nothing" in refused("graphs", "--records", RECORDS, "--study", "nothing")


@pytest.mark.slow
@pytest.mark.parametrize("table", ["floor", "quant"])
def test_a_price_of_ones_own_is_taken_and_a_wrong_one_refused(table):
    def dollars(*prices):
        printed = command(table, "--records", RECORDS, "--gpu", "h200", "--format", "json", *prices).stdout
        return [row["usd_per_mtok"] for row in json.loads(printed) if row.get("gpu") == "h200" and row["valid"]]

    listed, own = dollars(), dollars("--price", "h200=7", "--price", "l4=0.35")
    assert own == pytest.approx([2 * price for price in listed])  # the catalogue's price is 3.50 $ an hour
    assert "unknown GPU 'h20'; did you mean h200?" in refused(table, "--records", RECORDS, "--price", "h20=1")


def test_two_parts_of_a_table_are_one_too_many():
    said = refused("differences", "--launches", "--contrasts", "--records", RECORDS, prints="")
    assert said == "error: --contrasts and --launches are parts of one table: name one of them, or none for all"


@pytest.mark.medium
@pytest.mark.parametrize("table", ["paper", "claims", "differences"])
def test_a_filtered_table_of_what_is_missing_says_that_it_was_filtered(table):
    note = "note: only sessions of gpu h200 were read: others may be recorded, too"
    assert note in command(table, "--records", RECORDS, "--gpu", "h200").stderr.splitlines()
    assert "were read" not in command(table, "--records", RECORDS).stderr


@pytest.mark.slow
def test_auto_is_no_filter():
    every = command("quant", "--records", RECORDS, "--format", "json").stdout
    auto = ("--gpu", "auto", "--model", "auto", "--study", "auto")
    assert command("quant", "--records", RECORDS, "--format", "json", *auto).stdout == every


@pytest.mark.medium
def test_two_sources_are_one_too_many():
    assert "exclude each other" in refused("floor", "--records", RECORDS, "--store", "sqlite:///mlflow.db")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_is_away_is_one_line(scheme):
    said = refused("floor", "--store", f"{scheme}://tester:se%40cret@127.0.0.1:{free_port()}/db")
    assert "cannot be read" in said
    assert "cret" not in said


@pytest.mark.slow
def test_a_store_of_others_is_one_line(empty_sqlite, tmp_path):
    shutil.copy(empty_sqlite, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert "has no runs" in refused("budget", "--store", uri)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute(
            "INSERT INTO runs (run_uuid, name, source_type, entry_point_name, user_id, status, start_time, "
            "lifecycle_stage, artifact_uri, experiment_id) "
            "VALUES ('a', 'x', 'LOCAL', '', 'me', 'FINISHED', 1, 'active', '', 0)"
        )
    assert "has 1 run, none of them a session of this project" in refused("budget", "--store", uri)


@pytest.mark.slow
def test_a_store_of_another_revision_is_one_line(store, tmp_path):
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
    said = refused("floor", "--store", store, XDG_CACHE_HOME=str(tmp_path / "other"))
    assert "schema 0123456789ab of another, most likely newer MLflow" in said


@pytest.mark.medium
def test_an_unknown_table_is_told_all_that_it_can_be():
    said = refused("tables", "--table", "nonsense")
    assert "(allowed: floor, " in said
    assert ", paper, claims, " in said
    assert said.endswith(", report)")


@pytest.mark.medium
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('"schema_version": 1', '"schema_version": 2'), "this version reads 1"),
        (lambda text: text[: len(text) // 2], "not a complete JSON file"),
        (lambda text: text.replace('"valid": true', '"valid": false'), "valid"),
    ],
)
def test_a_record_that_is_newer_damaged_or_wrong_is_named(tmp_path, change, said):
    record.write(example_record(), tmp_path / "good.json")
    other = example_record(session={"id": "f" * 16})
    record.write(other, tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text(change((tmp_path / "bad.json").read_text()))
    done = command("floor", "--records", str(tmp_path), "--format", "json")
    assert done.returncode == 24
    assert json.loads(done.stdout)[0]["sessions"] == 1
    named, last = done.stderr.splitlines()
    assert named.startswith(f"left out {tmp_path}/bad.json")
    assert said in named
    assert last.startswith("error: files or runs are left out of the table")


@pytest.mark.medium
@pytest.mark.parametrize("table", [*COMMANDS, "report"])
def test_a_folder_of_nothing_but_damaged_records_is_named_by_every_command(table, tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "bad.json").write_text("{")
    out = ("--out", str(tmp_path / "report")) if table == "report" else ()
    done = command(table, "--records", str(tmp_path / "records"), *out)
    assert done.returncode == 24
    named = "records" if table == "report" else f"{tmp_path}/records"  # a report's lines are for its page, too
    assert done.stderr.splitlines()[0].startswith(f"left out {named}/bad.json: not a complete JSON file")


@pytest.mark.slow
@pytest.mark.parametrize("table", [*COMMANDS, "report"])
def test_a_session_that_this_version_cannot_use_is_named_by_every_command(table, store, tmp_path):
    """The only one of its store, so that nothing is left for a table."""
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("UPDATE tags SET value = 'fp8' WHERE key = 'quant'")
        (run_id,) = database.execute("SELECT run_uuid FROM tags WHERE key = 'quant'").fetchone()
    out = ("--out", str(tmp_path / "report")) if table == "report" else ()
    done = command(table, "--store", store, *out, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.returncode == 24
    if table != "graphs":  # it reads the sessions of A/Bs, and here is none
        assert done.stderr.startswith(f"left out run {run_id}: quant fp8 is not known to this version")


@pytest.mark.medium
def test_a_python_without_the_packages_is_told_how_to_get_them(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['polars'] = None\n")
    said = refusal(by_process("floor", "--records", RECORDS, PYTHONPATH=str(tmp_path)))
    assert "lacks the package polars" in said
    assert "source .venv/bin/activate" in said


@pytest.mark.slow
def test_a_figure_that_cannot_be_written_is_one_line(tmp_path):
    place = tmp_path / "missing" / "graphs.svg"
    said = refused("graphs", "--records", RECORDS, "--figure", str(place), prints="")
    reason = f"there is no folder {tmp_path}/missing"
    assert said == f"error: {place} cannot be written ({reason}): name another file with --figure"
    (tmp_path / "missing").touch()
    assert refused("graphs", "--records", RECORDS, "--figure", str(place), prints="").startswith(f"error: {place} ")


@pytest.mark.slow
def test_a_figure_with_the_name_of_another_kind_of_picture_is_refused(tmp_path):
    place = tmp_path / "graphs.png"
    said = refused("graphs", "--records", RECORDS, "--figure", str(place), prints="")
    assert said == f"error: {place} would be an SVG file: give --figure a name that ends with .svg"
    assert not place.exists()


@pytest.mark.medium
def test_a_table_without_anything_to_draw_is_printed_all_the_same(tmp_path):
    record.write(example_record(), tmp_path / "records" / "one.json")
    done = command("quant", "--records", str(tmp_path / "records"), "--figure", str(tmp_path / "quant.svg"))
    assert (done.returncode, (tmp_path / "quant.svg").exists()) == (0, False)
    assert "note: nothing to draw in" in done.stderr
    assert "| gpu |" in done.stdout


def test_a_run_keeps_markdown_of_a_table_that_a_terminal_shows_as_text():
    assert [commands.kept_form(form) for form in (commands.TEXT, "md", "csv")] == ["md", "md", "csv"]
    assert [commands.chosen_form(form) for form in (commands.AUTO, "json")] == ["md", "json"]  # here is no terminal
