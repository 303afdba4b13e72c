"""The progress of a study while it is measured: sessions done, failed and left, and the time that is left."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from runner.display import duration
from runner.errors import StoreUnreachable
from runner.launch.series import Series
from runner.launch.session import Finished
from runner.record.sessionrecord import MeasuredRecord
from runner.study.standing import Standing


class Tally:
    """Counts of the sessions of a command. `planned` has each series with its entry's standing, in order."""

    def __init__(self, planned: Sequence[tuple[Series, Standing]]) -> None:
        self._left = {id(series): standing.missing for series, standing in planned}
        self._session_s = {id(series): standing.session_s for series, standing in planned}
        self._measured_s: list[float] = []
        self.total = sum(self._left.values())
        self.done, self.failed = 0, 0

    def add(self, series: Series, finished: Finished) -> None:
        """Counts a session that has ended."""
        self.done, self.failed = self.done + finished.record.valid, self.failed + (not finished.record.valid)
        self._left[id(series)] = 0 if _is_last(series, finished) else series.remaining()
        self._session_s[id(series)] = series.expected_s() if series.remaining() else None
        if isinstance(finished.record, MeasuredRecord):
            self._measured_s.append(finished.record.cost_s.total)

    @property
    def left(self) -> int:
        """Returns the number of sessions left."""
        return sum(self._left.values())

    def left_s(self) -> float | None:
        """Returns the seconds that the sessions left may take, None if that is not known.

        A cell without a session of its own takes as long as the mean session of this command.
        """
        mean_s = mean(self._measured_s) if self._measured_s else None
        seconds = [(count, self._session_s[key] or mean_s) for key, count in self._left.items() if count]
        known = [count * each for count, each in seconds if each is not None]
        return sum(known) if len(known) == len(seconds) else None

    @property
    def text(self) -> str:
        """Returns the counts in words: `3 done, 1 failed, 8 left, about 4 min 0 s`."""
        seconds = self.left_s()
        about = f", about {duration(seconds)}" if self.left and seconds is not None else ""
        return f"{self.done} done, {self.failed} failed, {self.left} left{about}"

    @property
    def position(self) -> str:
        """Returns the number of the next session: `5/12`."""
        ended = self.done + self.failed
        return f"{ended + 1}/{ended + self.left}"


def _is_last(series: Series, finished: Finished) -> bool:
    """Returns whether the session failed in a way that ends its series."""
    error = finished.error
    return error is not None and not isinstance(error, StoreUnreachable) and series.ends_with(error)
