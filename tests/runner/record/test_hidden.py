"""Hidden files and folders among records are other programs', and spool, tables and import leave them alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from analysis import ab as comparisons
from analysis.sources.records import Folder
from runner import store
from runner.errors import BadValue
from runner.record import open_runs, record, spool
from tests.support.records import example_record

LITTER = (
    "._one.json",
    f".one.json.{os.getpid()}.tmp",
    ".ipynb_checkpoints/one-checkpoint.json",
    ".DS_Store",
    ".git/x.json",
    ".Trash-1000/files/one.json",
    "inner/._ab.json",
    ".Trash-1000/ab.json",
    ".Trash-1000/.runs/0123456789abcdef0123456789abcdef",
    "__MACOSX/._one.json",
)


def littered(folder: Path) -> Path:
    """A record, and beside it what no command may look at."""
    record.write(example_record(), folder / "inner" / "one.json")
    for name in LITTER:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\x00\x05\x16\x07")
    return folder


@pytest.mark.parametrize("name", ["records", ".hidden/spool", ".cache/.x/spool"])
def test_only_what_lies_openly_below_the_named_folder_counts(tmp_path: Path, name: str) -> None:
    folder = littered(tmp_path / name)
    assert spool.record_files(folder) == [folder / "inner" / "one.json"]
    assert spool.manifest_files(folder) == []
    assert list(open_runs.abandoned_markers(folder)) == []


@pytest.mark.slow
def test_tables_comparisons_and_import_leave_them_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_sqlite: Path
) -> None:
    shutil.copy(empty_sqlite, tmp_path)
    # MLflow keeps one engine per URI, so a relative one would name the folder of an earlier test
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / empty_sqlite.name}")
    monkeypatch.chdir(tmp_path)
    folder = littered(tmp_path / "records")
    found = Folder(folder).frame(())
    assert (found.sessions.height, found.left_out) == (1, ())
    with pytest.raises(BadValue, match="no A/B there"):
        comparisons.paths_in(folder)
    report = store.import_folder(folder)
    assert (len(report.imported), report.refused) == (1, ())
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == sorted(
        ["one.json", *(Path(name).name for name in LITTER)]
    )
