"""The committed records, read and verified once in a process, which has many tests of them: they do not change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest import mock

from runner.record.sessionrecord import SessionRecord
from runner.record.verify import recompute

COMMITTED = Path(__file__).resolve().parents[2] / "experiments" / "records"


@contextmanager
def read_once() -> Iterator[None]:
    """While it lasts, the record of a committed file is the one that was read first. Others are read as ever."""
    read = recompute.read_verified

    @cache
    def kept(path: Path) -> SessionRecord:
        return read(path)

    def read_verified(path: Path) -> SessionRecord:
        whole = path.resolve()
        return kept(whole) if whole.is_relative_to(COMMITTED) else read(path)

    with mock.patch.object(recompute, "read_verified", read_verified):
        yield
