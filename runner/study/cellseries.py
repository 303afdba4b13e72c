"""The sessions of one cell of a study."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from runner.errors import Failure, InvalidSession
from runner.launch.session import Finished, Settings, run_session
from runner.plan.request import Request
from runner.record.sessionrecord import MeasuredRecord


class CellSessions:
    """The missing sessions of a cell, wherever they are measured. `first_index` is the index of the next one,
    `session_s` how long it may take."""

    def __init__(
        self, request: Request, missing: int, first_index: int, session_s: float | None, settings: Settings
    ) -> None:
        self._request, self._missing, self._index = request, missing, first_index
        self._session_s, self._settings = session_s, settings

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Holds nothing: a study holds what its sessions need."""
        yield

    def remaining(self) -> int:
        """Returns the number of sessions that are missing. One that is not valid is not measured again."""
        return self._missing

    def expected_s(self) -> float | None:
        """Returns the seconds that the last such session took; None if there was none."""
        return self._session_s

    def ends_with(self, error: Failure) -> bool:
        """Returns whether the cell itself fails. A session that is not valid may be one of several."""
        return not isinstance(error, InvalidSession)

    def _count(self, finished: Finished) -> None:
        """Counts a session that is no longer missing."""
        self._missing -= 1
        if isinstance(finished.record, MeasuredRecord):
            self._session_s = finished.record.cost_s.total


class CellSeries(CellSessions):
    """The missing sessions of a cell, measured on this machine one after another."""

    def measure(self) -> Finished:
        """Measures the next session."""
        finished = run_session(self._request, self._index, int(time.time() * 1000), self._settings)
        self._index += 1
        self._count(finished)
        return finished
