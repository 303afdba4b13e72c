"""The spool: the folder where records lie before they are committed, with space set aside for one to come."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runner.errors import BadValue, DiskFull

MANIFEST_NAME = "ab.json"
FULL = (errno.ENOSPC, errno.EDQUOT)


def reserve_path(record_path: Path) -> Path:
    """The file that keeps space for a record which is not written yet; the record is written into it."""
    return record_path.with_name(f".{record_path.name}.reserve")


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
    try:
        try:
            _allocate(reserve, size)
        except OSError as error:
            raise _unusable(error, spool) from error
        yield
    finally:
        # gone already when the record was written into it, or when it could not be made
        with suppress(OSError):
            reserve.unlink()


def _allocate(reserve: Path, size: int) -> None:
    reserve.parent.mkdir(parents=True, exist_ok=True)
    with open(reserve, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def _unusable(error: OSError, spool: Path) -> Exception:
    if error.errno in FULL:
        return DiskFull(f"no space left in the spool {spool}: free some or choose another with --spool")
    return BadValue(f"the spool {spool} cannot be written ({error.strerror}): choose with --spool")
