"""Plain files, read whole without blocking; pipes, devices and folders are refused.

The paths come from users' folders, manifests and settings, and may name anything.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TextIO

MAXIMUM_BYTES = 64 * 2**20
"""The default limit, larger than any configuration, index or manifest."""
LOCK_MODE = 0o666
"""Lets all users open a lock, whatever the umask: a process that cannot open it cannot wait for it."""


def read(path: Path, at_most: int = MAXIMUM_BYTES, kind: str = "any such file") -> bytes:
    """Returns the content.

    Raises OSError with the path, also if it is no plain file or has more than `at_most` bytes. `kind` names the kind of
    file in that error.
    """
    return _read(path, at_most, at_most, kind)


def _read(path: Path, length: int, at_most: int | None, kind: str) -> bytes:
    try:
        # a blocking open of a pipe would wait for its other end
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except ValueError as error:
        raise OSError(errno.EINVAL, "not a valid file name", str(path)) from error
    try:
        _check(os.fstat(descriptor), path, at_most, kind)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(length)
    finally:
        os.close(descriptor)


def read_text(path: Path, at_most: int = MAXIMUM_BYTES, kind: str = "any such file") -> str:
    """Returns the content of a UTF-8 file without a byte order mark. Raises OSError as `read`, UnicodeDecodeError."""
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
    """Returns the first `length` bytes of a file of any size. Raises OSError as `read`."""
    return _read(path, length, None, "")


def opened_lock(path: Path, make: bool = True) -> TextIO:
    """Returns the opened lock file, created if missing and `make` is set. Nothing is written into it.

    A read-only descriptor is enough, since another user's file is often read-only. Raises OSError.
    """
    try:
        descriptor = _opened(path, os.O_RDWR)  # no O_CREAT: in a sticky folder Linux refuses it
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


def path_text(path: Path) -> str:
    """Returns the path as text. A byte that is not UTF-8 becomes U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")
