"""A folder of this process's own for as long as it needs one, in TMPDIR or where else temporary files go."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.errors import BadValue


@contextmanager
def folder() -> Iterator[Path]:
    """Made now and removed with all that is in it. Raises BadValue where none can be made."""
    try:
        made = tempfile.TemporaryDirectory(prefix="decode-floor-", ignore_cleanup_errors=True)
    except OSError as error:
        raise BadValue(
            f"no temporary folder can be made ({error.strerror}): free space, or name a folder that can be written in "
            "TMPDIR"
        ) from error
    with made as path:
        yield Path(path)
