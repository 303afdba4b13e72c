"""The comparison of a session with recorded ones, as the command prints it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from analysis import cli
from runner import store
from runner.errors import BadRecord, BadValue, DecodeFloorError
from runner.record import record
from tests.support.hostconditions import busy
from tests.support.records import as_session, example_record

COMMITTED = Path(__file__).parents[2] / "experiments" / "records" / "h200"
SUBJECT = "qwen2.5-7b-2048-bf16-compile-static-mode=reduce-overhead-1-70bdd0edfd324fa8.json"
EARLIER = "qwen2.5-7b-2048-bf16-compile-static-mode=reduce-overhead-0-54e6d913a472451e.json"
EAGER = "qwen2.5-7b-2048-bf16-eager-dynamic-sdpa=flash-0-3e88a165c1054e05.json"
OTHER_CTX = "qwen2.5-7b-4096-bf16-eager-dynamic-0-78fec5adabcb4bc9.json"


def copy(name: str, folder: Path, age: int) -> None:
    """Copies a committed record; the largest age is the newest file."""
    shutil.copy(COMMITTED / name, folder)
    os.utime(folder / name, (age, age))


def write(folder: Path, number: int, step_ms: float, **changes: Any) -> Path:
    """Writes session `number`, begun that many hours after the first, under the name that the runner gives it."""
    made = as_session(example_record(step_ms=step_ms, **changes), number, later_ms=number * 3_600_000)
    path = folder / f"qwen2.5-7b-2048-bf16-eager-static-{number}-{made['session']['id']}.json"
    record.write(made, path)
    os.utime(path, (number, number))
    return path


def compare(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.main, ["compare", *map(str, arguments)])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """The folder of the session, and that of recorded ones."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "records").mkdir()
    return tmp_path / "spool", tmp_path / "records"


@pytest.mark.medium
def test_the_newest_session_is_beside_the_recorded_runtimes_of_its_gpu_model_ctx_and_quant(
    folders: tuple[Path, Path],
) -> None:
    spool, records = folders
    copy(EARLIER, spool, 1)
    copy(SUBJECT, spool, 2)
    copy(EAGER, records, 3)
    copy(OTHER_CTX, records, 5)
    done = compare("--spool", spool, "--records", records)
    assert (done.exit_code, done.stderr) == (0, ""), done.exception
    assert done.stdout.splitlines() == [
        "This session (compile, 6.525 ms) and recorded ones of h200 qwen2.5-7b 2048 bf16:",
        "  recorded                                         ms/step  this session   sessions  host          flags",
        # 6.572 / 6.525 = 1.01;  18.408 / 6.525 = 2.82
        "  compile cublas static bf16 mode:reduce-overhead    6.572  1.01x as fast         1  this host     gate-1",
        "  eager cublas dynamic bf16 sdpa:flash              18.408  2.82x as fast         1  another host  drifting",
    ]


@pytest.mark.medium
def test_a_session_that_is_committed_as_well_counts_once(folders: tuple[Path, Path]) -> None:
    spool, records = folders
    for folder in folders:
        write(folder, 1, 40.0)
        write(folder, 2, 30.0)
    lines = compare("--spool", spool, "--records", records).stdout.splitlines()
    assert len(lines) == 3
    assert lines[2].split()[8] == "1"


@pytest.mark.medium
def test_without_a_recorded_session_that_is_said(folders: tuple[Path, Path]) -> None:
    path = write(folders[0], 1, 40.0)
    copy(OTHER_CTX, folders[1], 1)
    done = compare("--spool", path, "--records", folders[1])
    assert (done.exit_code, done.stdout) == (
        0,
        "No other session of h200 qwen2.5-7b 2048 bf16 is recorded: nothing to compare with.\n",
    )


@pytest.mark.medium
def test_a_folder_without_a_record_of_this_project_is_refused_with_one_code(folders: tuple[Path, Path]) -> None:
    spool, records = folders
    arguments = ("--spool", write(spool, 1, 40.0), "--records")
    refused = compare(*arguments, records).exception
    assert isinstance(refused, BadValue)
    assert str(refused).startswith(f"{records}: no records (*.json) there: name a folder of records with --records")
    (records / "foreign.json").write_text("{}")
    refused = compare(*arguments, records).exception
    assert isinstance(refused, BadValue)
    assert str(refused).startswith(
        f"{records}: no usable record there: {records}/foreign.json: not a record of this project (no schema_version): "
    )
    refused = compare(*arguments, records / "foreign.json").exception
    assert isinstance(refused, BadValue)
    assert "foreign.json is a file, not a folder of records" in str(refused)


@pytest.mark.medium
def test_outside_a_checkout_the_folder_of_the_session_is_compared(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(folders[0], 1, 40.0)
    write(folders[0], 2, 30.0)
    done = compare()
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 3)


@pytest.mark.medium
def test_a_damaged_record_is_counted_in_a_note(folders: tuple[Path, Path]) -> None:
    spool, records = folders
    write(records, 1, 40.0).write_text("{}")
    copy(OTHER_CTX, records, 1)
    write(spool, 2, 30.0)
    done = compare("--spool", spool, "--records", records)
    assert (done.exit_code, done.stderr) == (
        0,
        "note: 1 record not compared: `python -m runner verify FOLDER` says why\n",
    )


@pytest.mark.slow
def test_the_newest_session_of_a_store_is_compared_with_its_others(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, records = folders
    copy(EARLIER, spool, 1)
    copy(SUBJECT, spool, 2)
    copy(OTHER_CTX, records, 3)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    store.import_folder(spool)
    done = compare("--store", uri, "--records", records)
    assert done.exit_code == 0, done.exception
    assert done.stdout.splitlines()[2].split()[5:9] == ["6.572", "1.01x", "as", "fast"]


@pytest.mark.parametrize(
    ("place", "kind"),
    [("missing", BadValue), ("empty", BadValue), ("invalid", BadRecord), ("file", BadRecord), ("busy", BadRecord)],
)
def test_what_cannot_be_compared_is_an_error_and_after_a_cell_a_note(
    tmp_path: Path, place: str, kind: type[DecodeFloorError]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "records").mkdir()
    copy(EARLIER, tmp_path / "records", 1)
    (tmp_path / "file").write_text("{}")
    broken = {"valid": False, "reasons": ["gate short: logit error 0.5 exceeds the bound 0.02"]}
    if place == "invalid":
        made = as_session(example_record(), 1)
        record.write(made | broken, tmp_path / "invalid" / "qwen2.5-7b-2048-x.json")
    if place == "busy":
        (tmp_path / "busy").mkdir()
        record.write(as_session(busy(), 1), tmp_path / "busy" / "qwen2.5-7b-2048-x.json")
    arguments = ("--spool", tmp_path / place)
    done = compare(*arguments, "--records", tmp_path / "records")
    assert isinstance(done.exception, kind)
    after = compare("--records", tmp_path / "records", "--after-cell", "--", "--ctx", "64", *arguments)
    assert (after.exit_code, after.stdout) == (0, "")
    assert after.stderr == f"note: not compared with recorded sessions: {done.exception}\n"


def test_nothing_follows_the_object_of_a_cell(tmp_path: Path) -> None:
    done = compare("--after-cell", "--", "--json", "--spool", tmp_path / "missing")
    assert (done.exit_code, done.output) == (0, "")


def test_arguments_of_a_cell_go_with_their_option_alone() -> None:
    assert "they go with --after-cell" in str(compare("--", "--ctx", "64").exception)


@pytest.mark.parametrize(
    "command", [("floor", "--records"), ("compare", "--spool"), ("ab",), ("coverage", "--records")]
)
def test_a_folder_that_is_missing_or_empty_has_one_exit_code(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "empty").mkdir()
    for place in ("empty", "missing"):
        done = CliRunner().invoke(cli.main, [*command, str(tmp_path / place)])
        assert isinstance(done.exception, BadValue), place
