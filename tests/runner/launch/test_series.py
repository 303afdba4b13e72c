"""The loop over series of sessions: which error ends what, and the time limit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runner.errors import (
    BadPair,
    DecodeFloorError,
    DiskFull,
    Failure,
    Interrupted,
    InvalidSession,
    OutOfMemory,
    StoreUnreachable,
)
from runner.launch.series import Ended, TimeLimit, measure_all
from runner.launch.session import Finished
from tests.support.fakesession import measured

PATH = Path("/spool/r.json")


@dataclass
class Planned:
    """A series whose sessions end with these errors, in order; None is a valid session."""

    errors: list[Failure | None]
    last: tuple[type[Failure], ...] = (DecodeFloorError,)
    expected: float | None = None
    refusal: DecodeFloorError | None = None
    count: int = 0
    log: list[str] = field(default_factory=list)

    @contextmanager
    def opened(self) -> Iterator[None]:
        self.log.append("open")
        yield
        self.log.append("closed")

    def remaining(self) -> int:
        return len(self.errors) - self.count

    def expected_s(self) -> float | None:
        return self.expected

    def ends_with(self, error: Failure) -> bool:
        return isinstance(error, self.last)

    def measure(self) -> Finished:
        if self.refusal is not None:
            raise self.refusal
        error, self.count = self.errors[self.count], self.count + 1
        found = Finished(measured(), PATH)
        if isinstance(error, StoreUnreachable):
            return Finished(measured(), PATH, store_error=error)
        self.log.append("session")
        return found if error is None else _failing(error)


def _failing(error: Failure) -> Finished:
    class Failing(Finished):
        @property
        def error(self) -> Failure | None:
            return error

    return Failing(measured(), PATH)


def run(*series: Planned, limit: TimeLimit | None = None) -> tuple[Ended, int]:
    told: list[Finished] = []
    ended = measure_all(series, limit or TimeLimit(), lambda _series, finished: told.append(finished))
    return ended, len(told)


def test_every_series_is_measured_to_its_end() -> None:
    first, second = Planned([None, None]), Planned([None])
    ended, told = run(first, second)
    assert (ended.errors, ended.store_error, ended.at_limit, told) == ([], None, False, 3)
    assert (first.log, second.log) == (["open", "session", "session", "closed"], ["open", "session", "closed"])


def test_an_error_ends_its_series_and_the_next_one_begins() -> None:
    error = OutOfMemory("no space for the cache")
    first, second = Planned([error, None]), Planned([None])
    ended, told = run(first, second)
    assert (ended.errors, ended.first_error) == ([(first, error)], error)
    assert (first.count, second.count, told) == (1, 1, 2)


def test_an_error_that_does_not_end_the_series_is_only_told() -> None:
    series = Planned([InvalidSession("the gate"), None], last=(OutOfMemory,))
    ended, told = run(series)
    assert (ended.errors, ended.first_error, told) == ([], None, 2)


def test_a_series_that_cannot_continue_ends_before_its_session() -> None:
    refusal = BadPair("the code has changed")
    series = Planned([None], refusal=refusal)
    assert run(series) == (Ended([(series, refusal)]), 0)


def test_a_store_that_is_away_ends_nothing_and_is_reported_at_the_end() -> None:
    away = StoreUnreachable("no answer")
    series = Planned([away, None])
    ended, told = run(series)
    assert (ended.errors, ended.first_error, told) == ([], away, 2)
    failed = OutOfMemory("full")
    assert run(Planned([away]), Planned([failed]))[0].first_error is failed


@pytest.mark.parametrize("error", [DiskFull("no space"), Interrupted("stopped by Ctrl-C")])
def test_a_full_disk_or_a_request_to_stop_ends_everything(error: Failure) -> None:
    second = Planned([None])
    with pytest.raises(type(error)):
        run(Planned([error]), second)
    assert second.count == 0


def test_no_session_begins_that_would_end_after_the_limit() -> None:
    soon = TimeLimit(time.monotonic() + 60)
    short, long = Planned([None], expected=1.0), Planned([None], expected=61.0)
    never = Planned([None])
    ended, told = run(short, long, never, limit=soon)
    assert (ended.at_limit, told, long.count, never.count) == (True, 1, 0, 0)


def test_a_session_of_unknown_length_takes_as_long_as_the_longest_of_the_command() -> None:
    # the records of these sessions say 20 s or more
    longest_s = measured().cost_s.total
    series = Planned([None, None])
    ended, told = run(series, limit=TimeLimit(time.monotonic() + longest_s - 1))
    assert (ended.at_limit, told, ended.longest_s) == (True, 1, longest_s)


def test_a_session_of_unknown_length_may_begin_until_the_limit() -> None:
    assert TimeLimit(time.monotonic() + 60).allows(None)
    assert not TimeLimit(time.monotonic() - 1).allows(None)
    assert TimeLimit().allows(1e9)


def test_interleaved_series_take_turns_beginning_with_those_that_miss_most() -> None:
    order: list[str] = []

    @dataclass
    class Named(Planned):
        name: str = ""

        def measure(self) -> Finished:
            order.append(self.name)
            return super().measure()

    a, b, c = (Named([None] * count, name=name) for count, name in ((2, "a"), (3, "b"), (3, "c")))
    ended = measure_all([a, b, c], TimeLimit(), lambda *_: None, interleaved=True)
    assert "".join(order) == "bc" + "abc" + "abc"
    assert (ended.errors, [each.remaining() for each in (a, b, c)]) == ([], [0, 0, 0])


def test_an_interleaved_series_that_failed_gets_no_further_turn() -> None:
    failing, other = Planned([OutOfMemory("no space"), None, None]), Planned([None, None, None])
    refused = Planned([None, None, None], refusal=BadPair("no such processor"))
    ended = measure_all([failing, refused, other], TimeLimit(), lambda *_: None, interleaved=True)
    assert [each for each, _ in ended.errors] == [failing, refused]
    assert (failing.count, refused.count, other.count) == (1, 0, 3)


def test_interleaved_series_end_at_the_time_limit() -> None:
    series = Planned([None, None], expected=1000.0)
    ended = measure_all([series], TimeLimit(time.monotonic() + 10), lambda *_: None, interleaved=True)
    assert (ended.at_limit, series.count) == (True, 0)
