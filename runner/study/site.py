"""The place where a command measures the sessions of its studies: this machine, or the nodes of a fleet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from runner.launch import series
from runner.launch.series import Ended, OnSession, SeriesHere, TimeLimit
from runner.launch.session import Settings
from runner.study import prepared
from runner.study.machines import Machines, ThisMachine
from runner.study.prepared import Prepared
from runner.study.standing import Standing


class Site(Protocol):
    """A place where sessions are measured."""

    @property
    def machines(self) -> Machines:
        """Returns the machines of the place."""
        ...

    def notes(self, found: Prepared) -> Iterator[str]:
        """Yields why entries wait, as far as it does not follow from the names of their GPUs."""
        ...

    def missing_series(self, found: Prepared, settings: Settings) -> Iterator[tuple[Any, Standing]]:
        """Yields the series of each entry that is measured now, in the form that `measure_all` takes, with its
        standing."""
        ...

    def measure_all(
        self, each: Sequence[Any], limit: TimeLimit, on_session: OnSession, settings: Settings, interleaved: bool
    ) -> Ended:
        """Measures the series, as `series.measure_all` does."""
        ...


class Here:
    """This machine, which measures one session after another."""

    def __init__(self) -> None:
        self.machines = ThisMachine()

    def notes(self, _found: Prepared) -> Iterator[str]:
        yield from ()

    def missing_series(self, found: Prepared, settings: Settings) -> Iterator[tuple[SeriesHere, Standing]]:
        return prepared.missing_series(found, settings)

    def measure_all(
        self,
        each: Sequence[SeriesHere],
        limit: TimeLimit,
        on_session: OnSession,
        _settings: Settings,
        interleaved: bool,
    ) -> Ended:
        return series.measure_all(each, limit, on_session, interleaved)
