"""A plain file, read whole and without ever waiting; pipes, devices and folders are refused.

The names come from folders, manifests and settings of the user's, and may be those of anything.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TextIO

MAXIMUM_BYTES = 64 * 2**20
"""More than any configuration, index or manifest has."""
LOCK_MODE = 0o666
"""For all who can reach it, whatever the umask: whoever cannot open it could not wait for it."""


def read(path: Path, at_most: int = MAXIMUM_BYTES, kind: str = "any such file") -> bytes:
    """The content. Raises OSError with the path, also for what is no plain file or has more than `at_most` bytes,
    which is larger than `kind`."""
    return _read(path, at_most, at_most, kind)


def _read(path: Path, length: int, at_most: int | None, kind: str) -> bytes:
    try:
        # to open a pipe would be to wait for its other end
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except ValueError as error:
        raise OSError(errno.EINVAL, "no file can have that name", str(path)) from error
    try:
        _check(os.fstat(descriptor), path, at_most, kind)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(length)
    finally:
        os.close(descriptor)


def read_text(path: Path, at_most: int = MAXIMUM_BYTES, kind: str = "any such file") -> str:
    """The content of a file in UTF-8, a byte order mark left out. Raises OSError as `read`, UnicodeDecodeError."""
    return read(path, at_most, kind).decode("utf-8-sig")


def _check(status: os.stat_result, path: Path, at_most: int | None, kind: str) -> None:
    _check_plain(status, path)
    if at_most is not None and status.st_size > at_most:
        raise OSError(errno.EFBIG, f"larger than {kind} ({at_most >> 20} MiB)", str(path))


def _check_plain(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "not a file but a folder", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a file but a pipe or a device", str(path))


def read_start(path: Path, length: int) -> bytes:
    """The first bytes of a file of any size. Raises OSError as `read`."""
    return _read(path, length, None, "")


def opened_lock(path: Path, make: bool = True) -> TextIO:
    """The file to lock, made where it is missing; nothing is written into it. One that may only be read is enough, as
    another user's often is. Raises OSError."""
    try:
        descriptor = _opened(path, os.O_RDWR)  # without O_CREAT: in a sticky folder Linux refuses it on others' files
    except PermissionError:
        descriptor = _opened(path, os.O_RDONLY)
    except FileNotFoundError:
        if not make:
            raise
        descriptor = _opened(path, os.O_RDWR | os.O_CREAT)
        with suppress(PermissionError):
            os.fchmod(descriptor, LOCK_MODE)
    return open(descriptor, encoding="utf-8")


def _opened(path: Path, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK, LOCK_MODE)
    try:
        _check_plain(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def shown(path: Path) -> str:
    """The path as text that every file and table can hold: a name need not be UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")
