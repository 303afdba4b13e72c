"""Whatever ends a command becomes an error of the family, of the system or of a bug."""

from __future__ import annotations

import errno
import os

import pytest

from runner import failures
from runner.errors import BadValue, DecodeFloorError, DiskFull


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ELOOP,
                                    errno.ENAMETOOLONG, errno.EISDIR, errno.EIO, errno.ESTALE])  # fmt: skip
def test_what_the_system_says_of_a_path_is_no_bug_of_ours(number: int) -> None:
    told = failures.told(OSError(number, os.strerror(number), "/some/file"))
    assert isinstance(told, BadValue)
    assert str(told).startswith(f"/some/file: {os.strerror(number)}: ")


def test_a_full_disk_is_no_bad_value_and_an_error_without_a_path_a_bug() -> None:
    assert isinstance(failures.told(OSError(errno.ENOSPC, "full", "/some/file")), DiskFull)
    assert type(failures.told(OSError(errno.EACCES, "denied"))) is DecodeFloorError
    assert type(failures.told(ValueError("x"))) is DecodeFloorError
