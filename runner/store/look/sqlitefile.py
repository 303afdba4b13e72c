"""SQLite files as stores: the check that a file can be one, and the stores in a folder."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from runner import failures
from runner.errors import BadValue, DecodeFloorError, DiskFull, StoreUnreachable
from runner.files import plainfile
from runner.store import address
from runner.store.look import schema, writable

HEADER = b"SQLite format 3\0"
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"


def opening(file: Path, mode: str) -> str:
    """Returns the URI with which SQLite opens the file. `mode` is ro or rw. The path need not be UTF-8."""
    return f"file:{quote(os.fsencode(os.path.abspath(file)))}?mode={mode}"


def is_there(file: Path, uri: str) -> bool:
    """Returns whether the file exists. Raises StoreUnreachable if it is not a regular file or cannot be examined."""
    try:
        mode = os.stat(file).st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unusable(error, uri) from error
    if stat.S_ISDIR(mode):
        raise _unusable(IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file)), uri)
    if not stat.S_ISREG(mode):
        raise _unusable(OSError(errno.EINVAL, "not a file but a pipe or a device", str(file)), uri)
    return True


def check(uri: str, file: Path) -> None:
    """Raises StoreUnreachable or DiskFull if the file, its lock or SQLite's logs cannot be written or created.

    Raises BadValue if the folder's name is not UTF-8, because MLflow would not find artifacts there.
    """
    _check_name(file)
    if is_there(file, uri) and not os.access(file, os.R_OK | os.W_OK):
        raise _unusable(PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file)), uri)
    folder = Path(os.path.realpath(file)).parent
    if (obstacle := writable.obstacle(folder)) is not None:
        raise _unusable(obstacle, uri) from obstacle
    try:
        with suppress(FileNotFoundError):
            plainfile.opened_lock(address.lock_path(uri), make=False).close()
    except OSError as error:
        raise _unusable(error, uri) from error


def stores_in(folder: Path) -> Iterator[Path]:
    """Yields the SQLite files directly in a folder that have MLflow's tables. Skips files that cannot be read."""
    with suppress(OSError):
        yield from (path for path in folder.iterdir() if _is_store(path))


def _is_store(path: Path) -> bool:
    with suppress(OSError, sqlite3.Error):
        if plainfile.read_start(path, len(HEADER)) != HEADER:
            return False
        with closing(sqlite3.connect(opening(path, "ro"), uri=True)) as link:
            return {name for (name,) in link.execute(TABLES)} >= schema.MLFLOW_TABLES
    return False


def _check_name(file: Path) -> None:
    folder = os.path.realpath(file.parent)
    try:
        os.fsencode(folder).decode()
    except UnicodeDecodeError as error:
        raise BadValue(
            f"MLflow cannot find artifacts below {plainfile.path_text(Path(folder))}, whose name is not UTF-8: rename "
            f"it, or set MLFLOW_TRACKING_URI to {address.SQLITE}FILE in another folder"
        ) from error


def _unusable(error: OSError, uri: str) -> DecodeFloorError:
    if error.errno in failures.FULL:
        return DiskFull(
            f"no space left for the MLflow store {address.masked_uri(uri)}: free some, then run the command again"
        )
    return StoreUnreachable(
        f"the MLflow store {address.masked_uri(uri)} cannot be used: {failures.path_message(error)}"
    )
