"""The spool: the folder where records lie before they are committed, with space set aside for one to come."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from runner.errors import BadValue, DiskFull

MANIFEST_NAME = "ab.json"
RESERVE_SUFFIX = ".reserve"
FULL = (errno.ENOSPC, errno.EDQUOT)


def reserve_path(record_path: Path) -> Path:
    """The file that keeps space for a record which is not written yet; the record is written into it."""
    return record_path.with_name(f".{record_path.name}{RESERVE_SUFFIX}")


def record_files(folder: Path) -> list[Path]:
    """The record files in a folder and below it, by path; the manifests of A/Bs are not among them."""
    return sorted(path for path in folder.rglob("*.json") if path.name != MANIFEST_NAME)


def manifest_files(folder: Path) -> list[Path]:
    """The manifests of A/Bs in a folder and below it, by path."""
    return sorted(folder.rglob(MANIFEST_NAME))


@contextmanager
def reserved(record_path: Path, size: int) -> Iterator[None]:
    """Keep `size` bytes for the record, so that a disk that fills up meanwhile costs no measurement.

    Makes the spool. Raises DiskFull or BadValue: now rather than after the measurement.
    """
    reserve, spool = reserve_path(record_path), record_path.parent
    with ExitStack() as kept:
        kept.callback(_remove, reserve)
        try:
            kept.enter_context(_allocated(reserve, size))
        except OSError as error:
            raise _unusable(error, spool) from error
        yield


@contextmanager
def _allocated(reserve: Path, size: int) -> Iterator[None]:
    """The file of `size` bytes, locked for as long as its process lives: one without a lock is nobody's any more."""
    reserve.parent.mkdir(parents=True, exist_ok=True)
    with open(reserve, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.posix_fallocate(file.fileno(), 0, size)
        yield


def _remove(reserve: Path) -> None:
    # gone already when the record was written into it, or when it could not be made
    with suppress(OSError):
        reserve.unlink()


def clear_abandoned(folder: Path) -> list[Path]:
    """Give back the space that killed processes kept in a folder and below it; the paths of the records that never
    came."""
    reserves = [path for path in folder.rglob(f".*{RESERVE_SUFFIX}") if _is_abandoned(path)]
    for path in reserves:
        _remove(path)
    records = [path.with_name(path.name[1 : -len(RESERVE_SUFFIX)]) for path in reserves]
    return [path for path in records if not path.exists()]


def _is_abandoned(reserve: Path) -> bool:
    try:
        with open(reserve, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody holds it, or it is gone
        return False
    return True


def _unusable(error: OSError, spool: Path) -> Exception:
    if error.errno in FULL:
        return DiskFull(f"no space left in the spool {spool}: free some or choose another with --spool")
    return BadValue(f"the spool {spool} cannot be written ({error.strerror}): choose with --spool")
