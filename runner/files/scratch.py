"""Temporary folders of this process, in TMPDIR or the system's default."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.errors import BadValue


@contextmanager
def folder() -> Iterator[Path]:
    """Yields a new folder, and removes it with its contents. Raises BadValue if none can be created."""
    try:
        made = tempfile.TemporaryDirectory(prefix="decode-floor-", ignore_cleanup_errors=True)
    except OSError as error:
        raise BadValue(
            f"no temporary folder can be created ({error.strerror}): free space, or set TMPDIR to a writable folder"
        ) from error
    with made as path:
        yield Path(path)
