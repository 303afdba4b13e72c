"""The command `verify`."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from runner import store
from runner.commands import recordfiles
from runner.errors import BadRecord, StoreUnreachable
from runner.record import record
from tests.support import damaged
from tests.support.processes import ROOT, Main, runner
from tests.support.records import example_record


@pytest.mark.medium
def test_without_pydantic_nothing_is_verified_and_the_way_to_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['pydantic'] = None\n")
    (tmp_path / "r.json").write_text("not read")
    found = runner(tmp_path, "verify", "r.json", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert (found.returncode, found.stdout) == (25, "")
    assert found.stderr.startswith(f"error: {sys.executable} lacks the package pydantic: use `make cell`")
    assert len(found.stderr.splitlines()) == 1


@pytest.mark.medium
def test_verify_takes_files_and_folders(main: Main, tmp_path: Path) -> None:
    record.write(example_record(), tmp_path / "right" / "sub" / "r.json")
    assert main("verify", str(tmp_path / "right"), str(tmp_path / "right" / "sub" / "r.json"))[:2] == (
        0,
        "ok 2 records\n",
    )
    (tmp_path / "right" / "x.json").write_text("{}")
    code, out, err = main("verify", str(tmp_path / "right"))
    assert code == 24
    assert out == (
        f"{tmp_path}/right/x.json: not a record of this project (no schema_version): "
        "remove it from the folder of records\n"
    )
    assert "error: 1 of 2 files failed verification" in err


@pytest.mark.medium
def test_a_copy_of_a_record_is_told(main: Main, tmp_path: Path) -> None:
    for name in ("a.json", "copy.json"):
        record.write(example_record(), tmp_path / name)
    code, out, _ = main("verify", str(tmp_path))
    assert code == 24
    assert out == f"{tmp_path}/copy.json: session 0f3c9a52b7d1e846 is also in {tmp_path}/a.json\n"


@pytest.mark.slow
def test_import_and_verify_count_the_same_files(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    committed = next((ROOT / "experiments" / "records").rglob("ab.json")).parent
    records = len(list(committed.glob("*.json"))) - 1
    report = store.ImportReport(("r",) * records, (), 1, ("ab",), (), ("x",), ("y",))
    monkeypatch.setattr(store, "import_folder", lambda _folder, _older_than: report)
    assert main("verify", str(committed))[1] == f"ok {records} records and 1 A/B manifest\n"
    assert main("import", str(committed))[1] == (
        f"{records} records imported, 0 already there; 1 A/B manifest\n1 A/B: ab\n1 abandoned run closed: x\n"
    )


@pytest.mark.parametrize(("text", "duration"), [("90m", timedelta(minutes=90)), ("7d", timedelta(days=7))])
def test_an_age_reaches_the_import_and_what_stays_open_is_said(
    main: Main, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, duration: timedelta
) -> None:
    ages: list[timedelta | None] = []
    report = store.ImportReport((), ("r",), 0, (), (), (), ("y", "z"))
    monkeypatch.setattr(store, "import_folder", lambda _folder, older_than: ages.append(older_than) or report)
    code, out, err = main("import", "--older-than", text, str(tmp_path))
    assert (code, out) == (0, "0 records imported, 1 already there\n")
    assert err.startswith("note: 2 runs are RUNNING whose process cannot be asked from here: y, z; `--older-than 7d`")
    assert ages == [duration]


def test_an_import_for_old_runs_alone_needs_no_records(
    main: Main, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    report = store.ImportReport((), (), 0, (), (), (), ())
    monkeypatch.setattr(store, "import_folder", lambda _folder, _older_than: report)
    assert main("import", "--older-than", "7d", str(tmp_path))[:2] == (0, "0 records imported, 0 already there\n")
    assert main("import", str(tmp_path))[0] == 11


def test_the_last_line_of_an_import_keeps_the_reason_of_a_refusal(
    main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line is what a script, or a log that was cut, has of the command."""
    refused = [
        store.Refused(tmp_path / "a.json", "the store failed (busy): wait", by_store=True),
        store.Refused(tmp_path / "b.json", "the store failed (busy): wait", by_store=True),
    ]

    def report(*_: object) -> store.ImportReport:
        return store.ImportReport(("1",), (), 0, (), tuple(refused), (), ())

    monkeypatch.setattr(store, "import_folder", report)
    code, _, err = main("import", str(tmp_path))
    assert (code, err.splitlines()[-1]) == (
        StoreUnreachable.exit_code,
        "error: the store refused 2 files: the store failed (busy): wait",
    )
    refused.append(store.Refused(tmp_path / "c.json", "not a record"))
    code, _, err = main("import", str(tmp_path))
    assert (code, err.splitlines()[-1]) == (
        BadRecord.exit_code,
        f"error: 3 files were not imported ({tmp_path}/c.json: not a record): restore or remove each, then import "
        "again",
    )


@pytest.mark.parametrize("text", ["", "7", "0d", "-1d", "1.5h", "7 d", "7w", "100000d", "1e3h", "٣d"])
def test_what_is_no_duration_is_refused_in_a_line(main: Main, tmp_path: Path, text: str) -> None:
    code, out, err = main("import", "--older-than", text, str(tmp_path))
    assert (code, out) == (11, "")
    assert err.startswith(f"error: --older-than {text!r} is not a duration: write a whole number")


@pytest.mark.parametrize("command", [("verify",), ("import",)])
def test_a_folder_that_is_missing_or_empty_or_a_file_has_one_exit_code(
    main: Main, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """The same as of `analysis`, see tests/analysis/test_compare.py."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    found = [main(*command, str(tmp_path / name)) for name in ("empty", "missing", "file")]
    assert {code for code, _, _ in found} == {11}
    assert all(out == "" and len(err.splitlines()) == 1 for _, out, err in found)


def test_verifying_nothing_does_not_pass(main: Main, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = main("verify", str(tmp_path / "empty"))
    assert (code, out) == (11, "")
    assert err == (
        f"error: {tmp_path}/empty: no records (*.json) there: "
        "name the folder that a command wrote records to, by default spool\n"
    )


@pytest.mark.parametrize("name", damaged.FILES)
def test_verify_says_in_a_line_what_is_wrong_with_a_damaged_file(main: Main, tmp_path: Path, name: str) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(damaged.FILES[name])
    code, out, err = main("verify", str(file))
    assert code == 24
    assert err == f"error: 1 of 1 file failed verification: {record.RESTORE}\n"
    assert out.splitlines()
    assert all(line.startswith(f"{file}: ") and line.count(str(file)) == 1 for line in out.splitlines())


def test_verify_shows_the_first_lines_of_a_file_and_counts_the_rest(main: Main, tmp_path: Path) -> None:
    found = example_record()
    found["cell"] |= dict.fromkeys(map(str, range(100)))
    record.write(found, tmp_path / "r.json")
    code, out, _ = main("verify", str(tmp_path / "r.json"))
    assert (code, len(out.splitlines())) == (24, recordfiles.VERIFY_LINES + 1)
    assert out.endswith(f"r.json: {100 - recordfiles.VERIFY_LINES} more\n")
