"""A plain file, read whole and without ever waiting; pipes, devices and folders are refused.

The names come from folders, manifests and settings of the user's, and may be those of anything.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MAXIMUM_BYTES = 64 * 2**20
"""More than any configuration, index or manifest has."""


def read(path: Path, at_most: int = MAXIMUM_BYTES) -> bytes:
    """The content. Raises OSError with the path, also for what is no plain file or has more than `at_most` bytes."""
    try:
        # to open a pipe would be to wait for its other end
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except ValueError as error:
        raise OSError(errno.EINVAL, "no file can have that name", str(path)) from error
    try:
        _check(os.fstat(descriptor), path, at_most)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(at_most)
    finally:
        os.close(descriptor)


def read_text(path: Path, at_most: int = MAXIMUM_BYTES) -> str:
    """The content of a file in UTF-8, a byte order mark left out. Raises OSError as `read`, UnicodeDecodeError."""
    return read(path, at_most).decode("utf-8-sig")


def _check(status: os.stat_result, path: Path, at_most: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "a pipe or a device, not a file", str(path))
    if status.st_size > at_most:
        raise OSError(errno.EFBIG, f"larger than {at_most >> 20} MiB", str(path))


def shown(path: Path) -> str:
    """The path as text that every file and table can hold: a name need not be UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")
