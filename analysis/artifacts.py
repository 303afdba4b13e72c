"""The files that analysis makes: what a run of MLflow keeps of them, and how they get to disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from runner import failures
from runner.errors import BadValue, DecodeFloorError, DiskFull

Files: TypeAlias = Mapping[str, str | bytes]
"""Name → content."""


def write(path: Path, content: bytes) -> None:
    """Write the file. Raises OSError, also for a pipe that nobody reads, which to open would be to wait."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o666)
    with open(descriptor, "wb") as file:
        os.set_blocking(descriptor, True)
        file.write(content)


def unwritten(error: OSError, place: Path, other: str) -> DecodeFloorError:
    """The failure of a file, or of a folder of files, that cannot be written; `other` is what to name instead."""
    if isinstance(full := failures.told(error), DiskFull):
        return full
    return BadValue(f"{place} cannot be written ({error.strerror}): name another {other}")
