"""Commands run into places that they cannot use: one line and the family's code, and without a cache all is as ever."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.record import record
from tests.support.records import example_record
from tests.support.rights import by_process, close, command, one_line, strangers

REPORT = ("report", "--records", "records", "--out", "out")


@pytest.fixture(autouse=True)
def records(tmp_path: Path) -> Path:
    record.write(example_record(), tmp_path / "records" / "one.json")
    return tmp_path / "records"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "arguments", "code", "said"),
    [
        (lambda at: close(at / "records"), ("floor", "--records", "records"), 11, "records: Permission denied"),
        (lambda at: close(at / "records"), ("ab", "records"), 11, "records: Permission denied"),
        (lambda at: (at / "out").mkdir(mode=0o500), REPORT, 11, "out cannot be written (Permission denied)"),
        (lambda at: strangers(_folder(at / "out")), REPORT, 11, "out cannot be written (Permission denied)"),
        (lambda at: os.mkfifo(_folder(at / "out") / "tables.md"), REPORT, 11, "out cannot be written (No such device"),
        (lambda at: close(_store(at)), ("floor", "--store", "sqlite:///mlflow.db"), 21, "Permission denied"),
        (lambda at: close(_store(at).parent), ("floor", "--store", "sqlite:///inner/mlflow.db"), 21, "denied"),
        (lambda at: os.mkfifo(at / "mlflow.db"), ("floor",), 21, "not a file but a pipe"),
    ],
)  # fmt: skip
def test_a_place_that_cannot_be_used_is_one_line(
    tmp_path: Path, setting: Callable[[Path], object], arguments: tuple[str, ...], code: int, said: str
) -> None:
    setting(tmp_path)
    assert said in one_line(command("analysis", tmp_path, *arguments), code)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _store(at: Path) -> Path:
    file = at / "inner" / "mlflow.db"
    file.parent.mkdir()
    file.touch()
    (at / "mlflow.db").symlink_to(file)
    return file


@pytest.mark.medium
def test_a_folder_that_cannot_be_looked_into_is_left_out_by_name(tmp_path: Path, records: Path) -> None:
    close(_folder(records / "inner"))
    done = command("analysis", tmp_path, "floor", "--records", "records")
    assert "left out records/inner: cannot be read (Permission denied)" in done.stderr
    assert "h200" in done.stdout
    one_line(done, 24)


def _file(at: Path) -> dict[str, str]:
    (at / "file").touch()
    return {"HOME": str(at / "file"), "XDG_CACHE_HOME": ""}


def _closed(at: Path) -> dict[str, str]:
    (at / "closed").mkdir(mode=0)
    return {"XDG_CACHE_HOME": str(at / "closed"), "HOME": str(at / "closed"), "XDG_CONFIG_HOME": str(at / "closed")}


def _read_only(at: Path) -> dict[str, str]:
    (at / "home").mkdir(mode=0o500)
    return {"HOME": str(at / "home"), "XDG_CACHE_HOME": ""}


def _missing(_: Path) -> dict[str, str]:
    return {"HOME": "/proc/nobody", "XDG_CACHE_HOME": "", "TMPDIR": "/proc/nothing"}


@pytest.mark.slow
@pytest.mark.parametrize("setting", [_file, _closed, _read_only, _missing])
def test_without_a_home_to_write_to_there_is_no_cache_and_all_else_is_as_ever(
    tmp_path: Path, setting: Callable[[Path], dict[str, str]]
) -> None:
    done = by_process("analysis", tmp_path, "report", "--records", "records", **setting(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
