"""The command: its forms, filters and refusals, and the file that --fit writes."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from analysis import cli
from analysis.prediction import constants
from runner.errors import BadRecord, BadValue, NotAvailable, UnknownName
from runner.record import record
from tests.support.predictions import RECORDS
from tests.support.records import example_record


def run(*arguments):
    return CliRunner().invoke(cli.main, ["predict", *arguments])


def refused(*arguments):
    done = run(*arguments)
    assert done.exception is not None
    return done.exception


def test_a_quant_is_predicted_on_a_gpu_in_each_form():
    arguments = ("--gpu", "l4", "--model", "qwen2.5-7b", "--quant", "gptq")
    rows = json.loads(run(*arguments, "--format", "json").stdout)
    assert {row["quant"] for row in rows} == {"gptq"}
    assert {row["basis"] for row in rows} == {"untested"}
    assert [row["step_ms"] for row in rows] == sorted(row["step_ms"] for row in rows)
    assert [row["kernel"] for row in csv.DictReader(io.StringIO(run(*arguments, "--format", "csv").stdout))] == [
        row["kernel"] for row in rows
    ]
    assert run(*arguments).stdout.count("| gptq |") == len(rows)


def test_kernel_and_runtime_select_rows():
    (row,) = json.loads(run("--gpu", "h200", "--kernel", "exllamav2", "--runtime", "graph", "--format", "json").stdout)
    assert (row["kernel"], row["runtime"], row["ctx"]) == ("exllamav2", "graph", 2048)


def test_rows_that_fit_come_first():
    rows = json.loads(run("--gpu", "l4", "--model", "llama-3.1-8b", "--ctx", "65536", "--format", "json").stdout)
    fits = [row["needed_bytes"] <= row["memory_bytes"] for row in rows]
    assert fits == sorted(fits, reverse=True)
    assert len(set(fits)) == 2


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((), BadValue, "give exactly one of --gpu, --constants, --check and --fit"),
        (("--gpu", "l4", "--check"), BadValue, "give exactly one of"),
        (("--gpu", "l4", "--quant", "gtpq"), UnknownName, "unknown quant 'gtpq'; did you mean gptq?"),
        (("--gpu", "l4", "--kernel", "none"), UnknownName, "unknown kernel 'none'"),
        (("--gpu", "l4", "--runtime", "graphs"), UnknownName, "unknown runtime 'graphs'; did you mean graph?"),
        (
            ("--gpu", "l4", "--quant", "gptq", "--runtime", "compile"),
            NotAvailable,
            "no constants for quant=gptq runtime=compile on l4: no record has it; covered are awq ",
        ),
        (("--gpu", "l4", "--ctx", "-3"), BadValue, "ctx=-3: choose a context"),
        (("--constants", "--format", "csv"), BadValue, "several tables"),
        (("--check", "--quant", "gptq"), BadValue, "--quant does not go with --check: leave it out"),
        (("--constants", "--model", "tiny"), BadValue, "--model does not go with --constants"),
        (("--fit", "--format", "json"), BadValue, "--format does not go with --fit"),
        (("--gpu", "l4", "--records", "."), BadValue, "--records does not go with --gpu"),
    ],
)
def test_bad_input_is_refused_in_one_line(arguments, error, text):
    caught = refused(*arguments)
    assert isinstance(caught, error)
    assert text in str(caught)
    assert "\n" not in str(caught)


@pytest.mark.parametrize("aim", ["--check", "--fit"])
def test_without_records_the_option_that_names_them_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aim: str):
    monkeypatch.chdir(tmp_path)
    caught = refused(aim)
    assert isinstance(caught, BadValue)
    assert str(caught) == "experiments/records: no such folder of records: name a folder of records with --records"


def test_the_constants_are_printed():
    assert "**hopper** (compute capability 9.0)" in run("--constants").stdout
    assert json.loads(run("--constants", "--format", "json").stdout)["architectures"][0]["capability"] == "9.0"


@pytest.mark.slow
def test_the_check_prints_rows_and_summary():
    text = run("--check").stdout
    assert "**Summary**" in text
    assert "- Within a measured architecture: " in text
    rows = json.loads(run("--check", "--format", "json").stdout)
    assert {row["kind"] for row in rows} == {"gpu", "model", "layers", "paper"}


@pytest.mark.medium
def test_a_fit_is_written_to_the_file_of_the_constants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    records = tmp_path / "records"
    records.mkdir()
    for path in (RECORDS / "h200").glob("*-8b-2048-bf16-graph-*.json"):
        shutil.copy(path, records)
    monkeypatch.setattr(constants, "PATH", tmp_path / "constants.yaml")
    done = run("--fit", "--records", str(records))
    assert done.stdout == f"{tmp_path / 'constants.yaml'}\n"
    (known,) = constants.read(tmp_path / "constants.yaml").architectures
    assert (known.gpus, len(known.rows)) == ({"h200": 4800}, 1)
    monkeypatch.setattr(constants, "PATH", tmp_path / "missing" / "constants.yaml")
    assert "cannot be written" in str(refused("--fit", "--records", str(records)))


@pytest.mark.medium
def test_nothing_is_fitted_if_a_record_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (source, *_) = (RECORDS / "h200").glob("llama-3.1-8b-2048-bf16-graph-*.json")
    shutil.copy(source, tmp_path)
    record.write(example_record(), tmp_path / "0.json")
    (tmp_path / "0.json").write_text("{}")
    monkeypatch.setattr(constants, "PATH", tmp_path / "constants.yaml")
    assert isinstance(refused("--fit", "--records", str(tmp_path)), BadRecord)
    assert not (tmp_path / "constants.yaml").exists()


@pytest.mark.medium
def test_records_without_a_usable_row_are_refused(tmp_path: Path):
    record.write(example_record(), tmp_path / "0.json")
    caught = refused("--check", "--records", str(tmp_path))
    assert isinstance(caught, BadValue)
    assert "no valid record of a catalogued GPU there" in str(caught)
