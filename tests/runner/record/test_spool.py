"""Space that is set aside for a record, and used by it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.errors import BadValue, DiskFull
from runner.record import record, spool
from tests.support.records import example_record

SIZE = 1 << 16


def test_the_record_is_written_into_the_space_that_was_reserved(path: Path) -> None:
    with spool.reserved(path, SIZE):
        reserve = os.stat(spool.reserve_path(path))
        assert reserve.st_size == SIZE
        assert reserve.st_blocks * 512 >= SIZE
        record.write_text_durably(path, "{}\n")
    # the same file: on a full disk, too, its blocks were its own all the time
    assert os.stat(path).st_ino == reserve.st_ino
    assert path.read_text() == "{}\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["record.json"]


def test_a_record_may_be_larger_than_expected(path: Path) -> None:
    with spool.reserved(path, 4096):
        record.write_text_durably(path, "x" * 10_000)
    assert path.read_text() == "x" * 10_000


def test_nothing_is_left_where_no_record_was_written(path: Path) -> None:
    with pytest.raises(KeyError), spool.reserved(path, SIZE):
        raise KeyError
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_before_anything_is_measured(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, "full")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFull, match="no space left in the spool"), spool.reserved(path, SIZE):
        pytest.fail("went on")
    assert list(path.parent.iterdir()) == []


def test_a_spool_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadValue, match=r"the spool .* cannot be written"), spool.reserved(tmp_path / "file/r.json", 1):
        pytest.fail("went on")


@pytest.mark.medium
def test_what_a_killed_process_reserved_is_given_back_and_what_a_living_one_holds_is_kept(path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from runner.record import spool\n"
    code += "with spool.reserved(Path(sys.argv[1]), 4096): print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert spool.clear_abandoned(path.parent) == []
    process.kill()
    process.wait()
    assert spool.reserve_path(path).exists()
    assert spool.clear_abandoned(path.parent) == [path]
    assert list(path.parent.iterdir()) == []


def test_a_record_that_came_is_not_named_when_its_space_is_given_back(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("{}")
    spool.reserve_path(path).write_text("")
    assert spool.clear_abandoned(path.parent) == []
    assert not spool.reserve_path(path).exists()


@pytest.mark.medium
def test_folders_behind_links_are_looked_into_once(tmp_path: Path) -> None:
    for place in ("deep/one.json", "deep/inner/two.json", "spool/x/three.json"):
        record.write(example_record(), tmp_path / place)
    (tmp_path / "spool" / "link").symlink_to("../deep")
    (tmp_path / "spool" / "again").symlink_to(tmp_path / "deep" / "inner")
    (tmp_path / "spool" / "a").symlink_to("x")  # before it by name
    (tmp_path / "spool" / "x" / "up").symlink_to("..")
    (tmp_path / "spool" / "loop").symlink_to("loop")
    found = [str(path.relative_to(tmp_path / "spool")) for path in spool.record_files(tmp_path / "spool")]
    assert found == ["again/two.json", "link/one.json", "x/three.json"]


def test_space_that_a_killed_process_kept_is_given_back(tmp_path: Path) -> None:
    """Its file is hidden, and lies beside records; one in somebody's bin is not ours."""
    kept, thrown_away = spool.reserve_path(tmp_path / "inner/a.json"), spool.reserve_path(tmp_path / ".Trash-1/a.json")
    for path in (kept, thrown_away):
        path.parent.mkdir()
        path.touch()
    assert spool.clear_abandoned(tmp_path) == [tmp_path / "inner" / "a.json"]
    assert (kept.exists(), thrown_away.exists()) == (False, True)


@pytest.mark.medium
@pytest.mark.parametrize("place", ["record.json", ".runs/0123", ".studies/floor.json"])
def test_what_a_killed_process_was_writing_is_deleted(tmp_path: Path, place: str) -> None:
    code = "import os, signal, sys; from pathlib import Path; from runner.record import record; "
    code += "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL); "
    code += "record.write_text_durably(Path(sys.argv[1]), 'half')"
    path = tmp_path / place
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -signal.SIGKILL
    (left,) = path.parent.iterdir()
    assert left.name.startswith(f".{path.name}.")
    assert spool.clear_abandoned(tmp_path) == [path]
    assert list(path.parent.iterdir()) == []


@pytest.mark.medium
def test_what_a_worker_that_was_killed_was_writing_is_deleted_when_its_command_has_ended(tmp_path: Path) -> None:
    """The command holds the space that it has reserved for the record."""
    code = "import os, signal, sys; from pathlib import Path; from runner.record import record; "
    code += "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL); "
    code += "record.write_text_durably(Path(sys.argv[1]), 'half')"
    path = tmp_path / "record.json"
    with spool.reserved(path, SIZE):
        subprocess.run([sys.executable, "-c", code, path], check=False)
        assert spool.clear_abandoned(tmp_path) == []
    assert spool.clear_abandoned(tmp_path) == [path]
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_process_is_writing_stays(tmp_path: Path) -> None:
    own = spool.temporary_path(tmp_path / "record.json")
    own.touch()
    (tmp_path / ".notes.tmp").touch()  # somebody else's
    assert spool.clear_abandoned(tmp_path) == []
    assert {path.name for path in tmp_path.iterdir()} == {own.name, ".notes.tmp"}


def test_a_spool_is_made_with_its_parents_and_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "not/there/yet"
    for name in ("one.json", "two.json"):
        with spool.reserved(folder / name, SIZE):
            assert spool.reserve_path(folder / name).stat().st_size == SIZE
    assert list(folder.iterdir()) == []


def test_a_folder_of_records_that_cannot_be_listed_is_said_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_text("{}")
    spool.check_folder(tmp_path)
    with pytest.raises(BadValue, match=r"gone: no such folder of records: name the folder that a command wrote"):
        spool.check_folder(tmp_path / "gone")
    with pytest.raises(
        BadValue, match=r"record\.json is a file, not a folder of records: name the folder that it is in$"
    ):
        spool.check_folder(file)
    with pytest.raises(BadValue, match=r"below: Not a directory: it, or a part of its path, is a file: name another"):
        spool.check_folder(file / "below")
    with pytest.raises(BadValue, match=r"File name too long: name a shorter path$"):
        spool.check_folder(tmp_path / ("n" * 300))


def test_a_kept_record_is_named_with_the_command_that_imports_its_folder() -> None:
    assert spool.kept(Path("my spool/a.json")) == (
        "the record is kept at my spool/a.json; import it with: python -m runner import 'my spool'"
    )


def test_records_are_neither_hidden_files_nor_manifests(tmp_path: Path) -> None:
    for name in ("one.json", ".hidden.json", spool.MANIFEST_NAME):
        (tmp_path / name).touch()
    assert spool.record_files(tmp_path) == [tmp_path / "one.json"]
