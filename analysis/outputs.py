"""Output files of analysis: atomic writing to disk, and the form in which a run stores them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from runner import failures
from runner.errors import BadValue, DecodeFloorError, DiskFull

NAME_LENGTH = 200
"""Longest file name in bytes that is written through a temporary neighbour, whose longer name may have 255."""
Files: TypeAlias = Mapping[str, str | bytes]
"""Content of files by name."""


def write(path: Path, content: bytes) -> None:
    """Writes the file atomically: if the disk fills up, the earlier file remains. Raises OSError, also for a pipe
    without a reader."""
    target = Path(os.path.realpath(path))
    if not _is_replaceable(path, target):
        _write(path, content)
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        _write(temporary, content)
        if target.exists():
            os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _is_replaceable(path: Path, target: Path) -> bool:
    """Returns whether the file can be replaced by renaming a neighbour: not a pipe or device, and in a writable folder.

    A link in /dev/fd may point to no path.
    """
    if not os.access(target.parent, os.W_OK | os.X_OK) or len(os.fsencode(target.name)) > NAME_LENGTH:
        return False
    return target.is_file() if path.exists() else not os.path.lexists(target)


def _write(path: Path, content: bytes) -> None:
    # a blocking open of a pipe would wait for its reader
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o666)
    with open(descriptor, "wb") as file:
        os.set_blocking(descriptor, True)
        file.write(content)


def write_error(error: OSError, place: Path, other: str) -> DecodeFloorError:
    """Returns the error for a file or folder that cannot be written. `other` is the thing to name instead."""
    if error.errno in failures.FULL:
        return DiskFull(f"no space left for {place}: free some, or name another {other}")
    return BadValue(f"{place} cannot be written ({failures.obstacle(error, place)}): name another {other}")
