"""Series of sessions, measured one after another: the sessions of a cell, or those of an A/B."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from runner.errors import DecodeFloorError, DiskFull, Failure, Stopped, StoreUnreachable
from runner.launch.session import Finished
from runner.record.sessionrecord import MeasuredRecord


class Series(Protocol):
    """Sessions that belong together, in order."""

    def opened(self) -> AbstractContextManager[None]:
        """Holds what the series needs while it is measured. It is entered before any other method is called."""
        ...

    def remaining(self) -> int:
        """Returns the number of sessions that are missing."""
        ...

    def expected_s(self) -> float | None:
        """Returns the seconds that the next session may take; None if that is not known."""
        ...

    def ends_with(self, error: Failure) -> bool:
        """Returns whether no session follows one with this error."""
        ...


class SeriesHere(Series, Protocol):
    """Sessions that this machine measures."""

    def measure(self) -> Finished:
        """Measures the next session. Raises DecodeFloorError if the series cannot continue."""
        ...


@dataclass(frozen=True)
class TimeLimit:
    """The end of a command, on the clock of `time.monotonic`; None without a limit."""

    end_s: float | None = None

    def allows(self, expected_s: float | None) -> bool:
        """Returns whether a session of this length ends before the limit. One of unknown length may begin before it."""
        return self.end_s is None or time.monotonic() + (expected_s or 0.0) < self.end_s

    @property
    def is_over(self) -> bool:
        """Returns whether the limit has passed."""
        return not self.allows(None)


@dataclass
class Ended:
    """The end of a list of series: the error that ended each series which failed, the error of the store if it did not
    take a session, and whether the time limit ended it."""

    errors: list[tuple[Series, Failure]] = field(default_factory=list)
    store_error: StoreUnreachable | None = None
    at_limit: bool = False
    longest_s: float | None = None
    """seconds of the longest session"""

    @property
    def first_error(self) -> Failure | None:
        """Returns the error that a command with a single series ends with. A failed session takes precedence."""
        return self.errors[0][1] if self.errors else self.store_error


OnSession = Callable[[Series, Finished], None]


def measure_all(
    series: Iterable[SeriesHere], limit: TimeLimit, on_session: OnSession, interleaved: bool = False
) -> Ended:
    """Measures each series until none of its sessions is missing. Calls `on_session` after each session.

    If `interleaved`, the series take turns of one session each, beginning with those that miss most.
    A series ends with its first error, and the next one begins. A store that does not take a session ends nothing: its
    record is safe. Raises DiskFull, since no record can be written then, and the errors of a request to stop.
    """
    ended = Ended()
    for each in _turns([*series], ended) if interleaved else series:
        try:
            with each.opened():
                _measure(each, limit, on_session, ended, until=each.remaining() - 1 if interleaved else 0)
        except DiskFull:
            raise
        except StoreUnreachable as error:
            ended.store_error = error
        except DecodeFloorError as error:
            ended.errors.append((each, error))
        if ended.at_limit:
            break
    return ended


def _turns(series: Sequence[SeriesHere], ended: Ended) -> Iterator[SeriesHere]:
    """Yields the series of the next session again and again, in rounds. A series that has ended gets no turn."""
    for missing in range(max((each.remaining() for each in series), default=0), 0, -1):
        for each in series:
            if each.remaining() >= missing and not any(each is failed for failed, _ in ended.errors):
                yield each


def _measure(series: SeriesHere, limit: TimeLimit, on_session: OnSession, ended: Ended, until: int) -> None:
    """Measures a series until `until` of its sessions are missing."""
    while series.remaining() > until:
        if not limit.allows(series.expected_s() or ended.longest_s):
            ended.at_limit = True
            return
        finished = series.measure()
        error = finished.error
        if isinstance(error, Stopped):
            raise error
        on_session(series, finished)
        if isinstance(finished.record, MeasuredRecord):
            ended.longest_s = max(finished.record.cost_s.total, ended.longest_s or 0.0)
        if isinstance(finished.store_error, StoreUnreachable):
            ended.store_error = finished.store_error
        if error is None or isinstance(error, StoreUnreachable):
            continue
        if isinstance(error, DiskFull):
            raise error
        if series.ends_with(error):
            ended.errors.append((series, error))
            return
