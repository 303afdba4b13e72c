"""Groups with the clocks that the gap budget needs, and strategies for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from analysis.group import Group
from analysis.tables import budget
from analysis.tables._budgetrow import BudgetRow
from tests.support.frames import GROUP

TIMES = st.floats(0.001, 1000.0)
CLOCKS = st.fixed_dictionaries(
    {
        "floor_ms": st.none() | TIMES,
        "floor_achievable_ms": TIMES,
        "step_busy_ms": st.none() | TIMES,
        "kernel_sum_ms": st.none() | TIMES,
        "step_span_ms": st.none() | TIMES,
        "profiled_span_ms": st.none() | TIMES,
        "step_wall_revisit_ms": st.none() | TIMES,
        "step_wall_ms": TIMES,
    }
)


def clocks(**changes: Any) -> Group:
    """A group with only what the budget needs, in ms: floor 3, achieved 3.5, busy 8, span 20, wall 21."""
    ms = {
        "floor_ms": 3.0,
        "floor_achievable_ms": 3.5,
        "profiled_span_ms": 28.0,
        "step_busy_ms": 8.0,
        "kernel_sum_ms": 8.0,
        "step_span_ms": 20.0,
        "step_wall_revisit_ms": None,
        "step_wall_ms": 21.0,
    }
    return replace(GROUP, **{**ms, **changes})


def judged(**changes: Any) -> BudgetRow:
    """The row of these clocks in the gap budget."""
    return budget.budget_row(clocks(**changes))
