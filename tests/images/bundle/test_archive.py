"""An archive's bytes follow from names, contents and one time, and it is written whole or not at all."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from images.bundle import archive

MADE_AT = 1_700_000_000


def folder_in(parent: Path, mode: int = 0o600) -> Path:
    """A folder with a program in a folder below, and a text."""
    folder = parent / "bundle"
    (folder / "a").mkdir(parents=True)
    (folder / "b.txt").write_text("text")
    (folder / "a" / "run").write_text("#!/bin/sh\n")
    (folder / "b.txt").chmod(mode)
    (folder / "a" / "run").chmod(mode | 0o100)
    return folder


def test_entries_are_sorted_below_the_folders_own_name_and_readable_by_all(tmp_path: Path) -> None:
    archive.write(folder_in(tmp_path), tmp_path / "x.tar", MADE_AT)
    with tarfile.open(tmp_path / "x.tar") as opened:
        entries = opened.getmembers()
        text = opened.extractfile("bundle/b.txt")
        assert text is not None
        assert text.read() == b"text"
    assert [(entry.name, entry.mode, entry.mtime) for entry in entries] == [
        ("bundle", 0o755, MADE_AT),
        ("bundle/a", 0o755, MADE_AT),
        ("bundle/a/run", 0o755, MADE_AT),
        ("bundle/b.txt", 0o644, MADE_AT),
    ]
    assert {(entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries} == {(0, 0, "", "")}


@pytest.mark.parametrize("name", ["x.tar", "x.tar.xz"])
def test_neither_the_files_times_nor_their_modes_are_in_the_bytes(tmp_path: Path, name: str) -> None:
    first, second = folder_in(tmp_path / "1"), folder_in(tmp_path / "2", mode=0o664)
    os.utime(second / "b.txt", (1, 1))
    for folder in (first, second):
        archive.write(folder, folder.parent / name, MADE_AT)
    assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()


def test_only_a_target_that_ends_in_xz_is_compressed(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    for name, compressed in (("x.tar", False), ("x.tar.xz", True)):
        archive.write(folder, tmp_path / name, MADE_AT)
        assert (tmp_path / name).read_bytes().startswith(b"\xfd7zXZ\0") is compressed


def test_what_cannot_be_read_leaves_the_older_archive_and_no_part_of_a_new_one(tmp_path: Path) -> None:
    folder, target = folder_in(tmp_path), tmp_path / "x.tar"
    target.write_text("older")
    (folder / "c").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError):
        archive.write(folder, target, MADE_AT)
    assert target.read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "x.tar"]
