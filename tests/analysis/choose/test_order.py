"""The order of rows."""

from __future__ import annotations

from analysis.choose import order
from tests.support.candidates import measured, predicted, published, row_of, tail_of


def test_rows_that_meet_come_first_then_evidence_flags_price_and_speed() -> None:
    tail = tail_of()
    rows = [
        row_of(measured(tail, usd_per_mtok=2.0)),
        row_of(measured(tail, usd_per_mtok=3.0)),
        row_of(measured(tail, usd_per_mtok=None)),
        row_of(measured(tail, ["mixed-host"], usd_per_mtok=1.0)),
        row_of(published(9.0, usd_per_mtok=0.5)),
        row_of(published(10.0, usd_per_mtok=0.5)),
        row_of(predicted(1.0, 2.0, usd_per_mtok=0.1)),
        row_of(predicted(1.0, 60.0)),  # uncertain
        row_of(measured(tail_of(step_ms=70.0, slow_ms=90.0))),  # too slow
    ]
    shuffled = rows[::-1]
    assert sorted(shuffled, key=order.order) == rows
