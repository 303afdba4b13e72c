"""The system's errors on a checkpoint's files: the message names the checkpoint, the file and the remedy."""

from __future__ import annotations

import errno
import os

import pytest

from runner.checkpoints import readable
from runner.errors import BadCheckpoint, DiskFull


def test_an_error_of_the_system_is_a_bad_checkpoint_that_names_it() -> None:
    with pytest.raises(BadCheckpoint) as caught, readable.checked("weights=x"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/w/config.json")
    assert str(caught.value).startswith("weights=x: /w/config.json: Permission denied: `ls -ld` shows its owner")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_fault_of_the_checkpoint(number: int) -> None:
    with pytest.raises(DiskFull), readable.checked("weights=x"):
        raise OSError(number, os.strerror(number), "/cache/blob")


def test_what_is_no_error_of_the_system_is_left_as_it_is() -> None:
    with pytest.raises(KeyError, match="x"), readable.checked("weights=x"):
        raise KeyError("x")
