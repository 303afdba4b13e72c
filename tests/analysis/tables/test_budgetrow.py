"""Rows of the gap budget give a term by the key of its column."""

from __future__ import annotations

import pytest

from analysis.tables._budgetrow import FROM, MS
from tests.support.clocks import judged


def test_a_term_is_a_value_of_its_row_with_the_passes_that_bound_it() -> None:
    row = judged()  # 20 − 8 = 12 ms between busy and span
    assert (row.value(f"{MS}gaps"), row.value(f"{FROM}gaps")) == (12.0, "busy, span")
    assert (row.value(f"{MS}floor"), row.value(f"{FROM}floor")) == (3.0, "bytes and datasheet")


def test_a_term_that_the_row_lacks_is_none_and_a_field_is_no_term() -> None:
    row = judged()
    assert row.value(f"{MS}new length") is row.value(f"{FROM}new length") is None
    assert (row.value("step_wall_ms"), row.value("gpu")) == (21.0, "h200")
    with pytest.raises(AttributeError):
        row.value("gaps")
