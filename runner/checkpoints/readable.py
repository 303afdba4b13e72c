"""Errors of the system for a checkpoint's files, as BadCheckpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runner import failures
from runner.errors import BadCheckpoint, DiskFull


@contextmanager
def checked(name: str) -> Iterator[None]:
    """Raises BadCheckpoint, which calls the checkpoint `name`, for an OSError; DiskFull for a full disk."""
    try:
        yield
    except OSError as error:
        if isinstance(full := failures.as_failure(error), DiskFull):
            raise full from error
        raise BadCheckpoint(f"{name}: {failures.path_message(error)}") from error
