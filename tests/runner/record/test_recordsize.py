"""The size of a record, which must be readable after hours of measurement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.cell.protocol import NAMED, Protocol
from runner.errors import BadValue
from runner.record import recordsize
from runner.record.record import MAXIMUM_BYTES, dump
from tests.support.derive import typed
from tests.support.records import example_record


def largest(counts: Protocol) -> dict[str, Any]:
    """A record whose numbers have as many digits as a session's, and whose windows all chose other tokens."""
    found = example_record(cell={"cache": "dynamic" if counts.windows == 1 else "static"}, protocol=vars(counts))
    for timed in found["passes"].values():
        timed |= {name: [123.456789] * len(timed[name]) for name in ("steps_ms", "span_ms") if name in timed}
    if counts.windows > 1:
        found["passes"]["wall"]["windows_us"] = [[1234567] * counts.steps] * counts.windows
    first, *others = found["gate"]["tokens"]
    names = [first["name"], *first.pop("also", ())]
    found["gate"]["tokens"] = [*({**first, "name": name} for name in names), *others]
    for tokens in found["gate"]["tokens"]:
        steps = len(tokens["chosen"])
        tokens |= {"chosen": [151934] * steps, "regrets": [1.234e-05] * steps, "repeats": [1.234e-05] * steps}
    found["gate"]["timed_trusted"] = [1.234e-05] * counts.steps
    return found


@pytest.mark.medium
@pytest.mark.parametrize(
    "counts",
    [*NAMED.values(), Protocol("custom", 5, 3000), Protocol("custom", 5, 300, 100), Protocol("custom", 5, 3, 500)],
    ids=lambda counts: counts.title,
)
def test_no_record_takes_more_than_what_is_reserved(counts: Protocol) -> None:
    assert len(dump(typed(largest(counts)))) <= recordsize.most_bytes(counts)


@pytest.mark.parametrize("steps", [3, 30, 300, 3000])
def test_the_most_windows_are_those_whose_record_can_be_read(steps: int) -> None:
    most = Protocol("custom", 5, steps, recordsize.most_windows(steps))
    recordsize.check(most)
    assert recordsize.is_readable(most)
    assert recordsize.most_bytes(most) <= MAXIMUM_BYTES
    assert not recordsize.is_readable(replace(most, windows=most.windows + 1))
    with pytest.raises(
        BadValue, match=f"are too many for a record of at most 32 MiB: choose windows={most.windows} or"
    ):
        recordsize.check(replace(most, windows=most.windows + 1))


def test_a_window_that_is_too_long_alone_needs_fewer_steps() -> None:
    recordsize.check(Protocol("custom", 5, 131_072))  # the longest context of the catalogue
    assert recordsize.most_windows(10**6) == 0
    with pytest.raises(BadValue, match="choose fewer steps"):
        recordsize.check(Protocol("custom", 5, 10**6))


def test_half_a_million_steps_in_windows_can_be_recorded() -> None:
    assert 300 * recordsize.most_windows(300) > 500_000
