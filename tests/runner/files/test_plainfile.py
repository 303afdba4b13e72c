"""A file is read whole, or refused at once with its path: a pipe, a device, a folder, or one that is too large."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from runner.files import plainfile


def refused(path: Path, at_most: int = plainfile.MAXIMUM_BYTES) -> OSError:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - each test looks at the error itself
        plainfile.read(path, at_most, "any manifest")
    return caught.value


def test_a_plain_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\x00\xff" * 5000)
    assert plainfile.read(path) == b"\x00\xff" * 5000
    (tmp_path / "link").symlink_to(path)
    assert plainfile.read(tmp_path / "link") == path.read_bytes()


def test_a_limit_has_two_sides(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 2**20)
    assert len(plainfile.read(path, 2**20)) == 2**20
    error = refused(path, 2**20 - 1)
    assert (error.errno, error.filename) == (errno.EFBIG, str(path))
    path.write_bytes(b"x" * (2**21 + 1))
    assert refused(path, 2**21).strerror == "larger than any manifest (2 MiB)"


def test_a_pipe_that_nobody_writes_into_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        error = refused(path)
        assert (error.strerror, error.filename) == ("not a file but a pipe or a device", str(path))
        with pytest.raises(OSError, match="a pipe or a device"):
            plainfile.read_start(path, 4)


def test_a_folder_and_a_file_that_is_not_there_are_told_apart(tmp_path: Path) -> None:
    assert isinstance(refused(tmp_path), IsADirectoryError)
    assert isinstance(refused(tmp_path / "x"), FileNotFoundError)


def test_a_name_that_no_file_can_have_is_an_error_of_the_same_kind() -> None:
    error = refused(Path("a\0b"))
    assert (error.errno, error.strerror) == (errno.EINVAL, "not a valid file name")


def test_the_start_of_a_file_of_any_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with open(path, "wb") as file:
        file.write(b"SQLite format 3")
        file.truncate(plainfile.MAXIMUM_BYTES + 1)
    assert plainfile.read_start(path, 6) == b"SQLite"
    path.write_bytes(b"SQ")
    assert plainfile.read_start(path, 6) == b"SQ"


def test_text_has_no_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbf\xc3\xa9")
    assert plainfile.read_text(path) == "é"
    path.write_bytes(b"\xe9")
    with pytest.raises(UnicodeDecodeError):
        plainfile.read_text(path)


def test_a_new_lock_is_every_users_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        plainfile.opened_lock(tmp_path / "lock").close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(tmp_path / "lock").st_mode) == 0o666


def test_a_lock_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("somebody's")
    path.chmod(0o640)
    plainfile.opened_lock(path).close()
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("somebody's", 0o640)


def test_a_lock_is_made_only_where_it_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        plainfile.opened_lock(tmp_path / "lock", make=False)
    assert list(tmp_path.iterdir()) == []


def test_no_descriptor_is_left_open_by_what_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="a pipe or a device"):
        plainfile.opened_lock(tmp_path / "pipe")
    refused(tmp_path / "pipe")
    assert os.listdir("/proc/self/fd") == before


def test_a_path_that_is_no_utf8_is_shown_all_the_same() -> None:
    assert plainfile.path_text(Path("/srv/é")) == "/srv/é"
    assert plainfile.path_text(Path("/srv/\udcff")) == "/srv/\N{REPLACEMENT CHARACTER}"
