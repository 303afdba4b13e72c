"""The files that analysis makes: what a run of MLflow keeps of them, and how they get to disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from runner import failures
from runner.errors import BadValue, DecodeFloorError, DiskFull

NAME_LENGTH = 200
"""Bytes of a file's name; the name of one beside it is longer, and may have 255."""
Files: TypeAlias = Mapping[str, str | bytes]
"""Name → content."""


def write(path: Path, content: bytes) -> None:
    """Write the file, whole or not at all: a disk that fills up leaves the earlier one. Raises OSError, also for a pipe
    that nobody reads."""
    target = Path(os.path.realpath(path))
    if not _is_replaceable(path, target):
        _write(path, content)
        return
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        _write(beside, content)
        if target.exists():
            os.chmod(beside, stat.S_IMODE(target.stat().st_mode))
        os.replace(beside, target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _is_replaceable(path: Path, target: Path) -> bool:
    """In a folder that takes another file, and no pipe or device; what lies in /dev/fd may lead to no path."""
    if not os.access(target.parent, os.W_OK | os.X_OK) or len(os.fsencode(target.name)) > NAME_LENGTH:
        return False
    return target.is_file() if path.exists() else not os.path.lexists(target)


def _write(path: Path, content: bytes) -> None:
    # to open a pipe would be to wait for its other end
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o666)
    with open(descriptor, "wb") as file:
        os.set_blocking(descriptor, True)
        file.write(content)


def unwritten(error: OSError, place: Path, other: str) -> DecodeFloorError:
    """The failure of a file, or of a folder of files, that cannot be written; `other` is what to name instead."""
    if error.errno in failures.FULL:
        return DiskFull(f"no space left for {place}: free some, or name another {other}")
    return BadValue(f"{place} cannot be written ({error.strerror}): name another {other}")
