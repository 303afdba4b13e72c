"""Who holds a lock on a file is read off the kernel's own list."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from runner.store import holders
from tests.support.processes import holding

NOBODYS = 99_999_999  # beyond the largest process id of Linux


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.lock"
    path.touch()
    return path


def test_the_holder_is_named_by_process_and_program(file: Path, tmp_path: Path) -> None:
    code = f"import fcntl; f = open({str(file)!r}, 'a'); fcntl.flock(f, {fcntl.LOCK_EX})"
    with holding(code) as pid:
        assert holders.lock_holders(file).startswith(f"process {pid} (python")
        assert holders.lock_holders(tmp_path / "not there", file).startswith(f"process {pid} (python")
    assert holders.lock_holders(file) == "another process"


def test_this_process_is_no_other_that_holds_it(file: Path) -> None:
    with file.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert holders.lock_holders(file) == "another process"


def test_who_waits_or_has_ended_or_locks_another_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = file.stat()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    lines = (
        f"1: FLOCK  ADVISORY  WRITE {NOBODYS} {device}:{status.st_ino} 0 EOF",
        f"1: -> FLOCK  ADVISORY  WRITE {os.getppid()} {device}:{status.st_ino} 0 EOF",
        f"2: POSIX  ADVISORY  READ {NOBODYS} {device}:{status.st_ino} 128 128",
        f"3: FLOCK  ADVISORY  WRITE {os.getppid()} {device}:{status.st_ino + 1} 0 EOF",
    )
    monkeypatch.setattr(holders, "LOCKS", tmp_path / "locks")
    (tmp_path / "locks").write_text("\n".join(lines) + "\n")
    assert holders.lock_holders(file) == f"process {NOBODYS} (ended)"


def test_where_the_kernel_has_no_list_it_is_another_process(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holders, "LOCKS", tmp_path / "no such file")
    assert holders.lock_holders(file) == "another process"
