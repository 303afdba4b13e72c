"""The errors of a question that no row meets: exit codes 28 and 29."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.choose import shortfall
from analysis.choose.limits import Limits
from runner.errors import DeadlineMissed, NoEvidence
from tests.support.candidates import CONFIGURATION, measured, predicted, published, row_of, tail_of


def message(kind: type[Exception], rows, limits: Limits) -> str:
    with pytest.raises(kind) as caught:
        shortfall.check(rows, limits)
    return str(caught.value)


def test_a_row_that_meets_is_enough() -> None:
    shortfall.check([row_of(published(10.0)), row_of(published(90.0))], Limits())


def test_the_nearest_row_is_named_with_its_distance() -> None:
    far = published(90.0)
    near = replace(published(55.0), configuration=replace(CONFIGURATION, gpu="l4", kernel="marlin"))
    said = message(DeadlineMissed, [row_of(far), row_of(near)], Limits())
    assert said == ("no row meets 50 ms: the nearest, l4 bf16 marlin graph, is 10 % over (too slow: median 55.00 ms)")
    assert DeadlineMissed.exit_code == 28


def test_a_small_distance_is_not_rounded_to_nothing() -> None:
    assert "is 0.2 % over" in message(DeadlineMissed, [row_of(published(50.1))], Limits())


def test_a_prediction_misses_by_the_nearer_end_of_its_range() -> None:
    assert "is at least 10 % over" in message(DeadlineMissed, [row_of(predicted(55.0, 90.0))], Limits())
    dear = row_of(predicted(1.0, 2.0, usd_per_mtok=2.0), usd_per_mtok=1.0)
    assert "is 100 % over (too expensive" in message(DeadlineMissed, [dear], Limits(usd_per_mtok=1.0))


def test_where_some_only_lack_data_it_says_which() -> None:
    limits = Limits(miss=0.001)
    rows = [row_of(each, miss=0.001) for each in (measured(tail_of()), published(10.0), published(10.0))]
    said = message(NoEvidence, rows, limits)
    assert said.startswith(
        "no row is known to meet 50 ms, missed with a probability of at most 0.001: `no steps` in 2 rows and "
        "`not enough steps` in 1 row (measure at least 3 sessions of a cell with `python -m runner cell --protocol "
        "tail-long --windows 20`, enough for τ ≤ 2, about 1 to 2 min of steps each), or relax the limits"
    )
    assert NoEvidence.exit_code == 29


def test_each_lack_has_its_remedy() -> None:
    row = measured(tail_of(), usd_per_mtok=None)
    assert "--price" in message(NoEvidence, [row_of(row, usd_per_mtok=1.0)], Limits(usd_per_mtok=1.0))
    assert "--energy" in message(NoEvidence, [row_of(row, joules_per_token=1.0)], Limits(joules_per_token=1.0))
    assert "python -m runner cell" in message(NoEvidence, [row_of(predicted(1.0, 60.0))], Limits())


def test_where_nothing_fits_no_deadline_helps() -> None:
    row = row_of(predicted(1.0, 2.0, memory_left_bytes=-1.0))
    assert "none fits into its card's memory" in message(DeadlineMissed, [row], Limits())
