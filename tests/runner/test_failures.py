"""Whatever ends a command becomes an error of the family, of the system or of a bug."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runner import failures
from runner.errors import BadValue, DecodeFloorError, DiskFull, Interrupted


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ELOOP,
                                    errno.ENAMETOOLONG, errno.EISDIR, errno.EIO, errno.ESTALE])  # fmt: skip
def test_what_the_system_says_of_a_path_is_no_bug_of_ours(number: int) -> None:
    told = failures.as_failure(OSError(number, os.strerror(number), "/some/file"))
    assert isinstance(told, BadValue)
    assert str(told).startswith(f"/some/file: {os.strerror(number)}: ")


def test_a_full_disk_is_no_bad_value_and_an_error_without_a_path_a_bug() -> None:
    assert isinstance(failures.as_failure(OSError(errno.ENOSPC, "full", "/some/file")), DiskFull)
    assert type(failures.as_failure(OSError(errno.EACCES, "denied"))) is DecodeFloorError
    assert type(failures.as_failure(ValueError("x"))) is DecodeFloorError


def test_the_systems_limits_of_a_process_are_no_bug() -> None:
    told = failures.as_failure(OSError(errno.EMFILE, "Too many open files", "/some/file"))
    assert (type(told), str(told)) == (
        BadValue,
        "Too many open files: this process may not open so many files: raise `ulimit -n`",
    )


def test_ctrl_c_and_errors_of_the_family_stay_what_they_are() -> None:
    full = DiskFull("no space")
    assert failures.as_failure(full) is full
    assert isinstance(failures.as_failure(KeyboardInterrupt()), Interrupted)


def test_the_traceback_that_was_asked_for_has_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(failures.TRACEBACK_VARIABLE, "1")
    try:
        raise ValueError("postgresql://me:secret@host/db")
    except ValueError as error:
        failures.as_failure(error)
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "secret" not in said


def test_an_unknown_error_of_a_path_has_advice_too() -> None:
    error = OSError(errno.EXDEV, "Invalid cross-device link", "/some/file")
    assert failures.path_message(error) == "/some/file: Invalid cross-device link: name another place"
    assert failures.path_message(OSError("odd")) == "a file: odd: name another place"


def test_a_place_that_cannot_be_written_is_told_with_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    def told(name: str, action: Callable[[Path], object]) -> str:
        place = tmp_path / name
        with pytest.raises(OSError) as caught:  # noqa: PT011 its kind is the parameter
            action(place)
        return failures.obstacle(caught.value, place)

    assert told("none/deep/x.svg", Path.touch) == f"there is no folder {tmp_path}/none"
    assert told("file/x.svg", Path.touch) == f"{tmp_path}/file is a file"
    assert told("file/folder", lambda place: place.mkdir(parents=True)) == f"{tmp_path}/file is a file"
    assert told("file", Path.mkdir) == f"{tmp_path}/file is a file"
    assert told("x" * 300, Path.touch) == "File name too long"


def test_a_missing_package_is_told_with_the_interpreter_that_lacks_it() -> None:
    assert str(failures.missing_package("click")).startswith(
        f"{sys.executable} lacks the package click: use `make cell`"
    )
