"""A plain file, read whole and without ever waiting; pipes, devices and folders are refused.

The names come from folders, manifests and settings of the user's, and may be those of anything.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TextIO

MAXIMUM_BYTES = 64 * 2**20
"""More than any configuration, index or manifest has."""


def read(path: Path, at_most: int = MAXIMUM_BYTES, kind: str = "any such file") -> bytes:
    """The content. Raises OSError with the path, also for what is no plain file or has more than `at_most` bytes,
    which is larger than `kind`."""
    try:
        # to open a pipe would be to wait for its other end
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except ValueError as error:
        raise OSError(errno.EINVAL, "no file can have that name", str(path)) from error
    try:
        _check(os.fstat(descriptor), path, at_most, kind)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(at_most)
    finally:
        os.close(descriptor)


def read_text(path: Path, at_most: int = MAXIMUM_BYTES, kind: str = "any such file") -> str:
    """The content of a file in UTF-8, a byte order mark left out. Raises OSError as `read`, UnicodeDecodeError."""
    return read(path, at_most, kind).decode("utf-8-sig")


def _check(status: os.stat_result, path: Path, at_most: int, kind: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "not a file but a folder", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a file but a pipe or a device", str(path))
    if status.st_size > at_most:
        raise OSError(errno.EFBIG, f"larger than {kind} ({at_most >> 20} MiB)", str(path))


def opened_lock(path: Path) -> TextIO:
    """The file to lock, made where it is missing; nothing is written into it. Raises OSError."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o666), "w", encoding="utf-8")


def shown(path: Path) -> str:
    """The path as text that every file and table can hold: a name need not be UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")
